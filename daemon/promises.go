package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"llamaxr/daemon/commitment"
	"llamaxr/daemon/config"
	"llamaxr/dicomnet"
	"llamaxr/dicomnet/dimse"
	"llamaxr/queue"
	"llamaxr/study"
)

// Storage commitment as its provider (PS3.4, annex J): peers ask whether we keep what they sent, we look and promise, or say why not.

// kindPromise is the job that decides a request for storage commitment and reports the result.
const kindPromise = "promise"

// sameAssociation is how long the job of a peer whose address nobody told waits for its association to take the result. When the association
// ends sooner the job runs then; it is this long only after a crash.
const sameAssociation = time.Hour

// Action implements dicomnet.ActionSession: a request for storage commitment is durable before it is answered.
func (s *session) Action(_ context.Context, action *dicomnet.Notification, data io.Reader) (*dicomnet.Report, error) {
	request, err := commitmentRequest(action, data)
	if err != nil {
		s.a.log.Warn("request for storage commitment refused", "calling", s.info.CallingAETitle, "error", err)
		return nil, err
	}
	_, reachable := s.a.cfg().ResultsTo(s.info.CallingAETitle)
	key, err := s.a.asked(s.info.CallingAETitle, request, reachable)
	if err != nil {
		return nil, err
	}
	s.a.log.Info("storage commitment asked", "calling", s.info.CallingAETitle, "transaction", request.TransactionUID, "objects", len(request.Objects))
	if reachable {
		return nil, nil
	}
	return s.a.reportHere(key, action), nil
}

// commitmentRequest reads what goes with N-ACTION; the error is its status (PS3.7, 10.1.4.1.10).
func commitmentRequest(action *dicomnet.Notification, data io.Reader) (*commitment.Request, error) {
	switch {
	case action.SOPInstanceUID != dicomnet.StorageCommitmentInstance:
		return nil, &dimse.StatusError{Status: dimse.NoSuchInstance, Comment: "not the well-known instance of storage commitment"}
	case action.Type != commitment.ActionType:
		return nil, &dimse.StatusError{Status: dimse.NoSuchActionType, Comment: "only action type 1 is known"}
	}
	all, err := io.ReadAll(data)
	if err != nil {
		return nil, err
	}
	request, err := commitment.ReadRequest(all, action.TransferSyntaxUID)
	switch {
	case errors.Is(err, commitment.ErrTooLarge):
		return nil, &dimse.StatusError{Status: dimse.ResourceLimitation, Comment: "too many objects in one request"}
	case err != nil:
		return nil, &dimse.StatusError{Status: dimse.InvalidArgument, Comment: "the request cannot be read"}
	}
	return request, nil
}

// asked records a request, with the job that answers it, and returns its key. The same request again is answered again; another one with a
// Transaction UID that is in use becomes a duplicate.
func (a *Appliance) asked(calling string, request *commitment.Request, reachable bool) (key string, err error) {
	free, err := a.spool.Free()
	if err == nil && free < a.cfg().FreeSpace {
		err = &dimse.StatusError{Status: dimse.ResourceLimitation, Comment: "out of disk space"}
	}
	if err != nil {
		return "", err
	}
	err = a.db.Update(func(tx *queue.Tx) error {
		p := &queue.Promise{TransactionUID: request.TransactionUID, AETitle: calling, Objects: request.Objects, Asked: tx.Now().UTC()}
		key = request.TransactionUID
		known, err := tx.Promise(key)
		if err != nil {
			return err
		}
		if known != nil && (known.AETitle != calling || !slices.Equal(known.Objects, request.Objects)) {
			p.Duplicate = true
			key += "/" + sha256Of(mustJSON(p.Objects))[:16] + "/" + calling
			if known, err = tx.Promise(key); err != nil {
				return err
			}
		}
		if known == nil {
			if err := tx.PutPromise(key, p); err != nil {
				return err
			}
		}
		job := promiseJob(key)
		if !reachable {
			job.NotBefore = tx.Now().Add(sameAssociation)
		}
		if waiting, err := tx.Job(job.ID); err != nil || waiting != nil && waiting.Dead {
			return errors.Join(err, tx.Resend(job.ID))
		}
		return tx.Again(job)
	})
	return key, err
}

func promiseJob(key string) queue.Job {
	return queue.Job{ID: kindPromise + "/" + key, Kind: kindPromise, Payload: mustJSON(key)}
}

// promise decides a request and reports the result on an association of its own.
func (a *Appliance) promise(ctx context.Context, lease *queue.Lease) error {
	key, err := payloadOf[string](lease)
	if err != nil {
		return err
	}
	p, err := a.promised(key)
	if err != nil {
		return err
	}
	to, known := a.cfg().ResultsTo(p.AETitle)
	if !known {
		return queue.Permanent(fmt.Errorf("daemon: %s asked for storage commitment and ended the association; set results_to of its entry in peers", p.AETitle))
	}
	extended := time.Now()
	result, err := a.decide(ctx, key, p, func() error {
		if time.Since(extended) < leaseTime/4 {
			return nil
		}
		extended = time.Now()
		return lease.Extend(leaseTime)
	})
	if err != nil {
		return err
	}
	if err := a.sendResult(ctx, to, result); err != nil {
		return err
	}
	return a.done(lease, func(tx *queue.Tx) error { return a.reported(tx, key, result) })
}

// promised returns what was asked.
func (a *Appliance) promised(key string) (p *queue.Promise, err error) {
	err = a.db.View(func(tx *queue.Tx) error {
		p, err = tx.Promise(key)
		return err
	})
	if err == nil && p == nil {
		err = queue.Permanent(fmt.Errorf("daemon: the request for storage commitment %s is not in the ledger", key))
	}
	return p, err
}

// reportHere makes the report that goes out on the association on which the request came, once the peer is quiet.
func (a *Appliance) reportHere(key string, action *dicomnet.Notification) *dicomnet.Report {
	report := &dicomnet.Report{Notification: *action}
	var result *commitment.Result
	report.Prepare = func(ctx context.Context, r *dicomnet.Report) error {
		a.deciding.Lock()
		defer a.deciding.Unlock()
		p, err := a.promised(key)
		if err != nil {
			return err
		}
		if result, err = a.decide(ctx, key, p, func() error { return nil }); err != nil {
			return err
		}
		r.Type, r.Data = result.EventType(), result.Encode(r.TransferSyntaxUID)
		return nil
	}
	report.Done = func(failure error) {
		err := a.db.Update(func(tx *queue.Tx) error {
			if failure == nil {
				return errors.Join(tx.End(promiseJob(key).ID), a.reported(tx, key, result))
			}
			return tx.Postpone(promiseJob(key))
		})
		if err != nil && !isShutdown(err) {
			a.log.Error("recording that a result of storage commitment was reported", "error", err)
		}
	}
	return report
}

// reported notes that the peer has the result.
func (a *Appliance) reported(tx *queue.Tx, key string, result *commitment.Result) error {
	p, err := tx.Promise(key)
	if err != nil || p == nil {
		return err
	}
	p.Reported = tx.Now().UTC()
	a.log.Info("storage commitment reported", "to", p.AETitle, "transaction", p.TransactionUID, "committed", len(result.Committed), "failed", len(result.Failed))
	return tx.PutPromise(key, p)
}

// sendResult reports a result as the provider of storage commitment (PS3.7, annex D.3.3.4).
func (a *Appliance) sendResult(ctx context.Context, to config.Destination, result *commitment.Result) error {
	association, err := a.client(to.AETitle, to.TLS).Dial(ctx, to.Address, []dicomnet.ProposedContext{dicomnet.ProposeHeaders(dicomnet.StorageCommitment, true)})
	if err != nil {
		return refusal(err)
	}
	syntax := association.TransferSyntax(dicomnet.StorageCommitment)
	err = association.Report(ctx, dicomnet.Report{
		Notification: wellKnown(result.EventType(), syntax), Data: result.Encode(syntax),
	})
	return errors.Join(refusal(err), a.leave(association, err))
}

// wellKnown is a notification about the instance of storage commitment.
func wellKnown(kind uint16, transferSyntax string) dicomnet.Notification {
	return dicomnet.Notification{
		SOPClassUID: dicomnet.StorageCommitment, SOPInstanceUID: dicomnet.StorageCommitmentInstance, Type: kind, TransferSyntaxUID: transferSyntax,
	}
}

// leave releases an association that a request did not end.
func (a *Appliance) leave(association *dicomnet.Association, err error) error {
	var status *dimse.StatusError
	if err != nil && !errors.As(err, &status) && !errors.Is(err, dicomnet.ErrNotAccepted) {
		return nil
	}
	if released := association.Release(); err == nil {
		return released
	}
	return nil
}

// decide holds each object of a request against ledger and disk, and records what is promised before anybody is told. alive is called while
// it reads files.
func (a *Appliance) decide(ctx context.Context, key string, p *queue.Promise, alive func() error) (*commitment.Result, error) {
	result := &commitment.Result{TransactionUID: p.TransactionUID}
	if p.Duplicate {
		for _, o := range p.Objects {
			result.Failed = append(result.Failed, commitment.Failure{SOPReference: o, Reason: commitment.DuplicateTransaction})
		}
		return result, a.recordPromise(key, result, nil)
	}
	sums := map[string]string{} // of the objects that were found whole
	for _, o := range p.Objects {
		if err := errors.Join(ctx.Err(), alive()); err != nil {
			return nil, err
		}
		sum, reason, err := a.kept(o)
		if err != nil {
			return nil, err
		}
		if reason != 0 {
			result.Failed = append(result.Failed, commitment.Failure{SOPReference: o, Reason: reason})
			continue
		}
		sums[o.SOPInstanceUID] = sum
		result.Committed = append(result.Committed, o)
	}
	return result, a.recordPromise(key, result, sums)
}

// kept returns the digest of an object that is here, whole; else the Failure Reason.
func (a *Appliance) kept(o study.SOPReference) (sum string, reason uint16, err error) {
	i, err := a.instance(o.SOPInstanceUID)
	switch {
	case err != nil:
		return "", 0, err
	case i == nil || i.Gone != "":
		return "", commitment.NoSuchInstance, nil
	case i.Header.SOPClassUID != o.SOPClassUID:
		return "", commitment.ClassInstanceConflict, nil
	}
	err = a.whole(i)
	switch {
	case err == nil:
		return i.SHA256, 0, nil
	case errors.Is(err, fs.ErrNotExist):
		return "", commitment.NoSuchInstance, nil
	}
	a.log.Error("no commitment to an object", "sop_instance", o.SOPInstanceUID, "error", err)
	return "", commitment.ProcessingFailure, nil
}

// keptUntil is until when what is promised now is kept.
func (a *Appliance) keptUntil(now time.Time) time.Time {
	if a.cfg().Retention.KeepDays == 0 {
		return queue.Forever
	}
	return now.UTC().AddDate(0, 0, a.cfg().Retention.KeepDays)
}

// recordPromise makes a promise durable: retention asks for it. An object that went since it was looked at fails after all.
func (a *Appliance) recordPromise(key string, result *commitment.Result, sums map[string]string) error {
	looked := result.Committed
	before := len(result.Failed)
	return a.db.Update(func(tx *queue.Tx) error {
		result.Committed, result.Failed = nil, result.Failed[:before]
		p, err := tx.Promise(key)
		if err != nil || p == nil {
			return err
		}
		until, studies := a.keptUntil(tx.Now()), map[string]int{}
		for _, o := range looked {
			i, err := tx.Instance(o.SOPInstanceUID)
			if err != nil {
				return err
			}
			if i == nil || i.Gone != "" || i.SHA256 != sums[o.SOPInstanceUID] {
				result.Failed = append(result.Failed, commitment.Failure{SOPReference: o, Reason: commitment.NoSuchInstance})
				continue
			}
			result.Committed = append(result.Committed, o)
			studies[i.Header.StudyInstanceUID]++
			if i.PromisedUntil.Before(until) {
				i.PromisedUntil = until
				if err := tx.PutInstance(i); err != nil {
					return err
				}
			}
		}
		if p.Decided.IsZero() {
			if err := notePromise(tx, p.AETitle, until, studies); err != nil {
				return err
			}
		}
		p.Decided, p.Committed, p.Failed = tx.Now().UTC(), len(result.Committed), len(result.Failed)
		return tx.PutPromise(key, p)
	})
}

// notePromise says in each study's history what was promised.
func notePromise(tx *queue.Tx, aeTitle string, until time.Time, studies map[string]int) error {
	for uid, objects := range studies {
		s, err := tx.Study(uid)
		if err != nil || s == nil {
			return err
		}
		kept := "for ever"
		if !until.Equal(queue.Forever) {
			kept = "until " + until.Format(time.DateOnly)
		}
		s.Note(tx.Now(), fmt.Sprintf("%s asked for storage commitment: %d objects are kept %s", aeTitle, objects, kept))
		if err := tx.PutStudy(s); err != nil {
			return err
		}
	}
	return nil
}
