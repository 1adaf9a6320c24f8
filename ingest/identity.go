package ingest

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"llamaxr/queue"
	"llamaxr/study"
)

// corrects reports whether an object that came again with other bytes is a correction of its patient or its order: the same picture, another patient
// module or accession number. A PACS that reconciles a patient (IHE PIR) or an examination with its order (IHE SWF) keeps the SOP Instance UIDs
// and sends its objects on anew. The same UID with another picture is no correction but two objects under one UID, bytes that were here before are
// a sender's stale copy, and what is gone can be compared with nothing.
func (r *Receiver) corrects(path string, instance, known *queue.Instance) (bool, error) {
	same := known.Header.SamePatientModule(instance.Header) && !reordered(known, instance)
	if r.SamePicture == nil || same || known.Header.StudyInstanceUID != instance.Header.StudyInstanceUID {
		return false, nil
	}
	stale := false
	err := r.DB.View(func(tx *queue.Tx) (err error) {
		stale, err = tx.IsAside(instance.Header.SOPInstanceUID, instance.SHA256)
		return err
	})
	if err != nil || stale {
		return false, err
	}
	same, err = r.SamePicture(r.Spool.Path(known.Path), path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return same, err
}

// reordered reports whether an object names another order than before. One that names none says nothing of it.
func reordered(known, again *queue.Instance) bool {
	return again.Header.AccessionNumber != "" && again.Header.AccessionNumber != known.Header.AccessionNumber
}

// correct puts the corrected object in the place of the one that is known, which stays aside, and re-opens the study.
func (r *Receiver) correct(tx *queue.Tx, i, known *queue.Instance) error {
	now, sender := tx.Now().UTC(), i.Calling
	came(i, now)
	i.PromisedUntil = known.PromisedUntil
	i.Header.KeepPatient(known.Header)
	i.Calling = known.Calling // whose picture it is: what the site does with it stays
	if err := tx.SetAside(known); err != nil {
		return err
	}
	if err := tx.PutInstance(i); err != nil {
		return err
	}
	if err := tx.IndexAccession(i.Header.AccessionNumber, i.Header.StudyInstanceUID); err != nil {
		return err
	}
	s, err := tx.Study(i.Header.StudyInstanceUID)
	if err != nil || s == nil {
		return err
	}
	what, moved := "the spelling of the patient's name or the sex", false
	switch {
	case !i.Header.Patient().Same(known.Header.Patient()):
		what, moved = "the patient's identity", true
	case reordered(known, i):
		what, moved = "the accession number", true
	case i.Header.Patient() != known.Header.Patient():
		what = "a missing issuer of the Patient ID or birth date"
	}
	s.Note(now, fmt.Sprintf("%s corrected %s; the first object is kept aside", sender, what))
	if moved {
		if err := r.Moved(tx, s, i); err != nil {
			return err
		}
	}
	if err := r.reopen(tx, s, i.Header.SOPInstanceUID, "a corrected object re-opened the study"); err != nil {
		return err
	}
	return tx.PutStudy(s)
}

// reopen makes the study wait for the rest again and has the object looked at.
func (r *Receiver) reopen(tx *queue.Tx, s *queue.Study, sopInstanceUID, why string) error {
	now := tx.Now().UTC()
	if s.State != queue.Receiving {
		if s.Revision > 0 {
			s.Note(now, why)
		}
		s.State, s.Reason = queue.Receiving, ""
	}
	s.Last, s.Removed = now, time.Time{}
	s.Drafted = slices.DeleteFunc(s.Drafted, func(uid string) bool { return uid == sopInstanceUID }) // not as it is now
	i, err := tx.Instance(sopInstanceUID)
	if err != nil {
		return err
	}
	if err := r.Look(tx, i); err != nil {
		return err
	}
	return r.Complete(tx, s)
}

// Newest returns the header of the object that came last: what it says of the patient is the latest.
func Newest(instances ...*queue.Instance) *study.Header {
	var newest *queue.Instance
	for _, i := range instances {
		if i != nil && (newest == nil || i.Received.After(newest.Received)) {
			newest = i
		}
	}
	if newest == nil {
		return nil
	}
	return &newest.Header
}
