package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"llamaxr/daemon/config"
	"llamaxr/daemon/dicomweb"
	"llamaxr/dicomnet"
	"llamaxr/dicomnet/dimse"
	"llamaxr/queue"
)

// delivery is the payload of a delivery job.
type delivery struct {
	Revision    int    `json:"revision"`
	Destination string `json:"destination"`
}

// deliver sends the documents of a revision to one destination, all on one association. What the destination has already is sent
// again after a failure: the UIDs are the same, so it is one object there.
func (a *Appliance) deliver(ctx context.Context, lease *queue.Lease) error {
	d, err := payloadOf[delivery](lease)
	if err != nil {
		return err
	}
	uid := lease.Job.Study
	to, err := a.destinationFor(uid, d)
	if err != nil {
		return err
	}
	record, err := a.drafts.load(uid, d.Revision)
	if err != nil {
		return a.remake(uid, d.Revision, err)
	}
	if len(record.Documents) == 0 {
		if later, err := a.overtook(kindReport, uid, d.Revision); err != nil {
			return err
		} else if later > 0 {
			return a.staysHere(lease, fmt.Sprintf("revision %d is not sent to %s: there is one of revision %d", d.Revision, d.Destination, later))
		}
		return errNoDocuments
	}
	if goes, err := a.leaves(lease, d, record); err != nil {
		return err
	} else if !goes {
		why := "it was taken back"
		if record.Shadow {
			why = "shadow mode"
		}
		return a.staysHere(lease, fmt.Sprintf("revision %d is not sent to %s: %s", d.Revision, d.Destination, why))
	}
	folder := a.drafts.folder(uid, d.Revision)
	if err := a.wholeDocuments(ctx, record); err != nil {
		return err
	}
	var paths []string
	for _, doc := range record.Documents {
		if to.Takes(doc.Kind) {
			paths = append(paths, filepath.Join(folder, doc.File))
		}
	}
	if err := a.sendTo(ctx, to, uid, paths...); err != nil {
		return err
	}
	a.log.Info("draft delivered", "study", uid, "revision", d.Revision, "destination", d.Destination, "documents", len(paths))
	return a.done(lease, func(tx *queue.Tx) error { return a.arrived(tx, uid, d) })
}

// arrived notes that a destination has a revision. One that comes after a later revision, whose delivery was quicker, takes nothing from it.
func (a *Appliance) arrived(tx *queue.Tx, uid string, d delivery) error {
	s, err := tx.Study(uid)
	if err != nil || s == nil {
		return err
	}
	asked, err := a.askCommitment(tx, uid, committal{Revision: d.Revision, Destination: d.Destination})
	if err != nil {
		return err
	}
	if s.Deliveries == nil {
		s.Deliveries = map[string]*queue.Delivery{}
	}
	if got := s.Deliveries[d.Destination]; got == nil || got.Revision <= d.Revision {
		s.Deliveries[d.Destination] = &queue.Delivery{Revision: d.Revision, Sent: tx.Now().UTC(), Commitment: asked}
	}
	s.Note(tx.Now(), fmt.Sprintf("revision %d delivered to %s", d.Revision, d.Destination))
	if err := a.announce(tx, s, announcement{Event: config.EventDelivered, Revision: d.Revision, Detail: d.Destination}); err != nil {
		return err
	}
	return tx.PutStudy(s)
}

// delivered reports whether every destination has a revision or a later one, but those that came into the configuration after it was sent out.
func (a *Appliance) delivered(s *queue.Study, revision int) bool {
	for _, d := range a.cfg().Destinations {
		if got := s.Deliveries[d.String()]; got != nil && got.Revision < revision {
			return false
		}
	}
	return true
}

// receivers are the destinations that a study's next document goes to: those of the configuration, and those that had to do with the study and were taken out of it,
// for which it is a dead letter until they are back. One that is configured by another address is the same.
func (a *Appliance) receivers(s *queue.Study) (to []string) {
	titles := map[string]bool{}
	for _, d := range a.cfg().Destinations {
		to = append(to, d.String())
		titles[d.AETitle] = d.AETitle != ""
	}
	for _, former := range slices.Sorted(maps.Keys(s.Deliveries)) {
		if title, _, _ := strings.Cut(former, "@"); !slices.Contains(to, former) && !titles[title] {
			to = append(to, former)
		}
	}
	return to
}

func deliveryID(uid string, revision int, destination string) string {
	return fmt.Sprintf("%s/%s/%d/%s", kindDeliver, uid, revision, destination)
}

func deliverJob(uid string, d delivery) queue.Job {
	return queue.Job{ID: deliveryID(uid, d.Revision, d.Destination), Kind: kindDeliver, Study: uid, Payload: mustJSON(d)}
}

// refusal marks what the peer refused for good, the association, the request or an object, as not worth another try (PS3.8 9.3.4, PS3.4
// table B.2-1, PS3.18 10.5.3).
func refusal(err error) error {
	var rejected *dicomnet.RejectError
	var answer *dicomweb.HTTPError
	var status *dimse.StatusError
	if errors.As(err, &rejected) && rejected.Permanent() || errors.As(err, &answer) && answer.Permanent() || errors.As(err, &status) && !status.Transient() {
		return queue.Permanent(err)
	}
	return err
}

// leaves notes that a revision is about to go to a destination, before any of it does; false when it must not go: it is of shadow mode,
// it was withdrawn, or its images were rejected or their patient corrected in the meantime.
func (a *Appliance) leaves(lease *queue.Lease, d delivery, record *DraftRecord) (bool, error) {
	goes := false
	err := a.db.Update(func(tx *queue.Tx) error {
		goes = false
		s, err := tx.Study(lease.Job.Study)
		if err != nil || s == nil || record.Shadow || s.Withdrawal(d.Revision) != nil {
			return err
		}
		if worst, err := rejectionOf(tx, record); err != nil || worst != "" {
			return err
		}
		if title, _, err := a.faultNow(tx, s, record); err != nil || title != "" {
			return err
		}
		goes = true
		if slices.Contains(s.Sent[d.Destination], d.Revision) {
			return nil
		}
		if s.Sent == nil {
			s.Sent = map[string][]int{}
		}
		s.Sent[d.Destination] = append(s.Sent[d.Destination], d.Revision)
		return tx.PutStudy(s)
	})
	return goes, err
}

// staysHere ends the job of what must not go any more: a draft that was taken back or overtaken, a signed report that was signed anew.
func (a *Appliance) staysHere(lease *queue.Lease, note string) error {
	return a.done(lease, func(tx *queue.Tx) error {
		s, err := tx.Study(lease.Job.Study)
		if err != nil || s == nil {
			return err
		}
		s.Note(tx.Now(), note)
		return tx.PutStudy(s)
	})
}

// destinationOf returns the destination of a delivery.
func destinationOf(j queue.Job) string {
	var d delivery
	if json.Unmarshal(j.Payload, &d) != nil {
		return ""
	}
	return d.Destination
}

// destination finds a configured destination by its text, which for one that has another address by now is its former one: what it has must be withdrawn from
// it there. The error is one that trying again cannot mend.
func (a *Appliance) destination(text string) (config.Destination, error) {
	title, _, _ := strings.Cut(text, "@")
	var moved []config.Destination
	for _, d := range a.cfg().Destinations {
		if d.String() == text {
			return d, nil
		}
		if d.AETitle != "" && d.AETitle == title {
			moved = append(moved, d)
		}
	}
	if len(moved) == 1 {
		return moved[0], nil
	}
	return config.Destination{}, notConfigured(text)
}

// destinationFor finds the destination of a revision. Of two that both have, or had, to get it one is not the other's new address.
func (a *Appliance) destinationFor(uid string, d delivery) (config.Destination, error) {
	to, err := a.destination(d.Destination)
	if err != nil || to.String() == d.Destination {
		return to, err
	}
	s, err := a.studyRecord(uid)
	if err != nil || s == nil {
		return to, err
	}
	if own := s.Deliveries[to.String()]; own != nil && own.Revision == d.Revision || slices.Contains(s.Sent[to.String()], d.Revision) {
		return to, notConfigured(d.Destination)
	}
	return to, nil
}

func notConfigured(destination string) error {
	return queue.Permanent(fmt.Errorf("daemon: destination %s %w", destination, errNotConfigured))
}

// errNotConfigured says that a receiver was taken out of the configuration.
var errNotConfigured = errors.New("is not configured")

// nobodyThere reports whether a job that was a dead letter for want of its receiver, or of what it needs, was sent again, and there still is none: an
// administrator is done with it.
func nobodyThere(job queue.Job, cause error) bool {
	return (errors.Is(cause, errNotConfigured) || errors.Is(cause, errBeyond)) && job.LastError == cause.Error()
}

// letGo ends such a job: nothing waits for it any more.
func (a *Appliance) letGo(lease *queue.Lease, cause error) error {
	return a.done(lease, func(tx *queue.Tx) error {
		job := lease.Job
		s, err := tx.Study(job.Study)
		if err != nil || s == nil {
			return err
		}
		to := destinationOf(job)
		switch job.Kind {
		case kindDeliver:
			if d := s.Deliveries[to]; d != nil && d.Sent.IsZero() {
				delete(s.Deliveries, to)
			}
		case kindRetract:
			for _, w := range s.Withdrawn {
				if d := w.Deliveries[to]; d != nil && d.Sent.IsZero() {
					delete(w.Deliveries, to)
				}
			}
		case kindCommit:
			if d := s.Deliveries[to]; d != nil {
				d.Commitment = nil
			}
			r, err := tx.Reading(job.Study)
			if err != nil {
				return err
			}
			if r != nil {
				for i := range r.Signatures {
					delete(r.Signatures[i].Commitments, to)
				}
				if err := tx.PutReading(r); err != nil {
					return err
				}
			}
		}
		s.Note(tx.Now(), fmt.Sprintf("%s is given up for good: %v", job.Kind, cause))
		return tx.PutStudy(s)
	})
}
