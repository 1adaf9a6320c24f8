package daemon

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/pairing"
	"llamaxr/study"
)

// TestLacks: a draft says of a view that it was not received only where no image came that may have been it; what was left for another reason, or is
// known to be something else, is no such image.
func TestLacks(t *testing.T) {
	image := func(uid, view string, lateral float64) pairing.Candidate {
		return pairing.Candidate{
			Header: study.Header{
				SOPClassUID: "1.2.840.10008.5.1.4.1.1.1", SOPInstanceUID: uid, PatientID: "P", BodyPartExamined: "CHEST", ViewPosition: view, NumberOfFrames: 1,
			},
			Picture: &pairing.Picture{LogOddsLateral: lateral},
		}
	}
	with := func(c pairing.Candidate, change func(*pairing.Candidate)) pairing.Candidate { change(&c); return c }
	frontal, second := image("1", "PA", -6), image("2", "", 6)
	unread := func(reason string) pairing.Candidate {
		return with(second, func(c *pairing.Candidate) { c.Picture, c.NoImage = nil, reason })
	}
	for what, test := range map[string]struct {
		want   string
		images []pairing.Candidate
	}{
		"both":             {"", []pairing.Candidate{frontal, second}},
		"one":              {"lateral not received", []pairing.Candidate{frontal}},
		"the other":        {"frontal not received", []pairing.Candidate{second}},
		"damaged":          {"lateral not read, an image was left: the picture is blank", []pairing.Candidate{frontal, unread("the picture is blank")}},
		"frontal damaged":  {"frontal not read, an image was left: truncated", []pairing.Candidate{second, with(unread("truncated"), func(c *pairing.Candidate) { c.Header.SOPInstanceUID = "1" })}},
		"rejected":         {"lateral not read, an image was left: rejected: quality", []pairing.Candidate{frontal, with(second, func(c *pairing.Candidate) { c.Rejected = "quality" })}},
		"in doubt":         {"lateral not read, an image was left: in doubt: the evidence adds up to ", []pairing.Candidate{frontal, image("2", "AP", -6)}},
		"two":              {"lateral not read, 2 images were left, the first: truncated", []pairing.Candidate{frontal, unread("truncated"), with(unread("blank"), func(c *pairing.Candidate) { c.Header.SOPInstanceUID = "3" })}},
		"a second frontal": {"lateral not received", []pairing.Candidate{image("1", "AP", -6), image("2", "AP", -6)}},
		"its twin":         {"lateral not received", []pairing.Candidate{frontal, with(image("2", "PA", -6), func(c *pairing.Candidate) { c.Header.PresentationIntent = "FOR PROCESSING" })}},
		"another modality": {"lateral not received", []pairing.Candidate{frontal, with(second, func(c *pairing.Candidate) { c.Header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2" })}},
	} {
		pair := pairing.Decide(test.images, pairing.Config{})
		if got := lacks(pair); pair.Refusal != "" || got != test.want && (!strings.HasSuffix(test.want, " ") || !strings.HasPrefix(got, test.want)) {
			t.Errorf("%s: %q, want %q (%+v)", what, got, test.want, pair)
		}
	}
}

// TestReasonNamesNoPath: why there is no picture of an object, which a draft tells, does not tell where the appliance keeps its files.
func TestReasonNamesNoPath(t *testing.T) {
	folder := t.TempDir()
	seen := Examine(context.Background(), nil, dicomfile.Open, filepath.Join(folder, "gone.dcm"))
	if seen.Reason == "" || strings.Contains(seen.Reason, folder) {
		t.Errorf("reason %q", seen.Reason)
	}
}
