package corrections

import (
	"bufio"
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"regexp"
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

// TestFormsOfIdentifiers: identifiers, in braces, as reports write them, with nothing known of the patient; and what only looks like one.
func TestFormsOfIdentifiers(t *testing.T) {
	secret := regexp.MustCompile(`\{(.*?)\}`)
	for line := range lines(t, "testdata/identifiers.txt") {
		text := strings.NewReplacer("{", "", "}", "").Replace(line)
		masked, _ := Mask(text)
		for _, s := range secret.FindAllStringSubmatch(line, -1) {
			for _, word := range strings.Fields(s[1]) {
				if word = strings.Trim(word, ".,;:()"); len(word) > 1 && strings.Contains(masked, word) {
					t.Errorf("%q got through: %q becomes %q", s[1], text, masked)
					break
				}
			}
		}
	}
	for line := range lines(t, "testdata/none.txt") {
		if masked, n := Mask(line); n > 0 {
			t.Errorf("%q becomes %q", line, masked)
		}
	}
}

// TestKnownNames: what the header calls somebody is masked in other spellings and in part too, and words of reports that are names are left.
func TestKnownNames(t *testing.T) {
	for _, test := range []struct{ header, text, want string }{
		{"MUELLER^JUERGEN", "seen: Müller, MUELLER, muller, JÜRGEN", "seen: [name], [name], [name], [name]"},
		{"Müller^Jürgen", "MUELLER JUERGEN", "[name] [name]"},
		{"García-Lopez^Ana", "garcia was positioned, LOPEZ", "[name] was positioned, [name]"},
		{"O'Brien^Mary", "O’BRIEN coughs, o'brien", "[name] coughs, [name]"},
		{"LI^WEI", "Li Wei, WEI LI; no NG tube.", "[name] [name], [name] [name]; no NG tube."},
		{"NG^MAN", "man Ng has an NG tube.", "[name] [name] has an NG tube."},
	} {
		if got, _ := Mask(test.text, Identifiers(&study.Header{PatientName: test.header})...); got != test.want {
			t.Errorf("%s: %q becomes %q, want %q", test.header, test.text, got, test.want)
		}
	}
}

func lines(t *testing.T, file string) iter.Seq[string] {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.SplitSeq(strings.TrimSuffix(string(data), "\n"), "\n")
}

// TestReportsKeepTheirFindings: masking takes at most two words in a thousand of real reports, which hold no identifiers any more, also where they are
// written in capitals.
func TestReportsKeepTheirFindings(t *testing.T) {
	for name, form := range map[string]func(string) string{"as they are": strings.Clone, "in capitals": strings.ToUpper} {
		words, masked := 0, 0
		for i, report := range iuReports(t) {
			if i%4 > 0 {
				continue
			}
			_, n := Mask(form(report))
			words, masked = words+len(strings.Fields(report)), masked+n
		}
		t.Logf("%d of %d words masked in reports %s", masked, words, name)
		if masked*500 > words {
			t.Errorf("%d of %d words masked in reports %s", masked, words, name)
		}
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
		{"PNEUMOTHORAX IS SEEN. FRANK BAKER NOTIFIED. NO EFFUSION.", "PNEUMOTHORAX IS SEEN. NO EFFUSION."},
		{"Cardiomegaly seen by Grace Hill. Results given to frank baker. Discussed with will brown. No effusion.", "No effusion."},
		{"Smith notes cardiomegaly. Rose confirmed the effusion. No mass is noted.", "No mass is noted."},
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
		{"FINDINGS: Clear lungs. IMPRESSION: Normal.", Report{"Clear lungs.", "Normal."}, false},
		{"FINDINGS:\nLUNGS: Clear.\nHEART AND MEDIASTINUM: Normal.\nCOMPARISON: none\nIMPRESSION: Normal.", Report{"LUNGS: Clear.\nHEART AND MEDIASTINUM: Normal.", "Normal."}, false},
		{"FINDINGS: Clear.\nIMPRESSION: Normal.\nElectronically signed by A B\nat noon", Report{"Clear.", "Normal."}, false},
		{"FINDINGS: Clear.\nIMPRESSION: Normal.\nReading radiologist: A B", Report{"Clear.", "Normal."}, false},
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
	const patients = 700
	heldOut := 0
	for i := range patients {
		key := func(uid string) string {
			return PatientKey([]byte("key"), &study.Header{PatientID: fmt.Sprint(i), StudyInstanceUID: uid, PatientName: "Written^" + uid})
		}
		first := HeldOut(key("1.2"), 0.2)
		if first != HeldOut(key("1.3"), 0.2) {
			t.Fatal("a patient is on both sides")
		}
		if first {
			heldOut++
		}
	}
	if share := heldOut * 100 / patients; share < 15 || share > 25 {
		t.Errorf("%d %% held out, asked for 20", share)
	}
}

// FuzzMask: masking ends, whatever a name looks like, and leaves no known identifier as a word of its own.
func FuzzMask(f *testing.F) {
	f.Add("Dr. Smith saw MRN 123456 on 3/4/2020", "Smith")
	f.Add("the name is name", "name")
	f.Fuzz(func(t *testing.T, text, known string) {
		masked, n := Mask(text, known)
		if n == 0 && masked != strings.NewReplacer(knownName, "", knownNumber, "").Replace(strings.ToValidUTF8(text, "\uFFFD")) {
			t.Fatalf("%q became %q and nothing was masked", text, masked)
		}
		_, _ = ParseReport(text)
		_ = TrainingText(Report{text, known})
	})
}
