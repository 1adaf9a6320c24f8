package daemon

import (
	"slices"
	"strconv"

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
