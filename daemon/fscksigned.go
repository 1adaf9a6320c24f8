package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"llamaxr/queue"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// signatures finds studies of which signed reports are on the disk and their signatures are lost.
func (s *survey) signatures() error {
	var lost []string
	err := s.a.db.View(func(tx *queue.Tx) error {
		return tx.EachStudy(func(st *queue.Study) error {
			r, err := tx.Reading(st.UID)
			if err != nil && !errors.Is(err, queue.ErrDamaged) {
				return err
			}
			if n := s.a.drafts.signed(st.UID); n > 0 && (r == nil || len(r.Signatures) < n) {
				lost = append(lost, st.UID)
			}
			return nil
		})
	})
	if err != nil || len(lost) == 0 {
		return err
	}
	entries := map[string][]DraftEntry{}
	_, err = ReadRecord(s.a.cfg().State, func(line []byte) error {
		var e DraftEntry
		if !bytes.Contains(line, []byte(`"act":"`+ActSigned+`"`)) || json.Unmarshal(line, &e) != nil || e.Act != ActSigned {
			return nil
		}
		entries[e.Study] = append(entries[e.Study], e)
		return nil
	})
	if err != nil { // what was read of it is sound
		s.a.log.Error("reading the record of drafts for lost signatures", "error", err)
	}
	for _, uid := range lost {
		s.find("study "+uid, "signatures of its report are lost", "they are taken from the record of drafts", func() error { return s.a.signedBefore(uid, entries[uid]) })
	}
	return nil
}

// finals checks the signed reports of a study and our rejection notes of its drafts. Retention removes both.
func (s *survey) finals(st *queue.Study) error {
	if !s.deep {
		return nil
	}
	var r *queue.Reading
	if err := s.a.db.View(func(tx *queue.Tx) (err error) { r, err = tx.Reading(st.UID); return err }); err != nil {
		return err
	}
	check := func(revision int, name, sum, repair string, jobs ...queue.Job) {
		if sum == "" {
			return
		}
		err := s.a.drafts.hold(s.a.drafts.folder(st.UID, revision), name, sum)
		if err == nil || errors.Is(err, fs.ErrNotExist) && !st.Removed.IsZero() {
			return
		}
		s.find(fmt.Sprintf("study %s, revision %d", st.UID, revision), err.Error(), repair, func() error {
			return s.a.db.Update(func(tx *queue.Tx) (err error) {
				for _, j := range jobs {
					err = errors.Join(err, tx.Again(j))
				}
				return err
			})
		})
	}
	if r != nil {
		for _, signature := range r.Signatures {
			check(signature.Revision, signedFile(signature.Number), signature.SHA256, "the appliance makes it again when it runs", signJob(st.UID, signature.Number))
		}
	}
	for _, w := range st.Withdrawn {
		var jobs []queue.Job
		for to := range w.Deliveries {
			jobs = append(jobs, retractJob(st.UID, w.Revision, to))
		}
		if len(jobs) > 0 {
			check(w.Revision, withdrawalFile, w.SHA256, "the appliance makes it again when it runs, and sends it again", jobs...)
		}
	}
	return nil
}

// signed is how many signed reports of a study there are.
func (d drafts) signed(studyUID string) int {
	files, _ := fs.Glob(os.DirFS(filepath.Dir(d.folder(studyUID, 1))), "*/signed-*.dcm") // the pattern is sound
	return len(files)
}

// signedBefore gives a study the signatures back that the record of drafts has of it, and has the last sent again.
func (a *Appliance) signedBefore(uid string, entries []DraftEntry) error {
	n := a.drafts.signed(uid)
	for i := 1; i < len(entries) && len(entries) > n; { // one that a crash made be entered again
		if b, c := entries[i-1], entries[i]; b.By == c.By && b.Revision == c.Revision && b.Findings == c.Findings && b.Impression == c.Impression {
			entries = append(entries[:i:i], entries[i+1:]...)
		} else {
			i++
		}
	}
	if len(entries) != n {
		return fmt.Errorf("the record of drafts has %d of %d", len(entries), n)
	}
	var all []queue.Signature
	for i, e := range entries {
		signature, err := a.signatureOf(e, i+1)
		if err != nil {
			return err
		}
		all = append(all, signature)
	}
	return a.db.Update(func(tx *queue.Tx) error {
		s, err := tx.Study(uid)
		if err != nil || s == nil {
			return err
		}
		r, err := tx.Reading(uid)
		if err != nil {
			return err
		}
		if r == nil {
			r = &queue.Reading{StudyInstanceUID: uid}
		}
		last := all[n-1]
		r.Signatures = append(r.Signatures, all[min(len(r.Signatures), n):]...)
		if last.Time.After(r.Time) {
			r.MoveTo(last.Revision)
			r.State, r.Findings, r.Impression = queue.ReadingSigned, last.Findings, last.Impression
			r.By, r.ByName, r.Time = last.User, last.User, last.Time
		}
		r.Version++
		to := map[string]bool{}
		for d := range s.Deliveries {
			to[d] = true
		}
		for _, d := range a.cfg().Destinations {
			to[d.String()] = true
		}
		for d := range to {
			if err := tx.Again(signedJob(uid, signedDelivery{n, d})); err != nil {
				return err
			}
		}
		return tx.PutReading(r)
	})
}

// signatureOf is a signature as the record of drafts and its document have it.
func (a *Appliance) signatureOf(e DraftEntry, number int) (queue.Signature, error) {
	file, err := a.object(filepath.Join(a.drafts.folder(e.Study, e.Revision), signedFile(number)))
	if err != nil {
		return queue.Signature{}, err
	}
	defer file.Close()
	out := queue.Signature{
		Number: number, Revision: e.Revision, User: e.By, Name: e.By, Findings: e.Findings, Impression: e.Impression, Time: e.Time,
		SOPInstanceUID: file.Header.SOPInstanceUID, SeriesInstanceUID: file.Header.SeriesInstanceUID,
	}
	for _, observer := range file.Sequence(tag.VerifyingObserverSequence) {
		out.Name = observer.Text(tag.VerifyingObserverName)
		if at, err := time.Parse("20060102150405-0700", strings.TrimSpace(observer.Text(tag.VerificationDateTime))); err == nil {
			out.Time = at.UTC()
		}
	}
	return out, nil
}
