package daemon

import (
	"fmt"

	"llamaxr/queue"
	"llamaxr/study"
)

// studyRecord returns a study that a job is about.
func (a *Appliance) studyRecord(uid string) (s *queue.Study, err error) {
	err = a.db.View(func(tx *queue.Tx) error {
		s, err = tx.Study(uid)
		if err == nil && s == nil {
			err = queue.Permanent(fmt.Errorf("%w: %s", ErrNoStudy, uid))
		}
		return err
	})
	return s, err
}

// instance returns an object's record, nil when there is none.
func (a *Appliance) instance(sop string) (i *queue.Instance, err error) {
	err = a.db.View(func(tx *queue.Tx) error {
		i, err = tx.Instance(sop)
		return err
	})
	return i, err
}

// instances returns the records of a pair's images, nil for a view that was not acquired.
func (a *Appliance) instances(pair study.Pair) (frontal, lateral *queue.Instance, err error) {
	if pair.Frontal != "" {
		frontal, err = a.instance(pair.Frontal)
	}
	if pair.Lateral != "" && err == nil {
		lateral, err = a.instance(pair.Lateral)
	}
	return frontal, lateral, err
}
