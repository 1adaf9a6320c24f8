package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llamaxr/queue"
	"llamaxr/reporting/hl7"
	"llamaxr/study"
)

// learner is an appliance with one drafted study, of which reports come.
func learner(t *testing.T) *Appliance {
	t.Helper()
	db, err := queue.Open(filepath.Join(t.TempDir(), databaseFile), queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	a := &Appliance{log: slog.New(slog.DiscardHandler), db: db, drafts: drafts{root: t.TempDir()}}
	a.drafted(t, "1.2")
	return a
}

func (a *Appliance) drafted(t *testing.T, uid string) {
	t.Helper()
	record := &DraftRecord{
		Draft:   study.Draft{StudyInstanceUID: uid, Revision: 1, Scores: study.PairScores{Frontal: new(study.Scores)}},
		Frontal: &study.Header{StudyInstanceUID: uid, SOPInstanceUID: uid + ".1", PatientName: "Ximenes^Ana", PatientID: "P1"},
	}
	if err := a.drafts.save(record); err != nil {
		t.Fatal(err)
	}
	if err := a.db.Update(func(tx *queue.Tx) error { return tx.PutStudy(&queue.Study{UID: uid, Revision: 1}) }); err != nil {
		t.Fatal(err)
	}
}

func (a *Appliance) taught(t *testing.T) []*study.Correction {
	t.Helper()
	list, err := ledger{a.db, a.drafts}.corrections()
	if err != nil {
		t.Fatal(err)
	}
	return list.teachable()
}

// TestOnlyWhatHoldsTrains: of the reports of a study the newest trains, whatever came when; one that is withdrawn does not, and another patient's withdrawal
// changes nothing.
func TestOnlyWhatHoldsTrains(t *testing.T) {
	a := learner(t)
	for i, text := range []string{"corrected", "first", "middle"} {
		day := []int{3, 1, 2}[i]
		if _, err := a.AddCorrection(t.Context(), CorrectionInput{
			StudyInstanceUID: "1.2", Report: fmt.Sprintf("FINDINGS: The %s text.\nIMPRESSION: Normal.", text), Source: sourceHL7, Time: time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC),
		}); err != nil {
			t.Fatal(err)
		}
	}
	if got := a.taught(t); len(got) != 1 || !strings.Contains(got[0].Final, "corrected") {
		t.Errorf("%d texts train, the first is %+v", len(got), got)
	}
	if reply := a.withdrawn(t, "1.2", "P2"); reply.Code != hl7.Accepted || !strings.Contains(reply.Text, otherPatient) || len(a.taught(t)) != 1 {
		t.Errorf("after another patient's withdrawal: %q, %d train", reply, len(a.taught(t)))
	}
	if reply := a.withdrawn(t, "1.2", "P1"); reply.Code != hl7.Accepted || reply.Text != "" || len(a.taught(t)) != 0 {
		t.Errorf("after the withdrawal: %q, %d train", reply, len(a.taught(t)))
	}
}

// withdrawn lets a RIS withdraw its report of a study; it returns the answer.
func (a *Appliance) withdrawn(t *testing.T, uid, patient string) hl7.Reply {
	t.Helper()
	m, err := hl7.Parse([]byte("MSH|^~\\&|RIS|H|A|H|20260102||ORU^R01|1|P|2.5.1\rPID|||" + patient + "\rOBR|1" + strings.Repeat("|", 24) + "X\rZDS|" + uid + "\r"))
	if err != nil {
		t.Fatal(err)
	}
	return a.takeResults(t.Context(), m)
}

// TestAWithdrawalHoldsWhateverBecameOfTheDraft: a report that HL7 withdraws trains nobody, also where its draft was rejected since, or its patient corrected, or
// where it was signed in the reading room. While the study is drafted anew the withdrawal must come again; one that fits no study says so.
func TestAWithdrawalHoldsWhateverBecameOfTheDraft(t *testing.T) {
	for name, meanwhile := range map[string]func(*Appliance, *queue.Study){
		"rejected": func(_ *Appliance, s *queue.Study) { s.Revision, s.State = 2, queue.Refused },
		"another patient by now": func(a *Appliance, s *queue.Study) {
			s.Revision, s.State = 2, queue.Delivered
			record := &DraftRecord{Draft: study.Draft{StudyInstanceUID: s.UID, Revision: 2}, Frontal: &study.Header{PatientID: "P2"}}
			if err := a.drafts.save(record); err != nil {
				t.Fatal(err)
			}
		},
		"drafted anew": func(_ *Appliance, s *queue.Study) { s.State = queue.Complete },
	} {
		a := learner(t)
		for _, source := range []string{"reading room", sourceHL7} {
			if _, err := a.AddCorrection(t.Context(), CorrectionInput{StudyInstanceUID: "1.2", Report: "FINDINGS: Clear.\nIMPRESSION: Normal.", Source: source}); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.db.Update(func(tx *queue.Tx) error {
			s, err := tx.Study("1.2")
			meanwhile(a, s)
			return errors.Join(err, tx.PutStudy(s))
		}); err != nil {
			t.Fatal(err)
		}
		reply, want, left := a.withdrawn(t, "1.2", "P1"), hl7.Accepted, 0
		if name == "drafted anew" {
			want, left = hl7.Failed, 1
		}
		if list, err := (ledger{a.db, a.drafts}).corrections(); err != nil || len(list.Corrections) != left || reply.Code != want {
			t.Errorf("%s: %v: answered %q, %d are left", name, err, reply, len(list.Corrections))
		}
		if reply := a.withdrawn(t, "1.3", "P1"); reply.Code != hl7.Accepted || !strings.Contains(reply.Text, "nothing was withdrawn") {
			t.Errorf("of no study: %q", reply)
		}
	}
}

// TestACorrectionTrainsInPlaceOfItsReport: also where a RIS gives no time of a report but the examination's, and where another text was signed here in between.
func TestACorrectionTrainsInPlaceOfItsReport(t *testing.T) {
	for i := range 8 { // corrections have no order of their own
		a := learner(t)
		receive := func(hour int, status string) {
			text := fmt.Sprintf("%s %d", status, i)
			m, err := hl7.Parse(fmt.Appendf(nil, "MSH|^~\\&|RIS|H|A|H|20260105%02d00||ORU^R01|1|P|2.5.1\rOBR|1||||||202601010900%s%s\rOBX|1|TX|1^R||FINDINGS: Clear, %s.~IMPRESSION: Normal.||||||%s\rZDS|1.2\r",
				hour, strings.Repeat("|", 18), status, text, status))
			if err != nil {
				t.Fatal(err)
			}
			if reply := a.takeResults(t.Context(), m); reply.Code != hl7.Accepted || reply.Text != "" {
				t.Fatalf("%+v", reply)
			}
		}
		receive(10, "F")
		if _, err := a.AddCorrection(t.Context(), CorrectionInput{
			StudyInstanceUID: "1.2", Report: "FINDINGS: Here.\nIMPRESSION: Normal.", Time: time.Date(2026, 1, 5, 11, 0, 0, 0, time.Local),
		}); err != nil {
			t.Fatal(err)
		}
		receive(12, "C")
		if got := texts(a.taught(t)); len(got) != 1 || !strings.Contains(got[0], fmt.Sprintf("C %d", i)) {
			t.Fatalf("%q train", got)
		}
	}
}

// TestATextThatCameBackTrains: a report that is amended and amended back trains as it stands; the same report again, of no time or of an earlier one, changes
// nothing.
func TestATextThatCameBackTrains(t *testing.T) {
	a := learner(t)
	for _, step := range []struct {
		text string
		day  int // 0: no time
		want string
	}{{"first", 1, "first"}, {"amended", 2, "amended"}, {"first", 1, "amended"}, {"first", 0, "amended"}, {"first", 3, "first"}, {"first", 1, "first"}, {"amended", 2, "first"}} {
		in := CorrectionInput{StudyInstanceUID: "1.2", Report: fmt.Sprintf("FINDINGS: The %s text.\nIMPRESSION: Normal.", step.text), Source: sourceHL7}
		if step.day > 0 {
			in.Time = time.Date(2026, 1, step.day, 0, 0, 0, 0, time.UTC)
		}
		if _, err := a.AddCorrection(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		got := a.taught(t)
		if len(got) != 1 || !strings.Contains(got[0].Final, step.want) {
			t.Errorf("after %q of day %d: %+v train, want %q", step.text, step.day, texts(got), step.want)
		}
	}
}

func texts(list []*study.Correction) (out []string) {
	for _, c := range list {
		out = append(out, c.Final)
	}
	return out
}

// TestOnlySectionsAreKept: who wrote a report, what was asked, and what is no text are not part of a correction.
func TestOnlySectionsAreKept(t *testing.T) {
	a := learner(t)
	c, err := a.AddCorrection(t.Context(), CorrectionInput{
		StudyInstanceUID: "1.2",
		Report:           "INDICATION: Fall at home, Ximenes.\r\nFINDINGS: Clear\x00 lungs,\xff XIMENES.\r\nIMPRESSION: Normal.\nElectronically signed by wu li at the desk",
		Role:             "Dr. Wu",
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Role != "other" {
		t.Errorf("the role kept is %q", c.Role)
	}
	if want := "FINDINGS: Clear lungs, [name].\nIMPRESSION: Normal."; c.Final != want {
		t.Errorf("kept %q, want %q", c.Final, want)
	}
}

// TestHostileReports: what is no report, or is none of ours, is refused or kept aside with a reason, and nothing of it trains.
func TestHostileReports(t *testing.T) {
	report := "FINDINGS: Clear lungs.\nIMPRESSION: Normal."
	for _, in := range []CorrectionInput{
		{StudyInstanceUID: "1.2"},
		{StudyInstanceUID: "1.2", Report: "no headings"},
		{StudyInstanceUID: "1.2", Report: "FINDINGS: " + strings.Repeat("x", 1<<20)},
		{StudyInstanceUID: "1.3", Report: report},
		{StudyInstanceUID: "1.2", AccessionNumber: "none", Revision: 7, Report: report},
		{Report: report},
		{StudyInstanceUID: "\x00", Report: report},
	} {
		a := learner(t)
		_, err := a.AddCorrection(t.Context(), in)
		var mismatch *MismatchError
		if err == nil || errors.As(err, &mismatch) && mismatch.Reason == "" || len(a.taught(t)) > 0 {
			t.Errorf("%.60q: %v, %d train", fmt.Sprint(in), err, len(a.taught(t)))
		}
	}
}
