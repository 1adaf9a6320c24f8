package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"llamaxr/ingest"
	"llamaxr/ingest/pairing"
	"llamaxr/ingest/rejection"
	"llamaxr/queue"
	"llamaxr/reporting/sr"
	"llamaxr/study"
)

// withdrawalFile is our own rejection note of a revision.
const withdrawalFile = "withdrawal.dcm"

// rejected is told of a study that loses objects to a rejection note. One that is not read by the present draft changes nothing; else the
// study is drafted again, and what must not be seen is taken back at once.
func (a *Appliance) rejected(tx *queue.Tx, s *queue.Study, lost ingest.RejectedObjects) error {
	now := tx.Now()
	if lost.Title == study.RejectedRetention {
		for _, sop := range lost.Known {
			id := fmt.Sprintf("%s/%s/%s", kindForget, lost.Note, sop)
			if err := tx.Enqueue(queue.Job{ID: id, Kind: kindForget, Study: s.UID, Payload: mustJSON(sop)}); err != nil {
				return err
			}
		}
		s.Note(now, fmt.Sprintf("cached copies of %d objects are deleted: %s", len(lost.Known), lost.Title.Reason()))
		return nil
	}
	if err := a.rejectedThere(tx, s, lost); err != nil {
		return err
	}
	if err := a.release(tx, s); err != nil {
		return err
	}
	reads := func(sop string) bool { return s.Pair != nil && (s.Pair.Frontal == sop || s.Pair.Lateral == sop) }
	settled := s.State == queue.Drafted || s.State == queue.Delivered || s.State == queue.Shadow || s.State == queue.Failed
	if settled && !slices.ContainsFunc(lost.Known, reads) {
		s.Note(now, fmt.Sprintf("%d objects were rejected that the draft does not rest on: %s", len(lost.Known), lost.Title.Reason()))
	} else {
		s.Note(now, fmt.Sprintf("%d objects were rejected: %s", len(lost.Known), lost.Title.Reason()))
		s.State, s.Reason, s.Last = queue.Receiving, "", now.UTC()
		if err := tx.Postpone(completionJob(s.UID, now.Add(a.cfg().QuietTime), false)); err != nil {
			return err
		}
	}
	if !lost.Title.Final() {
		return nil
	}
	// Earlier revisions may rest on the objects even where the present one does not.
	return tx.Enqueue(withdrawJob(s.UID, lost.Note))
}

// rejectedThere tells the study whose draft reads the lateral view of this one.
func (a *Appliance) rejectedThere(tx *queue.Tx, s *queue.Study, lost ingest.RejectedObjects) error {
	if s.ReadWith == "" {
		return nil
	}
	there, err := tx.Study(s.ReadWith)
	if err != nil || there == nil || there.ReadWith != "" {
		return err
	}
	if err := a.rejected(tx, there, lost); err != nil {
		return err
	}
	return tx.PutStudy(there)
}

// release lets the study whose lateral view this one reads be asked about anew.
func (a *Appliance) release(tx *queue.Tx, s *queue.Study) error {
	if s.Pair == nil || s.Pair.Lateral == "" {
		return nil
	}
	i, err := tx.Instance(s.Pair.Lateral)
	if err != nil || i == nil || i.Header.StudyInstanceUID == s.UID {
		return err
	}
	other, err := tx.Study(i.Header.StudyInstanceUID)
	if err != nil || other == nil || other.ReadWith != s.UID || other.State != queue.Refused && !(other.State == queue.Failed && lent(other)) {
		return err
	}
	other.State, other.Reason, other.ReadWith = queue.Receiving, "", ""
	if err := tx.Postpone(completionJob(other.UID, tx.Now().Add(a.cfg().QuietTime), false)); err != nil {
		return err
	}
	return tx.PutStudy(other)
}

// withdrawJob takes back the drafts of a study that no longer stand; cause tells one from another.
func withdrawJob(uid, cause string) queue.Job {
	return queue.Job{ID: fmt.Sprintf("%s/%s/%s", kindWithdraw, uid, cause), Kind: kindWithdraw, Study: uid}
}

// moved has the drafts of a study taken back that stand under the patient or the order from before a correction, and that of the study which reads its
// lateral view: the next draft, which may never be made, is not waited for.
func (a *Appliance) moved(tx *queue.Tx, s *queue.Study, i *queue.Instance) error {
	for _, uid := range []string{s.UID, s.ReadWith} {
		if uid == "" {
			continue
		}
		if err := anew(tx, withdrawJob(uid, fmt.Sprintf("%.12s", i.SHA256))); err != nil { // also when the same was corrected, and undone, before
			return err
		}
	}
	return nil
}

// forget deletes the cached copies of one object that a note let expire: the file as received and the pictures of its view.
func (a *Appliance) forget(lease *queue.Lease) error {
	sop, err := payloadOf[string](lease)
	if err != nil {
		return err
	}
	if err := a.receiver.Forget(sop); err != nil {
		return err
	}
	for uid := lease.Job.Study; uid != ""; {
		s, err := a.studyRecord(uid)
		if err != nil {
			return err
		}
		for revision := 1; revision <= s.Revision; revision++ {
			if err := a.forgetPicture(uid, revision, sop); err != nil {
				return err
			}
		}
		if uid = s.ReadWith; uid == lease.Job.Study {
			break
		}
	}
	return a.done(lease, nil)
}

// forgetPicture deletes the picture of one object's view from a draft.
func (a *Appliance) forgetPicture(uid string, revision int, sop string) error {
	record, err := a.drafts.load(uid, revision)
	if err != nil {
		if lost(err) {
			return nil
		}
		return err
	}
	for view, h := range record.images() {
		if h != nil && h.SOPInstanceUID == sop {
			if err := a.drafts.remove(uid, revision, view.String()+".png"); err != nil {
				return err
			}
		}
	}
	return nil
}

// rejectionOf is the gravest rejection of the images that a draft rests on, empty when none was rejected.
func rejectionOf(tx *queue.Tx, record *DraftRecord) (worst study.RejectionTitle, err error) {
	for _, h := range []*study.Header{record.Frontal, record.Lateral} {
		if h == nil {
			continue
		}
		r, err := tx.Rejection(h.StudyInstanceUID, h.SOPInstanceUID)
		if err != nil {
			return "", err
		}
		if r != nil && r.Title.Outweighs(worst) {
			worst = r.Title
		}
	}
	return worst, nil
}

// fault says why a draft of the study must be taken back, given its images as they are paired now; the title is empty when it stands:
//   - it rests on an image that was rejected for good;
//   - it rests on one of bad quality and nothing takes its place (a later draft would replace it, as its predecessor);
//   - the study, or an image that it rests on, is another patient's by now, or the study is of more than one: a draft under the wrong name is what Incorrect Modality Worklist Entry
//     is for. The new draft then names no predecessor, which would join the two patients;
//   - it names another order than its image does now.
func (a *Appliance) fault(tx *queue.Tx, s *queue.Study, record *DraftRecord, pair study.Pair) (title study.RejectionTitle, reason string, err error) {
	const corrected = "the patient's identity was corrected"
	worst, err := rejectionOf(tx, record)
	switch {
	case err != nil:
		return "", "", err
	case worst.Final(), worst != "" && s.State == queue.Refused:
		return worst, "images were rejected: " + worst.Reason(), nil
	}
	drafted := record.Header()
	images := []string{pair.Frontal, pair.Lateral}
	for _, h := range record.images() {
		if h != nil {
			images = append(images, h.SOPInstanceUID)
		}
	}
	for _, sop := range images {
		if sop == "" {
			continue
		}
		i, err := tx.Instance(sop)
		if err != nil {
			return "", "", err
		}
		switch {
		case i == nil:
		case !i.Header.Patient().Same(drafted.Patient()):
			return study.RejectedWorklist, corrected, nil
		case sop == drafted.SOPInstanceUID && drafted.AccessionNumber != "" && i.Header.AccessionNumber != "" && i.Header.AccessionNumber != drafted.AccessionNumber:
			return study.RejectedWorklist, "the accession number was corrected", nil
		}
		if i == nil || i.Header.Patient() == drafted.Patient() {
			continue
		}
		// The draft did not know all of its patient: who that was the image said since, and may say otherwise by now.
		aside, err := tx.AsideOf(sop)
		if err != nil {
			return "", "", err
		}
		for _, before := range aside {
			if was := before.Header.Patient(); !ingest.IsApart(before.Path) && was.Same(drafted.Patient()) && !was.Same(i.Header.Patient()) {
				return study.RejectedWorklist, corrected, nil
			}
		}
	}
	if pair.Refusal == pairing.DifferentPatients {
		return study.RejectedWorklist, pair.Refusal, nil
	}
	return "", "", nil
}

// faultNow is fault by what the ledger knows at this moment.
func (a *Appliance) faultNow(tx *queue.Tx, s *queue.Study, record *DraftRecord) (title study.RejectionTitle, reason string, err error) {
	own, err := a.ownPair(tx, s.UID)
	if err != nil {
		return "", "", err
	}
	return a.fault(tx, s, record, own.pair)
}

// shaken says why nothing of a revision may be sent any more, though it may not be withdrawn yet; empty when it may.
func (a *Appliance) shaken(uid string, revision int) (why string, err error) {
	record, err := a.drafts.load(uid, revision)
	if err != nil {
		return "", err
	}
	err = a.db.View(func(tx *queue.Tx) error {
		s, err := tx.Study(uid)
		if err != nil || s == nil {
			return err
		}
		title, reason, err := a.faultNow(tx, s, record)
		if title.Final() {
			why = reason
		}
		return err
	})
	return why, err
}

// withdraw takes back the drafts of a study that no longer stand: a note of ours for each revision that may have left, to every destination
// that may have it. Running it again does what is left to do.
func (a *Appliance) withdraw(lease *queue.Lease) error {
	uid := lease.Job.Study
	p, err := a.pairOf(uid)
	if err != nil {
		return err
	}
	s, err := a.studyRecord(uid)
	if err != nil {
		return err
	}
	var taken []*queue.Withdrawal
	var beyond error
	for revision := 1; revision <= s.Revision; revision++ {
		if s.Withdrawal(revision) != nil {
			continue
		}
		record, err := a.drafts.load(uid, revision)
		if lost(err) {
			if !mayHaveLeft(s, revision) {
				continue
			}
			record, err = a.salvaged(uid, revision)
		}
		if errors.Is(err, errBeyond) {
			if doubted, doubt := a.doubted(uid, p.pair); doubt != nil {
				return doubt
			} else if doubted {
				beyond = err
			}
			continue
		}
		if err != nil {
			return err
		}
		w := &queue.Withdrawal{Revision: revision}
		err = a.db.View(func(tx *queue.Tx) (err error) {
			w.Title, w.Reason, err = a.fault(tx, s, record, p.pair)
			w.Time = tx.Now().UTC()
			return err
		})
		if err != nil {
			return err
		}
		if w.Title == "" {
			continue
		}
		if len(record.Documents) > 0 {
			if err := a.writeWithdrawal(record, w); err != nil {
				return err
			}
		}
		taken = append(taken, w)
	}
	for _, w := range taken {
		if err := a.enter(DraftEntry{Act: ActWithdrawn, Study: uid, Revision: w.Revision, Reason: w.Reason}); err != nil {
			return err
		}
	}
	if beyond != nil {
		if err := a.db.Update(func(tx *queue.Tx) error { return a.recordWithdrawals(tx, uid, taken) }); err != nil {
			return err
		}
		return beyond
	}
	return a.done(lease, func(tx *queue.Tx) error { return a.recordWithdrawals(tx, uid, taken) })
}

// doubted reports whether something of a study was taken back for good, so that a draft of which nothing is known any more may rest on it.
func (a *Appliance) doubted(uid string, pair study.Pair) (doubted bool, err error) {
	err = a.db.View(func(tx *queue.Tx) error {
		rejected, err := tx.Rejections(uid)
		doubted = pair.Refusal == pairing.DifferentPatients || slices.ContainsFunc(rejected, func(r *queue.Rejection) bool { return r.Title.Final() })
		return err
	})
	return doubted, err
}

// writeWithdrawal makes our note for a revision, which is the same each time, and enters it in w.
func (a *Appliance) writeWithdrawal(record *DraftRecord, w *queue.Withdrawal) error {
	in := sr.Input{Draft: record.Draft, Frontal: record.Frontal, Lateral: record.Lateral, Time: w.Time.In(time.Local), Device: a.device}
	var documents []sr.Rejected
	for _, d := range record.Documents {
		documents = append(documents, sr.Rejected{SOPClassUID: d.SOPClassUID, SOPInstanceUID: d.SOPInstanceUID, SeriesInstanceUID: d.SeriesInstanceUID})
	}
	note, err := sr.RejectionNote(in, w.Title, w.Reason, documents)
	if err != nil {
		return err
	}
	w.Note = note.SOPInstanceUID
	w.SHA256, err = a.writeDocument(record.Draft.StudyInstanceUID, w.Revision, withdrawalFile, note)
	return err
}

// errMeanwhile makes a withdrawal look again: documents were made and sent while it ran.
var errMeanwhile = errors.New("daemon: a draft left while it was being withdrawn")

func (a *Appliance) recordWithdrawals(tx *queue.Tx, uid string, taken []*queue.Withdrawal) error {
	s, err := tx.Study(uid)
	if err != nil || s == nil {
		return err
	}
	for _, w := range taken {
		if s.Withdrawal(w.Revision) != nil {
			continue
		}
		s.Withdrawn = append(s.Withdrawn, w)
		s.Note(tx.Now(), fmt.Sprintf("revision %d withdrawn: %s", w.Revision, w.Reason))
		if err := a.announce(tx, s, announcement{Event: string(study.ResultWithdrawn), Revision: w.Revision}); err != nil {
			return err
		}
		for _, d := range a.cfg().Destinations {
			if err := tx.Cancel(deliveryID(uid, w.Revision, d.String())); err != nil {
				return err
			}
			if err := tx.Cancel(committal{Revision: w.Revision, Destination: d.String()}.job(uid).ID); err != nil {
				return err
			}
		}
		for _, to := range a.mayHave(s, w.Revision) {
			if w.Note == "" {
				return errMeanwhile
			}
			if w.Deliveries == nil {
				w.Deliveries = map[string]*queue.Delivery{}
			}
			w.Deliveries[to] = &queue.Delivery{Revision: w.Revision}
			if err := tx.Enqueue(retractJob(uid, w.Revision, to)); err != nil {
				return err
			}
		}
	}
	if err := a.moveAlert(tx, s); err != nil {
		return err
	}
	return tx.PutStudy(s)
}

// mayHave are the destinations that may hold documents of a revision.
func (a *Appliance) mayHave(s *queue.Study, revision int) (to []string) {
	for _, d := range a.cfg().Destinations {
		if slices.Contains(s.Sent[anywhere], revision) && !slices.Contains(s.Sent[d.String()], revision) {
			to = append(to, d.String())
		}
	}
	for d, revisions := range s.Sent {
		if d != anywhere && slices.Contains(revisions, revision) {
			to = append(to, d)
		}
	}
	return to
}

func retractJob(uid string, revision int, to string) queue.Job {
	id := fmt.Sprintf("%s/%s/%d/%s", kindRetract, uid, revision, to)
	return queue.Job{ID: id, Kind: kindRetract, Study: uid, Payload: mustJSON(delivery{revision, to})}
}

// stillSending is how soon a note that waits for what it takes back to have been sent looks again.
const stillSending = time.Second

// retract sends our rejection note of a revision to one destination.
func (a *Appliance) retract(ctx context.Context, lease *queue.Lease) error {
	d, err := payloadOf[delivery](lease)
	if err != nil {
		return err
	}
	uid := lease.Job.Study
	to, err := a.destinationFor(uid, d)
	if err != nil {
		return err
	}
	// An object that comes after its rejection may be kept.
	sending := false
	err = a.db.View(func(tx *queue.Tx) error {
		for _, id := range []string{deliveryID(uid, d.Revision, d.Destination), committal{Revision: d.Revision, Destination: d.Destination}.job(uid).ID} {
			j, err := tx.Job(id)
			if err != nil {
				return err
			}
			sending = sending || j != nil && j.Leased.After(tx.Now())
		}
		return nil
	})
	if err != nil {
		return err
	}
	if sending {
		return lease.PutOff(time.Now().Add(stillSending))
	}
	path, err := a.wholeWithdrawal(uid, d.Revision)
	if err != nil {
		return err
	}
	if err := a.sendTo(ctx, to, uid, path); err != nil {
		return err
	}
	a.log.Info("draft withdrawn", "study", uid, "revision", d.Revision, "destination", d.Destination)
	return a.done(lease, func(tx *queue.Tx) error {
		s, err := tx.Study(uid)
		if err != nil || s == nil {
			return err
		}
		if w := s.Withdrawal(d.Revision); w != nil && w.Deliveries != nil {
			w.Deliveries[d.Destination] = &queue.Delivery{Revision: d.Revision, Sent: tx.Now().UTC()}
		}
		s.Note(tx.Now(), fmt.Sprintf("revision %d withdrawn at %s", d.Revision, d.Destination))
		return tx.PutStudy(s)
	})
}

// wholeWithdrawal returns the file of our note of a revision, made again when it is gone or not what was written.
func (a *Appliance) wholeWithdrawal(uid string, revision int) (path string, err error) {
	folder := a.drafts.folder(uid, revision)
	path = filepath.Join(folder, withdrawalFile)
	s, err := a.studyRecord(uid)
	if err != nil {
		return "", err
	}
	w := s.Withdrawal(revision)
	if w == nil {
		return path, nil
	}
	err = a.drafts.stands(folder, withdrawalFile, w.SHA256, func() (bool, error) {
		note, err := rejection.Read(a.object, path)
		return note != nil && note.Title == w.Title, err
	})
	if !lost(err) {
		return path, err
	}
	record, err := a.recordOf(uid, revision)
	if err != nil {
		return "", err
	}
	known := *w
	if err := a.writeWithdrawal(record, w); err != nil || w.Note == known.Note && w.SHA256 == known.SHA256 {
		return path, err
	}
	return path, a.db.Update(func(tx *queue.Tx) error { // another program's, or of an older record
		s, err := tx.Study(uid)
		if err != nil || s == nil || s.Withdrawal(revision) == nil {
			return err
		}
		now := s.Withdrawal(revision)
		now.Note, now.SHA256 = w.Note, w.SHA256
		return tx.PutStudy(s)
	})
}

// replaced returns the newest draft before a revision that still stands, nil when there is none: the new one names it as predecessor.
func (a *Appliance) replaced(uid string, revision int, now *DraftRecord) (*DraftRecord, error) {
	for earlier := revision - 1; earlier > 0; earlier-- {
		record, err := a.drafts.load(uid, earlier)
		if lost(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		title := study.RejectionTitle("")
		err = a.db.View(func(tx *queue.Tx) error {
			s, err := tx.Study(uid)
			if err != nil || s == nil {
				return err
			}
			if w := s.Withdrawal(earlier); w != nil { // also where the correction that it was withdrawn for was undone
				title = w.Title
				return nil
			}
			title, _, err = a.fault(tx, s, record, now.Draft.Pair)
			return err
		})
		if err != nil {
			return nil, err
		}
		if title == "" && len(record.Documents) > 0 && !record.Shadow { // nobody else has one of shadow mode
			return record, nil
		}
	}
	return nil, nil
}

// latestPatient gives both views the patient module of the object that came last: a name corrected between two images is right in one.
func (r *DraftRecord) latestPatient(frontal, lateral *queue.Instance) {
	newest := ingest.Newest(frontal, lateral)
	if newest == nil {
		return
	}
	for _, h := range []*study.Header{r.Frontal, r.Lateral} {
		if h != nil && h.Patient().Same(newest.Patient()) {
			h.PatientName, h.PatientSex = newest.PatientName, newest.PatientSex
		}
	}
}
