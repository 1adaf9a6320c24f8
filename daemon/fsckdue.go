package daemon

import (
	"slices"
	"strconv"
	"strings"

	"llamaxr/queue"
	"llamaxr/study"
)

// dueSigned are the jobs that the signatures of a study need: its document, and that the last gets to where the draft went.
func dueSigned(tx *queue.Tx, s *queue.Study) (jobs []queue.Job, err error) {
	r, err := tx.Reading(s.UID)
	if err != nil || r == nil {
		return nil, err
	}
	for _, signature := range r.Signatures {
		if signature.SOPInstanceUID == "" {
			jobs = append(jobs, signJob(s.UID, signature.Number))
		}
	}
	last := r.Signed()
	if last == nil || last.SOPInstanceUID == "" {
		return jobs, nil
	}
	for to := range s.Deliveries {
		job := signedJob(s.UID, signedDelivery{last.Number, to})
		if last.Delivered[to].IsZero() && !tx.IsDone(job.ID) {
			jobs = append(jobs, job)
		}
	}
	return jobs, nil
}

// dueWithdrawal is the job that takes back drafts of a study which rest on what was rejected for good or is another patient's, and are not being taken back.
func (a *Appliance) dueWithdrawal(tx *queue.Tx, s *queue.Study, jobs []*queue.Job) ([]queue.Job, error) {
	if settling(s) || slices.ContainsFunc(jobs, func(j *queue.Job) bool { return j.Kind == kindWithdraw }) {
		return nil, nil
	}
	for revision := 1; revision <= s.Revision; revision++ {
		if s.Withdrawal(revision) != nil {
			continue
		}
		record, err := a.drafts.load(s.UID, revision)
		if err != nil {
			continue // revisions tells of it
		}
		if title, _, err := a.fault(tx, s, record, study.Pair{}); err != nil {
			return nil, err
		} else if title.Final() {
			return []queue.Job{withdrawJob(s.UID, strconv.Itoa(s.Revision))}, nil
		}
	}
	return nil, nil
}

// dueDamaged are the jobs of a study that its other records do not show to be due, where those of the jobs themselves are damaged: their identifiers say what they
// were. Of a job that left no trace it is not known whether it was done.
func (a *Appliance) dueDamaged(tx *queue.Tx, s *queue.Study) (jobs []queue.Job, err error) {
	ids, err := tx.JobsSetAside()
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	reading, err := tx.Reading(s.UID)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if alert := s.Alert(); alert.Open() && id == escalation(s.UID, alert).ID {
			job := escalation(s.UID, alert)
			job.NotBefore = tx.Now().Add(a.cfg().Escalation.After)
			jobs = append(jobs, job)
		}
		kind, n, ok := announcementIn(id, s.UID)
		if !ok {
			continue
		}
		if kind == kindHL7 || kind == kindFHIR { // an older result would take a newer one's place
			switch study.ResultStatus(n.Event) {
			case study.ResultDraft:
				ok = n.Revision == s.Revision
			case study.ResultSigned, study.ResultCorrected:
				ok = reading != nil && n.Number == len(reading.Signatures)
			}
		}
		if ok {
			n.Time, n.Sequence = tx.Now().UTC(), s.Announced
			jobs = append(jobs, queue.Job{ID: id, Kind: kind, Study: s.UID, Payload: mustJSON(n)})
		}
	}
	return jobs, nil
}

// announcementIn is what the identifier of a job says that tells another system of a study.
func announcementIn(id, uid string) (kind string, n announcement, ok bool) {
	kind, rest, _ := strings.Cut(id, "/")
	name, what, ok := strings.Cut(rest, "/"+uid+"/")
	parts := strings.SplitN(what, "/", 4)
	if !ok || len(parts) < 4 || !slices.Contains([]string{kindHL7, kindFHIR, kindWebhook, kindMail}, kind) {
		return "", n, false
	}
	revision, badRevision := strconv.Atoi(parts[1])
	number, badNumber := strconv.Atoi(parts[2])
	n = announcement{Outlet: name, Event: parts[0], Revision: revision, Number: number, Detail: parts[3]}
	return kind, n, badRevision == nil && badNumber == nil
}

// promises finds requests for storage commitment whose result nobody reports.
func (s *survey) promises() error {
	var lost []string
	err := s.a.db.View(func(tx *queue.Tx) error {
		return tx.EachPromise(func(key string, p *queue.Promise) error {
			id := promiseJob(key).ID
			job, err := tx.Job(id)
			if job == nil && p.Reported.IsZero() && !tx.IsDone(id) {
				lost = append(lost, key)
			}
			return err
		})
	})
	for _, key := range lost {
		s.find("storage commitment "+key, "nobody reports its result", "the job is made again", func() error {
			return s.a.db.Update(func(tx *queue.Tx) error { return tx.Enqueue(promiseJob(key)) })
		})
	}
	return err
}
