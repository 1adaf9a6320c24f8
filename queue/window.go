package queue

import (
	"time"

	"llamaxr/study"
)

// ScoredStudy is what a recent draft was scored, for the watch on the scores' distribution.
type ScoredStudy struct {
	Study      string           `json:"study_instance_uid"`
	Time       time.Time        `json:"time"`
	Classifier string           `json:"classifier"` // digest of the weights
	Scores     study.PairScores `json:"scores"`
}

// windowTime orders the keys of the window: it is as long for every time.
const windowTime = "2006-01-02T15:04:05.000000000Z"

// AddScores puts a study into the window of recent scores, in the place of an earlier revision of it, and lets the oldest go when there are
// more than most.
func (tx *Tx) AddScores(s ScoredStudy, most int) error {
	s.Time = s.Time.UTC()
	var keys []string
	err := each(tx, bucketScores, func(key string, old *ScoredStudy) error {
		if old.Study == s.Study {
			return nil
		}
		keys = append(keys, key)
		return nil
	})
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, key := range keys[max(0, len(keys)-most+1):] {
		keep[key] = true
	}
	var gone [][]byte
	err = tx.bolt.Bucket(bucketScores).ForEach(func(key, _ []byte) error {
		if !keep[string(key)] {
			gone = append(gone, append([]byte(nil), key...))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, key := range gone {
		if err := tx.set(bucketScores, key, nil); err != nil {
			return err
		}
	}
	return put(tx, bucketScores, s.Time.Format(windowTime)+"/"+s.Study, s)
}

// RecentScores is the window of recent scores, the oldest first.
func (tx *Tx) RecentScores() (out []*ScoredStudy, err error) {
	err = each(tx, bucketScores, func(_ string, s *ScoredStudy) error { out = append(out, s); return nil })
	return out, err
}
