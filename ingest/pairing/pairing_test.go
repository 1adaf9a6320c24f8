package pairing

import (
	"encoding/csv"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"llamaxr/internal/peertest"
	"llamaxr/study"
)

const cr = "1.2.840.10008.5.1.4.1.1.1"

func candidate(uid string, change func(*study.Header), picture *Picture) Candidate {
	h := study.Header{SOPClassUID: cr, SOPInstanceUID: uid, PatientID: "P", PatientBirthDate: "19600101", StudyDate: "20260101", NumberOfFrames: 1, BodyPartExamined: "CHEST"}
	if change != nil {
		change(&h)
	}
	return Candidate{Header: h, Picture: picture}
}

var (
	looksFrontal = &Picture{LogOddsLateral: -6}
	looksLateral = &Picture{LogOddsLateral: 6}
	unclear      = &Picture{LogOddsLateral: 0.3}
)

func TestCases(t *testing.T) {
	pa := func(h *study.Header) { h.ViewPosition = "PA" }
	for _, test := range []struct {
		name             string
		candidates       []Candidate
		frontal, lateral string
		refusal          string
	}{
		{"frontal and lateral by picture", []Candidate{candidate("1", nil, looksFrontal), candidate("2", nil, looksLateral)}, "1", "2", ""},
		{"a lateral that says PA", []Candidate{candidate("1", pa, looksFrontal), candidate("2", pa, looksLateral)}, "1", "2", ""},
		{"portable AP alone", []Candidate{candidate("1", func(h *study.Header) { h.ViewPosition = "AP" }, looksFrontal)}, "1", "", ""},
		{"repeats: the newest wins", []Candidate{
			candidate("1", func(h *study.Header) { h.AcquisitionDate, h.AcquisitionTime = "20260101", "100000" }, looksFrontal),
			candidate("2", func(h *study.Header) { h.AcquisitionDate, h.AcquisitionTime = "20260101", "100500" }, looksFrontal),
			candidate("3", nil, looksLateral),
		}, "2", "3", ""},
		{"PA before AP", []Candidate{candidate("1", pa, looksFrontal), candidate("2", func(h *study.Header) { h.ViewPosition = "AP" }, looksFrontal), candidate("3", nil, looksLateral)}, "1", "3", ""},
		{"for-processing twin", []Candidate{
			candidate("1", func(h *study.Header) { h.SOPClassUID = forProcessing }, looksFrontal),
			candidate("2", func(h *study.Header) { h.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1" }, looksFrontal),
		}, "2", "", ""},
		{"for-processing only", []Candidate{candidate("1", func(h *study.Header) { h.SOPClassUID = forProcessing }, looksFrontal)}, "", "", "for processing"},
		{"two patients", []Candidate{candidate("1", nil, looksFrontal), candidate("2", func(h *study.Header) { h.PatientID = "Q" }, looksLateral)}, "", "", "different patients"},
		{"a child", []Candidate{candidate("1", func(h *study.Header) { h.PatientAge = "007Y" }, looksFrontal)}, "", "", "adults"},
		{"a hip", []Candidate{candidate("1", func(h *study.Header) { h.BodyPartExamined = "HIP" }, looksFrontal)}, "", "", "HIP"},
		{"no chest by picture", []Candidate{candidate("1", nil, &Picture{LogOddsLateral: -5, POther: 0.97})}, "", "", "no chest"},
		{"decubitus", []Candidate{candidate("1", func(h *study.Header) { h.ViewPosition = "LLD" }, looksFrontal)}, "", "", "decubitus"},
		{"oblique code", []Candidate{candidate("1", func(h *study.Header) { h.ViewCodes = []study.Code{{Value: "399135007", Meaning: "LAO"}} }, looksFrontal)}, "", "", "LAO"},
		{"an SR only", []Candidate{candidate("1", func(h *study.Header) { h.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11" }, nil)}, "", "", "not a CR or DX"},
		{"many frames", []Candidate{candidate("1", func(h *study.Header) { h.NumberOfFrames = 2 }, looksFrontal)}, "", "", "frames"},
		{"bone-suppressed derived image", []Candidate{candidate("1", func(h *study.Header) { h.ImageType = `DERIVED\SECONDARY\BONE SUPPRESSED` }, looksFrontal), candidate("2", nil, looksFrontal)}, "2", "", ""},
		{"nothing known of a lone picture: the likelier view, in doubt", []Candidate{candidate("1", nil, unclear)}, "1", "", ""},
		{"nothing known and no picture", []Candidate{candidate("1", nil, nil)}, "", "", "doubt"},
		{"the other image decides", []Candidate{candidate("1", nil, unclear), candidate("2", nil, looksLateral)}, "1", "2", ""},
		{"no candidates", nil, "", "", "no images"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := Decide(test.candidates, Config{MinimumAge: 18})
			if got.Frontal != test.frontal || got.Lateral != test.lateral || !strings.Contains(got.Refusal, test.refusal) || (got.Refusal == "") != (test.refusal == "") {
				t.Errorf("frontal %q lateral %q refusal %q, want %q %q %q\n%+v", got.Frontal, got.Lateral, got.Refusal, test.frontal, test.lateral, test.refusal, got.Choices)
			}
			for _, c := range got.Choices {
				if c.Doubt && c.Chosen && got.Doubt == "" {
					t.Errorf("%s is read in doubt and the doubt is not said", c.SOPInstanceUID)
				}
				if len(c.Why) == 0 {
					t.Errorf("no reason for %s", c.SOPInstanceUID)
				}
			}
		})
	}
}

// TestIUHeadersAlone: on real headers without pixels, at most 0.5 % of the images are named wrongly without a stated doubt.
func TestIUHeadersAlone(t *testing.T) {
	studies := iuStudies(t)
	images, wrong, doubt := 0, 0, 0
	for _, rows := range studies {
		pair := Decide(rows.candidates, Config{})
		for _, c := range pair.Choices {
			truth := rows.truth[c.SOPInstanceUID]
			if truth == "" {
				continue
			}
			images++
			switch {
			case c.Doubt:
				doubt++
			case c.Projection.String() != truth:
				wrong++
			}
		}
	}
	t.Logf("%d images by header alone: %d wrong without a doubt (%.2f %%), %d in doubt (%.1f %%)", images, wrong,
		100*float64(wrong)/float64(images), doubt, 100*float64(doubt)/float64(images))
	if float64(wrong) > 0.005*float64(images) {
		t.Errorf("%d of %d wrong, at most 0.5 %% may be", wrong, images)
	}
}

type iuStudy struct {
	candidates []Candidate
	truth      map[string]string
}

func iuStudies(t testing.TB) []iuStudy {
	t.Helper()
	file, err := os.Open(peertest.SharedData(t, "reports/iu_dicom_headers.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int{}
	for i, name := range rows[0] {
		at[name] = i
	}
	index := map[string]int{}
	var out []iuStudy
	for _, row := range rows[1:] {
		get := func(name string) string { return row[at[name]] }
		number := func(name string) int { n, _ := strconv.Atoi(get(name)); return n }
		uid := get("study_instance_uid")
		if _, ok := index[uid]; !ok {
			index[uid] = len(out)
			out = append(out, iuStudy{truth: map[string]string{}})
		}
		h := study.Header{
			SOPClassUID: get("sop_class_uid"), SOPInstanceUID: get("sop_instance_uid"), StudyInstanceUID: uid, Modality: get("modality"),
			ViewPosition: get("view_position"), PatientOrientation: get("patient_orientation"), BodyPartExamined: get("body_part_examined"),
			SeriesNumber: get("series_number"), InstanceNumber: get("instance_number"), Rows: number("rows"), Columns: number("columns"),
			ImageType: get("image_type"), PresentationIntent: get("presentation_intent"), NumberOfFrames: 1,
		}
		switch get("view_code_meaning") {
		case "postero-anterior":
			h.ViewCodes = []study.Code{{Value: "R-10214", Scheme: "SRT", Meaning: "postero-anterior"}}
		case "left lateral":
			h.ViewCodes = []study.Code{{Value: "R-10236", Scheme: "SRT", Meaning: "left lateral"}}
		}
		s := &out[index[uid]]
		s.candidates = append(s.candidates, Candidate{Header: h})
		s.truth[h.SOPInstanceUID] = get("true_projection")
	}
	return out
}

// TestOrderDoesNotMatter: the same images in any order give the same pair.
func TestOrderDoesNotMatter(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		all := randomStudy(rng)
		want := Decide(all, Config{MinimumAge: 18})
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if got := Decide(all, Config{MinimumAge: 18}); got.Frontal != want.Frontal || got.Lateral != want.Lateral || got.Refusal != want.Refusal {
			t.Fatalf("another order gives %+v, want %+v", got, want)
		}
	}
}

func randomStudy(rng *rand.Rand) []Candidate {
	var out []Candidate
	for i := range 1 + rng.IntN(5) {
		c := candidate(strconv.Itoa(i), func(h *study.Header) {
			h.ViewPosition = []string{"", "PA", "AP", "LL", "LLD", "xx"}[rng.IntN(6)]
			h.PatientOrientation = []string{"", `L\F`, `A\F`, `R\F`}[rng.IntN(4)]
			h.Rows, h.Columns = rng.IntN(3000), rng.IntN(3000)
			h.SeriesNumber, h.InstanceNumber = strconv.Itoa(rng.IntN(3)), strconv.Itoa(rng.IntN(3))
		}, nil)
		if rng.IntN(4) > 0 {
			c.Picture = &Picture{LogOddsLateral: 5 * rng.NormFloat64(), POther: rng.Float64()}
		}
		c.Received = time.Unix(int64(rng.IntN(3)), 0)
		out = append(out, c)
	}
	return out
}

func FuzzDecide(f *testing.F) {
	f.Add(uint64(1), "PA", `L\F`)
	f.Fuzz(func(t *testing.T, seed uint64, position, orientation string) {
		all := randomStudy(rand.New(rand.NewPCG(seed, 1)))
		all[0].Header.ViewPosition, all[0].Header.PatientOrientation = position, orientation
		pair := Decide(all, Config{})
		if len(pair.Choices) != len(all) {
			t.Fatalf("%d choices for %d images", len(pair.Choices), len(all))
		}
		chosen := 0
		for _, c := range pair.Choices {
			if c.Chosen {
				chosen++
			}
			if len(c.Why) == 0 {
				t.Fatal("a choice without a reason")
			}
		}
		if chosen > 2 {
			t.Fatalf("%d images chosen", chosen)
		}
	})
}
