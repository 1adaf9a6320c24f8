package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf8"

	"llamaxr/queue"
	"llamaxr/reporting/labeler"
	"llamaxr/study"
)

// maxSection bounds a section of a report in bytes, so that both fit into what corrections take.
const maxSection = 24 << 10

// Hand is who changes a reading.
type Hand struct {
	User string // name he logs in with
	Name string // as people say it
	// Enter, when not nil, enters the change into the audit log, as the last thing before it is committed: its error refuses the change. It may be called
	// again for one change, which may fail to be committed afterwards.
	Enter func(detail string) error
}

func (h Hand) enter(detail string) error {
	if h.Enter == nil {
		return nil
	}
	return h.Enter(detail)
}

// Edit is a reading as its reader wants it.
type Edit struct {
	Version    int    `json:"version"`  // that he saw; 0 when nobody had begun
	Revision   int    `json:"revision"` // of the draft that he saw
	Findings   string `json:"findings"`
	Impression string `json:"impression"`
}

// ConflictError says that a reading is not the one that the reader saw any more: somebody else was there, or he himself elsewhere.
type ConflictError struct{ Reading queue.Reading }

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("daemon: the report was changed by %s at %s", e.Reading.ByName, e.Reading.Time.Format("15:04:05"))
}

// Errors of readings that a reader can mend.
var (
	ErrNothingToRead = errors.New("daemon: the study has no draft")
	ErrNotOpen       = errors.New("daemon: the report is signed or its draft rejected; it must be reopened first")
	ErrEmptyReport   = errors.New("daemon: findings and impression must both say something")
	ErrReason        = errors.New("daemon: a rejection needs a reason")
	ErrSigned        = errors.New("daemon: a signed report stands; amend it and sign it anew")
	ErrWithdrawn     = errors.New("daemon: the draft was withdrawn: its images were rejected, or its patient corrected")
)

// SaveReading keeps a text as it stands. It is durable when SaveReading returns.
func (a *Appliance) SaveReading(uid string, by Hand, e Edit) (*queue.Reading, error) {
	return a.changeReading(uid, by, e, func(tx *queue.Tx, r *queue.Reading, _ *queue.Study) error {
		if r.State != queue.ReadingOpen {
			return ErrNotOpen
		}
		return nil
	})
}

// SignReading makes a text final, unless what it was drafted from no longer stands. The VERIFIED report, its delivery and the correction
// follow from a job, whatever crashes.
func (a *Appliance) SignReading(uid string, by Hand, physician string, e Edit) (*queue.Reading, error) {
	return a.changeReading(uid, by, e, func(tx *queue.Tx, r *queue.Reading, s *queue.Study) error {
		if r.State != queue.ReadingOpen {
			return ErrNotOpen
		}
		if s.Withdrawal(r.Revision) != nil {
			return ErrWithdrawn
		}
		record, err := a.drafts.load(uid, r.Revision)
		if err != nil {
			return err
		}
		if title, _, err := a.faultNow(tx, s, record); err != nil {
			return err
		} else if title != "" { // it is about to be
			return ErrWithdrawn
		}
		if len(labeler.Sentences(r.Findings)) == 0 || len(labeler.Sentences(r.Impression)) == 0 {
			return ErrEmptyReport
		}
		r.State = queue.ReadingSigned
		number := len(r.Signatures) + 1
		r.Signatures = append(r.Signatures, queue.Signature{
			Number: number, Revision: r.Revision, User: by.User, Name: physician, Findings: r.Findings, Impression: r.Impression, Time: r.Time,
		})
		s.Note(tx.Now(), fmt.Sprintf("report signed by %s (signature %d)", by.User, number))
		if err := a.acknowledged(tx, s, by, queue.HowSigned, r.Revision); err != nil {
			return err
		}
		if err := tx.PutStudy(s); err != nil {
			return err
		}
		return tx.Again(signJob(uid, number)) // one of that number may have been lost
	})
}

// ReportStands reports whether a study's newest signed report is of a revision that was not withdrawn.
func ReportStands(s *queue.Study, r *queue.Reading, revision int) bool {
	signed := r.Signed()
	return signed != nil && signed.Revision == revision && s.Withdrawal(revision) == nil
}

// RejectDraft refuses a draft. Nothing is sent: the draft stays what it was, unverified. One on which a signed report stands is not refused: that would take
// nothing back.
func (a *Appliance) RejectDraft(uid string, by Hand, reason string, e Edit) (*queue.Reading, error) {
	if reason = strings.TrimSpace(reason); reason == "" || len(reason) > 1000 {
		return nil, ErrReason
	}
	return a.changeReading(uid, by, e, func(tx *queue.Tx, r *queue.Reading, s *queue.Study) error {
		if r.State != queue.ReadingOpen {
			return ErrNotOpen
		}
		if ReportStands(s, r, r.Revision) {
			return ErrSigned
		}
		r.State, r.Reason = queue.ReadingRejected, reason
		s.Note(tx.Now(), fmt.Sprintf("draft of revision %d rejected by %s", r.Revision, by.User))
		if err := a.acknowledged(tx, s, by, queue.HowRejected, r.Revision); err != nil {
			return err
		}
		entry := DraftEntry{Act: ActRejected, By: by.User, Study: uid, Revision: r.Revision, Reason: reason}
		if err := tx.Enqueue(recordJob(entry, r.Version)); err != nil {
			return err
		}
		return tx.PutStudy(s)
	})
}

// ReopenReading lets a signed or rejected report be edited again. A later signature replaces the signed report.
func (a *Appliance) ReopenReading(uid string, by Hand, e Edit) (*queue.Reading, error) {
	return a.changeReading(uid, by, e, func(tx *queue.Tx, r *queue.Reading, s *queue.Study) error {
		if r.State == queue.ReadingOpen {
			return nil
		}
		r.State, r.Reason = queue.ReadingOpen, ""
		s.Note(tx.Now(), "report reopened by "+by.User)
		return tx.PutStudy(s)
	})
}

// changeReading applies a change to the newest version, or says that it is not the one that the reader saw.
func (a *Appliance) changeReading(uid string, by Hand, e Edit, change func(*queue.Tx, *queue.Reading, *queue.Study) error) (out *queue.Reading, err error) {
	for _, text := range []string{e.Findings, e.Impression} {
		if len(text) > maxSection || !utf8.ValidString(text) {
			return nil, fmt.Errorf("daemon: a section of a report is UTF-8 of at most %d bytes", maxSection)
		}
	}
	err = a.db.Update(func(tx *queue.Tx) error {
		s, err := tx.Study(uid)
		if err != nil {
			return err
		}
		if s == nil {
			return ErrNoStudy
		}
		if s.Mode != "" {
			return ErrShadow
		}
		r, err := tx.Reading(uid)
		if err != nil {
			return err
		}
		if r == nil {
			r = &queue.Reading{StudyInstanceUID: uid, State: queue.ReadingOpen}
		}
		if r.Version != e.Version {
			return &ConflictError{*r}
		}
		if e.Revision < 1 || e.Revision > s.Revision {
			return ErrNothingToRead
		}
		if e.Revision != r.Revision {
			if _, err := a.drafts.load(uid, e.Revision); errors.Is(err, fs.ErrNotExist) {
				return ErrNothingToRead
			} else if err != nil {
				return err
			}
		}
		next := *r
		next.Version++
		next.MoveTo(e.Revision)
		next.By, next.ByName, next.Time = by.User, by.Name, tx.Now().UTC()
		next.Findings, next.Impression = tidyText(e.Findings), tidyText(e.Impression)
		if err := change(tx, &next, s); err != nil {
			return err
		}
		out = &next
		if err := tx.PutReading(&next); err != nil {
			return err
		}
		return by.enter(fmt.Sprintf("version %d", next.Version))
	})
	return out, err
}

func tidyText(text string) string { return strings.ReplaceAll(text, "\r\n", "\n") }

// Reading returns a study's reading, nil when nobody has begun.
func (a *Appliance) Reading(uid string) (r *queue.Reading, err error) {
	err = a.db.View(func(tx *queue.Tx) error { r, err = tx.Reading(uid); return err })
	return r, err
}

// summary is what a list shows of a draft.
func summary(record *DraftRecord) *queue.DraftSummary {
	d := record.Draft
	out := &queue.DraftSummary{Doubt: d.Partial, Starter: d.Starter()}
	for _, f := range study.Findings() {
		if score, view := d.Scores.Combined(f); d.Scores.Present(f) {
			out.Present = append(out.Present, queue.FindingScore{Finding: f, Score: score, View: view})
		}
	}
	sortByScore(out.Present)
	for _, s := range d.Sentences {
		if s.Verdict != study.VerdictKept {
			out.Changed++
		}
	}
	return out
}
