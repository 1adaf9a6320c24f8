package corrections

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
	"llamaxr/study"
)

// TestNoPlantedIdentifierGetsThrough plants identifiers of every kind, in many forms, into real reports: none may be left.
func TestNoPlantedIdentifierGetsThrough(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	month := func() string { return pick("January", "Feb", "March", "Sept", "December", "May") }
	var known []string
	plant := map[string]func() (sentence string, secret []string){
		"date": func() (string, []string) {
			d, y := 1+rng.IntN(28), 1990+rng.IntN(40)
			form := pick(fmt.Sprintf("%d/%d/%d", 1+rng.IntN(12), d, y), fmt.Sprintf("%d-%02d-%02d", y, 1+rng.IntN(12), d),
				fmt.Sprintf("%s %d, %d", month(), d, y), fmt.Sprintf("%d %s %d", d, month(), y), fmt.Sprintf("%d.%d.%d", d, 1+rng.IntN(12), y),
				fmt.Sprintf("%d%02d%02d", y, 1+rng.IntN(12), d), fmt.Sprintf("%d/%d/%02d", 1+rng.IntN(12), d, y%100))
			return "Compared with the study of " + form + ".", []string{form}
		},
		"phone": func() (string, []string) {
			form := pick(fmt.Sprintf("(%d) %d-%04d", 200+rng.IntN(700), 200+rng.IntN(700), rng.IntN(10000)),
				fmt.Sprintf("%d-%d-%04d", 200+rng.IntN(700), 200+rng.IntN(700), rng.IntN(10000)), fmt.Sprintf("+44 20 %04d %04d", 1000+rng.IntN(9000), rng.IntN(10000)))
			return "Called to the ward at " + form + ".", []string{form}
		},
		"number": func() (string, []string) {
			n := fmt.Sprint(100000 + rng.IntN(900000000))
			return pick("MRN "+n, "MRN: "+n, "Accession number "+n, "Patient ID "+n, "acc# "+n) + ".", []string{n}
		},
		"physician": func() (string, []string) {
			name := pick("Okafor", "García-Lopez", "O'Neill", "Nguyen", "Müller")
			return pick("Discussed with Dr. "+name+".", "Findings called to Dr "+name+" at once.", "Reviewed by Anna "+name+", MD."), []string{name}
		},
		"patient": func() (string, []string) {
			family, given, id := pick("Ximenes", "Brzezinski", "Vanderbilt"), pick("Marisol", "Tadeusz", "Philippa"), fmt.Sprintf("ZQ%04d", rng.IntN(10000))
			h := &study.Header{PatientName: family + "^" + given, PatientID: id}
			known = Identifiers(h)
			return pick(family+" "+given+" was positioned upright.", "The patient, "+strings.ToUpper(family)+", id "+id+", coughs."),
				[]string{family, given, strings.ToUpper(family), id}
		},
		"mail": func() (string, []string) {
			return "Sent to ward7@hospital.example.", []string{"ward7@hospital.example"}
		},
		"time": func() (string, []string) {
			form := fmt.Sprintf("%d:%02d", 1+rng.IntN(12), rng.IntN(60))
			return "Called at " + form + pick(" pm", "", " a.m.", " hours") + ".", []string{form}
		},
	}
	reports := iuReports(t)
	planted := 0
	for i := range 3000 {
		known = nil
		report := reports[i%len(reports)]
		var secrets []string
		for kind := range plant {
			if rng.IntN(2) == 0 {
				sentence, secret := plant[kind]()
				report, secrets = sentence+" "+report+" "+sentence, append(secrets, secret...)
			}
		}
		masked, n := Mask(report, known...)
		for _, s := range secrets {
			planted++
			if strings.Contains(masked, s) && strings.Contains(report, s) {
				t.Fatalf("%q got through:\n%s\n->\n%s", s, report, masked)
			}
		}
		if len(secrets) > 0 && n == 0 {
			t.Fatalf("nothing was masked in %q", report)
		}
	}
	t.Logf("%d planted identifiers, none got through", planted)
}

// TestReportsKeepTheirFindings: masking takes at most one word in a hundred of real reports, which hold no identifiers any more.
func TestReportsKeepTheirFindings(t *testing.T) {
	words, masked := 0, 0
	for _, report := range iuReports(t) {
		_, n := Mask(report)
		words, masked = words+len(strings.Fields(report)), masked+n
	}
	t.Logf("%d of %d words masked in reports without identifiers", masked, words)
	if masked*100 > words {
		t.Errorf("%d of %d words masked", masked, words)
	}
}

func iuReports(t *testing.T) (out []string) {
	t.Helper()
	file, err := os.Open(peertest.SharedData(t, "reports/iu_reports.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r struct{ Findings, Impression string }
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if r.Findings != "" && r.Impression != "" {
			out = append(out, r.Findings+"\n"+r.Impression)
		}
	}
	return out
}

func TestTrainingText(t *testing.T) {
	for _, test := range []struct{ findings, want string }{
		{"Stable cardiomegaly.", "Cardiomegaly."},
		{"There is a small left pleural effusion.", "There is a small pleural effusion."},
		{"No change since the prior examination. No pneumothorax.", "No pneumothorax."},
		{"Right internal jugular catheter in place. The heart is enlarged.", "The heart is enlarged."},
		{"A 2.3 cm nodule. No pleural effusion.", "No pleural effusion."},
		{"Discussed with [name]. No focal consolidation.", "No focal consolidation."},
		{"No pneumothorax.", "No pneumothorax."},
	} {
		got := TrainingText(Report{test.findings, "No acute disease."})
		if want := (Report{test.want, "No acute disease."}).String(); got != want {
			t.Errorf("%q becomes %q, want %q", test.findings, got, want)
		}
	}
	if got := TrainingText(Report{"Unchanged.", "Unchanged."}); got != "" {
		t.Errorf("a report that only compares trains as %q", got)
	}
}

func TestParseReport(t *testing.T) {
	for _, test := range []struct {
		text string
		want Report
		fail bool
	}{
		{"INDICATION: cough\nFINDINGS: Clear lungs.\nNo effusion.\nIMPRESSION: Normal.", Report{"Clear lungs.\nNo effusion.", "Normal."}, false},
		{"Findings:\nClear.\n\nImpression:\n1. Normal.\nRECOMMENDATION: none", Report{"Clear.", "1. Normal."}, false},
		{"conclusion: Normal.", Report{"", "Normal."}, false},
		{"Clear lungs.", Report{}, true},
		{"", Report{}, true},
	} {
		got, err := ParseReport(test.text)
		if got != test.want || (err != nil) != test.fail {
			t.Errorf("%q is read as %+v, %v", test.text, got, err)
		}
	}
}

// TestSplitIsByPatient: no patient is on both sides, the share is about what was asked, and the side never changes.
func TestSplitIsByPatient(t *testing.T) {
	var all []*study.Correction
	for i := range 2000 {
		all = append(all, &study.Correction{Patient: PatientKey([]byte("key"), &study.Header{PatientID: fmt.Sprint(i / 3)})})
	}
	train, heldOut := Split(all, 0.2)
	side := map[string]bool{}
	for _, c := range train {
		side[c.Patient] = true
	}
	for _, c := range heldOut {
		if side[c.Patient] {
			t.Fatal("a patient is on both sides")
		}
	}
	if share := float64(len(heldOut)) / float64(len(all)); share < 0.15 || share > 0.25 {
		t.Errorf("%.2f held out, asked for 0.20", share)
	}
}

// FuzzMask: masking ends, whatever a name looks like, and leaves no known identifier as a word of its own.
func FuzzMask(f *testing.F) {
	f.Add("Dr. Smith saw MRN 123456 on 3/4/2020", "Smith")
	f.Add("the name is name", "name")
	f.Fuzz(func(t *testing.T, text, known string) {
		masked, n := Mask(text, known)
		if n == 0 && masked != strings.NewReplacer(knownName, "", knownNumber, "").Replace(text) {
			t.Fatalf("%q became %q and nothing was masked", text, masked)
		}
		_, _ = ParseReport(text)
		_ = TrainingText(Report{text, known})
	})
}
