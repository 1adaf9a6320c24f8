package queue

import "time"

// Told is what one system was told of a study.
type Told struct {
	Last   int   `json:"last"`             // the number of the newest announcement that it took
	Drafts []int `json:"drafts,omitempty"` // revisions that it may hold as a draft, from before the first of each went out
}

// JobsUnder returns the jobs that are not done whose IDs begin with prefix, in the order of their IDs.
func (tx *Tx) JobsUnder(prefix string) (out []*Job, err error) {
	err = eachWith(tx, bucketJobs, prefix, func(_ string, j *Job) error { out = append(out, j); return nil })
	return out, err
}

// PutOff gives the job back untried, to be taken again at a later time: something that must come before it is not done yet.
func (l *Lease) PutOff(until time.Time) error {
	return l.db.Update(func(tx *Tx) error {
		j, err := l.held(tx)
		if err != nil {
			return err
		}
		j.Leased, j.NotBefore = time.Time{}, until
		j.Attempts--
		return put(tx, bucketJobs, j.ID, j)
	})
}
