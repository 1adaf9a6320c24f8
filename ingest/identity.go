package ingest

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"llamaxr/dicomnet/part10"
	"llamaxr/ingest/rejection"
	"llamaxr/queue"
	"llamaxr/study"
)

// successor returns how an object that came again with other bytes takes the place of the one that is known, nil where it does not.
func (r *Receiver) successor(path string, instance, known *queue.Instance) (take func(tx *queue.Tx, i, known *queue.Instance) error, err error) {
	replaces, err := r.replaces(instance, known)
	if replaces || err != nil {
		return r.replace, err
	}
	corrected, err := r.corrects(path, instance, known)
	if !corrected || err != nil {
		return nil, err
	}
	return r.correct, nil
}

// replaces reports whether an object that came again with other bytes brings one back whose file is gone: nothing is there that it could be held against. It is
// of the same study and SOP class, and of another patient or order only when its bytes are new and it may be that image: a machine may use its UIDs again. A note
// that takes objects back says what it said.
func (r *Receiver) replaces(instance, known *queue.Instance) (bool, error) {
	if !r.Spool.Lacks(known.Path) || known.Header.StudyInstanceUID != instance.Header.StudyInstanceUID ||
		known.Header.SOPClassUID != instance.Header.SOPClassUID || known.Header.SOPClassUID == rejection.KeyObjectSelection {
		return false, nil
	}
	if unmoved(known, instance) {
		return true, nil
	}
	was, is := known.Header, instance.Header
	if was.SeriesInstanceUID != is.SeriesInstanceUID || was.StudyDate != is.StudyDate || was.Rows != is.Rows || was.Columns != is.Columns {
		return false, nil
	}
	stale, err := r.stale(instance, known)
	return !stale, err
}

// corrects reports whether an object that came again with other bytes is a correction of its patient or its order: the same picture or document, another patient
// module or accession number. A PACS that reconciles a patient (IHE PIR) or an examination with its order (IHE SWF) keeps the SOP Instance UIDs
// and sends its objects on anew. The same UID with another picture is no correction but two objects under one UID, and bytes that were here before are
// a stale copy.
func (r *Receiver) corrects(path string, instance, known *queue.Instance) (bool, error) {
	if r.SamePicture == nil || unmoved(known, instance) || known.Header.StudyInstanceUID != instance.Header.StudyInstanceUID {
		return false, nil
	}
	if stale, err := r.stale(instance, known); stale || err != nil {
		return false, err
	}
	same, err := r.SamePicture(r.Spool.Path(known.Path), path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return same, err
}

// stale reports whether these bytes of an object were here before. Who sent the present ones, and not the first, undoes what it corrected, as an archive does that
// takes a merge back; another, and a modality or a router that sends all there is, has an old copy.
func (r *Receiver) stale(i, known *queue.Instance) (stale bool, err error) {
	err = r.DB.View(func(tx *queue.Tx) (err error) {
		stale, err = tx.IsAside(i.Header.SOPInstanceUID, i.SHA256)
		return err
	})
	return stale && (i.Calling == known.Calling || r.sender(known) != i.Calling), err
}

// sender is who sent the present file of an object, as its head says; empty when it does not. Calling is who sent the first.
func (r *Receiver) sender(i *queue.Instance) string {
	file, err := r.Spool.Open(r.Spool.Path(i.Path))
	if err != nil {
		return ""
	}
	defer file.Close()
	meta, err := part10.Decode(file)
	if err != nil {
		return ""
	}
	return meta.SourceAETitle
}

// unmoved reports whether an object that came again is of the patient and the order that are known.
func unmoved(known, again *queue.Instance) bool {
	return known.Header.SamePatientModule(again.Header) && !reordered(known, again)
}

// reordered reports whether an object names another order than before. One that names none says nothing of it.
func reordered(known, again *queue.Instance) bool {
	return again.Header.AccessionNumber != "" && again.Header.AccessionNumber != known.Header.AccessionNumber
}

// replace puts an object that came again in the place of one whose file is gone.
func (r *Receiver) replace(tx *queue.Tx, i, known *queue.Instance) error {
	if !unmoved(known, i) {
		return r.correct(tx, i, known)
	}
	i.Gone = cmp.Or(known.Gone, queue.GoneDamaged)
	i.Header.AccessionNumber = cmp.Or(i.Header.AccessionNumber, known.Header.AccessionNumber)
	if err := succeed(tx, i, known); err != nil {
		return err
	}
	if r.IsReport != nil && r.IsReport(i.Header.SOPClassUID) { // its text may be another
		if err := r.Report(tx, i); err != nil {
			return err
		}
	}
	return r.returned(tx, i.Header.SOPInstanceUID)
}

// succeed puts an object in the place of the one that is known, which stays aside.
func succeed(tx *queue.Tx, i, known *queue.Instance) error {
	came(i, tx.Now().UTC())
	i.PromisedUntil = known.PromisedUntil
	i.Header.KeepPatient(known.Header)
	i.Calling = known.Calling // whose picture it is: what the site does with it stays
	if err := tx.SetAside(known); err != nil {
		return err
	}
	if err := tx.PutInstance(i); err != nil {
		return err
	}
	return tx.IndexAccession(i.Header.AccessionNumber, i.Header.StudyInstanceUID)
}

// correct puts the corrected object in the place of the one that is known, and re-opens the study if it may be read for it.
func (r *Receiver) correct(tx *queue.Tx, i, known *queue.Instance) error {
	now, sender := tx.Now().UTC(), i.Calling
	if err := succeed(tx, i, known); err != nil {
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
	switch uid := i.Header.SOPInstanceUID; {
	case !slices.Contains(s.Instances, uid): // a document beside it
	case r.beside(s, known.Header) && r.beside(s, i.Header):
		s.Last, s.Removed = now, time.Time{}
		err = r.Look(tx, i)
	default:
		err = r.reopen(tx, s, uid, "a corrected object re-opened the study")
	}
	return errors.Join(err, tx.PutStudy(s))
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
