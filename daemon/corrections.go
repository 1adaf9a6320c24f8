package daemon

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
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

	// OrderNumbers may be the accession number too: systems number an order in several ways.
	OrderNumbers []string `json:"order_numbers,omitempty"`
	// PatientIDs are what the source calls the patient; where they are given, one must be the draft's.
	PatientIDs []string `json:"patient_ids,omitempty"`
	// Replaces are SOP Instance UIDs that the report names as its predecessors; one of ours says which revision was read.
	Replaces []string `json:"replaces,omitempty"`
	// Identifiers are names and numbers that the source knows of people; they are masked beside those of the study.
	Identifiers []string `json:"identifiers,omitempty"`
	// Conflict is why the source itself cannot say what the report is about; it is kept aside.
	Conflict string `json:"-"`
}

// MismatchError is a report that fits no draft, or more than one. It was kept aside.
type MismatchError struct{ Reason string }

// Error implements error.
func (e *MismatchError) Error() string { return "daemon: the report was kept aside: " + e.Reason }

// AddCorrection masks a signed report, ties it to its draft and keeps it for fine-tuning. The same report of the same study twice is
// one correction, of the later time that a source gave it. What fits no draft is kept aside and returned as a *MismatchError.
func (a *Appliance) AddCorrection(_ context.Context, in CorrectionInput) (*study.Correction, error) {
	return addCorrection(a.db, a.drafts, in)
}

func addCorrection(db *queue.DB, drafts drafts, in CorrectionInput) (*study.Correction, error) {
	in.Report = corrections.Unmarked(in.Report)
	if _, err := corrections.ParseReport(in.Report); err != nil && in.Conflict == "" {
		return nil, err
	}
	undated := in.Time.IsZero()
	var c *study.Correction
	var mismatch error
	err := db.Update(func(tx *queue.Tx) error {
		c, mismatch = nil, nil
		if undated {
			in.Time = tx.Now()
		}
		s, record, reason, err := draftOfCorrection(tx, drafts, in)
		if err != nil {
			return err
		}
		var headers []*study.Header
		if record != nil {
			headers = []*study.Header{record.Frontal, record.Lateral}
		}
		masked, count := corrections.Mask(in.Report, append(corrections.Identifiers(headers...), in.Identifiers...)...)
		if reason != "" {
			mismatch = &MismatchError{reason}
			number := cmp.Or(in.AccessionNumber, strings.Join(in.OrderNumbers, ", "))
			return tx.SetCorrectionAside(&queue.AsideCorrection{
				ID: digest(in.StudyInstanceUID, number, words(masked)), StudyInstanceUID: in.StudyInstanceUID, AccessionNumber: number,
				Report: masked, Source: in.Source, Reason: reason, Time: in.Time.UTC(),
			})
		}
		report, err := corrections.ParseReport(masked)
		if err != nil {
			return err
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
			ID: digest(s.UID, words(report.String())), StudyInstanceUID: s.UID, Revision: record.Draft.Revision, Patient: corrections.PatientKey(key, patient),
			Scores: record.Draft.Scores,
			Draft:  "FINDINGS: " + record.Draft.Text(study.SectionFindings) + "\nIMPRESSION: " + record.Draft.Text(study.SectionImpression),
			Final:  report.String(), Masked: count, Role: role(in.Role), Source: in.Source, Time: in.Time.UTC(), Models: record.Draft.Models,
		}
		known, err := tx.Correction(c.ID)
		if err != nil {
			return err
		}
		if known != nil {
			if !undated && known.Time.Before(c.Time) {
				known.Time = c.Time // who wrote it went back to it
			}
			if in.Source == sourceHL7 {
				known.Source = sourceHL7 // from where it can be withdrawn
			}
			return tx.PutCorrection(known)
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

// role is what somebody is; a name, or whatever else a file has in its place, is not kept.
func role(given string) string {
	given = strings.ToLower(strings.TrimSpace(given))
	if slices.Contains([]string{"radiologist", "consultant", "attending", "physician", "resident", "fellow", "registrar", "radiographer", "technologist", "reader"}, given) {
		return given
	}
	if given == "" {
		return ""
	}
	return "other"
}

// teachable are the corrections that may train: of each study the newest, since a report that was corrected afterwards no longer holds.
func (l CorrectionList) teachable() []*study.Correction {
	newest := map[string]*study.Correction{}
	for _, c := range l.Corrections {
		if have := newest[c.StudyInstanceUID]; have == nil || have.Time.Before(c.Time) {
			newest[c.StudyInstanceUID] = c
		}
	}
	return slices.DeleteFunc(slices.Clone(l.Corrections), func(c *study.Correction) bool { return newest[c.StudyInstanceUID] != c })
}

// standing are those of the corrections whose draft was not taken back for good: one of an image that was rejected, or of another patient, teaches nobody.
func (a *Appliance) standing(list []*study.Correction) (out []*study.Correction, err error) {
	for _, c := range list {
		why, err := a.shaken(c.StudyInstanceUID, c.Revision)
		if err != nil && !lost(err) {
			return nil, err
		}
		if why == "" {
			out = append(out, c)
		}
	}
	return out, nil
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
	if err := isState(state); err != nil {
		return nil, err
	}
	db, err := queue.Open(filepath.Join(state, databaseFile), queue.Options{})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return addCorrections(db, drafts{root: filepath.Join(state, "drafts")}, list), nil
}

// CorrectionList is what is kept.
type CorrectionList struct {
	Corrections []*study.Correction      `json:"corrections"`
	Aside       []*queue.AsideCorrection `json:"aside"`
}

func (l ledger) corrections() (out CorrectionList, err error) {
	out = CorrectionList{Corrections: []*study.Correction{}, Aside: []*queue.AsideCorrection{}} // lists, also when there is nothing in them
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
