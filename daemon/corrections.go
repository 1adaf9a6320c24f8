package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"time"

	"llamaxr/finetune/corrections"
	"llamaxr/queue"
	"llamaxr/study"
)

// CorrectionInput is a report as its reader signed it, from whichever source: a file, the reading room, a verified SR, an HL7 message.
type CorrectionInput struct {
	StudyInstanceUID string    `json:"study_instance_uid"`
	AccessionNumber  string    `json:"accession_number"` // where the study's UID is not known
	Revision         int       `json:"revision"`         // of the draft; 0 is the newest
	Report           string    `json:"report"`           // with the headings FINDINGS: and IMPRESSION:
	Role             string    `json:"role"`
	Source           string    `json:"source"`
	Time             time.Time `json:"time"`
}

// MismatchError is a report that fits no draft, or more than one. It was kept aside.
type MismatchError struct{ Reason string }

// Error implements error.
func (e *MismatchError) Error() string { return "daemon: the report was kept aside: " + e.Reason }

// AddCorrection masks a signed report, ties it to its draft and keeps it for fine-tuning. The same report of the same study twice is
// one correction. What fits no draft is kept aside and returned as a *MismatchError.
func (a *Appliance) AddCorrection(_ context.Context, in CorrectionInput) (*study.Correction, error) {
	return addCorrection(a.db, a.drafts, in)
}

func addCorrection(db *queue.DB, drafts drafts, in CorrectionInput) (*study.Correction, error) {
	if _, err := corrections.ParseReport(in.Report); err != nil {
		return nil, err
	}
	var c *study.Correction
	var mismatch error
	err := db.Update(func(tx *queue.Tx) error {
		if in.Time.IsZero() {
			in.Time = tx.Now()
		}
		s, reason, err := studyOfCorrection(tx, in)
		if err != nil {
			return err
		}
		var record *DraftRecord
		if reason == "" {
			if in.Revision == 0 {
				in.Revision = s.Revision
			}
			record, err = drafts.load(s.UID, in.Revision)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				reason = "the study has no draft"
			case err != nil:
				return err
			}
		}
		var headers []*study.Header
		if record != nil {
			headers = []*study.Header{record.Frontal, record.Lateral}
		}
		masked, count := corrections.Mask(in.Report, corrections.Identifiers(headers...)...)
		if reason != "" {
			mismatch = &MismatchError{reason}
			return tx.SetCorrectionAside(&queue.AsideCorrection{
				ID: digest(in.StudyInstanceUID, in.AccessionNumber, masked), StudyInstanceUID: in.StudyInstanceUID, AccessionNumber: in.AccessionNumber,
				Report: masked, Source: in.Source, Reason: reason, Time: in.Time.UTC(),
			})
		}
		key, err := tx.SiteKey()
		if err != nil {
			return err
		}
		patient := record.Frontal
		if patient == nil {
			patient = record.Lateral
		}
		c = &study.Correction{
			ID: digest(s.UID, masked), StudyInstanceUID: s.UID, Revision: in.Revision, Patient: corrections.PatientKey(key, patient), Scores: record.Draft.Scores,
			Draft: "FINDINGS: " + record.Draft.Text(study.SectionFindings) + "\nIMPRESSION: " + record.Draft.Text(study.SectionImpression),
			Final: masked, Masked: count, Role: in.Role, Source: in.Source, Time: in.Time.UTC(), Models: record.Draft.Models,
		}
		if known, err := tx.Correction(c.ID); err != nil || known != nil {
			return err
		}
		s.Note(tx.Now(), "corrected report received from "+in.Source)
		if err := tx.PutStudy(s); err != nil {
			return err
		}
		return tx.PutCorrection(c)
	})
	if err == nil {
		err = mismatch
	}
	return c, err
}

// studyOfCorrection finds the one study that a report is about; reason says why there is none.
func studyOfCorrection(tx *queue.Tx, in CorrectionInput) (s *queue.Study, reason string, err error) {
	if in.StudyInstanceUID != "" {
		if s, err = tx.Study(in.StudyInstanceUID); err == nil && s == nil {
			reason = "no study has this Study Instance UID"
		}
		return s, reason, err
	}
	if in.AccessionNumber == "" {
		return nil, "it names neither a Study Instance UID nor an accession number", nil
	}
	found := map[string]bool{}
	err = tx.EachInstance(func(i *queue.Instance) error {
		if i.Header.AccessionNumber == in.AccessionNumber {
			found[i.Header.StudyInstanceUID] = true
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	switch len(found) {
	case 0:
		return nil, "no study has this accession number", nil
	case 1:
		for uid := range found {
			s, err = tx.Study(uid)
		}
		return s, "", err
	}
	return nil, fmt.Sprintf("%d studies have this accession number", len(found)), nil
}

func digest(parts ...string) string {
	sum := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(sum, "%d %s", len(p), p)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// CorrectionOutcome is what became of one report.
type CorrectionOutcome struct {
	StudyInstanceUID string `json:"study_instance_uid,omitempty"`
	ID               string `json:"id,omitempty"`
	Masked           int    `json:"masked"`
	Aside            string `json:"aside,omitempty"` // why it was kept aside
	Error            string `json:"error,omitempty"` // why it was not taken at all
}

func addCorrections(db *queue.DB, drafts drafts, list []CorrectionInput) []CorrectionOutcome {
	out := make([]CorrectionOutcome, len(list))
	for i, in := range list {
		c, err := addCorrection(db, drafts, in)
		var mismatch *MismatchError
		switch {
		case errors.As(err, &mismatch):
			out[i] = CorrectionOutcome{StudyInstanceUID: in.StudyInstanceUID, Aside: mismatch.Reason}
		case err != nil:
			out[i] = CorrectionOutcome{StudyInstanceUID: in.StudyInstanceUID, Error: err.Error()}
		default:
			out[i] = CorrectionOutcome{StudyInstanceUID: c.StudyInstanceUID, ID: c.ID, Masked: c.Masked}
		}
	}
	return out
}

// ImportCorrections gives reports to the running daemon, or to the state itself when none runs.
func ImportCorrections(state string, list []CorrectionInput) (out []CorrectionOutcome, err error) {
	if running, err := ask(state, http.MethodPost, "/corrections", list, &out); running {
		return out, err
	}
	db, err := queue.Open(filepath.Join(state, databaseFile), queue.Options{})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return addCorrections(db, drafts{filepath.Join(state, "drafts")}, list), nil
}

// CorrectionList is what is kept.
type CorrectionList struct {
	Corrections []*study.Correction      `json:"corrections"`
	Aside       []*queue.AsideCorrection `json:"aside"`
}

func (l ledger) corrections() (out CorrectionList, err error) {
	err = l.db.View(func(tx *queue.Tx) error {
		if err := tx.EachCorrection(func(c *study.Correction) error { out.Corrections = append(out.Corrections, c); return nil }); err != nil {
			return err
		}
		return tx.EachAsideCorrection(func(c *queue.AsideCorrection) error { out.Aside = append(out.Aside, c); return nil })
	})
	return out, err
}

// Corrections lists what is kept for fine-tuning and what was kept aside.
func Corrections(state string) (CorrectionList, error) {
	return inquire(state, "/corrections", ledger.corrections)
}
