package tune

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"llamaxr/finetune/starter"
	"llamaxr/inference/engine"
	"llamaxr/inference/models"
	"llamaxr/inference/prompt"
	"llamaxr/study"
)

// longer adds sentences to a report.
func longer(report string, sentences int) string {
	return strings.Replace(report, "FINDINGS:", "FINDINGS:"+strings.Repeat(" The heart is not enlarged.", sentences), 1)
}

// TestReportsAreLearntWholeOrNot: a report that does not fit with its prompt is left out and counted; where that are many, or the prompt alone does not fit,
// the run is refused before it trains, with its record and what would do.
func TestReportsAreLearntWholeOrNot(t *testing.T) {
	eng, err := engine.Open(engine.Go)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		long, maxTokens, left int
		refusal               string
	}{{0, 640, 40, ""}, {4, 640, 36, ""}, {5, 640, 0, "5 of 40 reports"}, {0, 64, 0, "40 of 40 reports"}} {
		p := Site
		p.MaxTokens = test.maxTokens
		rng := rand.New(rand.NewPCG(3, 3))
		var list []*study.Correction
		for i := range 40 {
			scores := starter.RandomScores(rng)
			text := starter.FinalReport(scores)
			if i < test.long {
				text = longer(text, 300)
			}
			list = append(list, &study.Correction{Patient: fmt.Sprintf("%02x", i*6), Scores: scores, Final: text})
		}
		opts := Options{
			Folder: t.TempDir(), Preset: p, Base: starterFolder(t, models.LlamaFolder), Template: prompt.Grounded, Corrections: list,
		}
		r := &run{eng: eng, record: new(Record), opts: opts}
		if err := r.load(); err != nil {
			t.Fatal(err)
		}
		train, heldOut, err := r.divide()
		if test.refusal == "" {
			if err != nil || r.record.TooLong != test.long || len(train)+len(heldOut) != test.left {
				t.Errorf("%+v: %v: %d and %d learn, %d too long", test, err, len(train), len(heldOut), r.record.TooLong)
			}
			for _, e := range append(train, heldOut...) {
				if row := r.row(e); row.Tokens[len(row.Tokens)-1] != r.tokens.EOS || row.Asked() > p.MaxTokens {
					t.Fatalf("%+v: a report does not end", test)
				}
			}
			continue
		}
		if _, err := Run(t.Context(), eng, opts); err == nil || !strings.Contains(err.Error(), test.refusal) {
			t.Errorf("%+v: %v", test, err)
		}
		if record, err := ReadRecord(opts.Folder); err != nil || record.State != Failed || !strings.Contains(record.Error, "takes all of them") {
			t.Errorf("%+v: %v, %+v", test, err, record)
		}
	}
}

// TestTheGateJudgesByWhatDidNotChoose: where there are enough held-out corrections, no weights are judged by those that they were chosen by.
func TestTheGateJudgesByWhatDidNotChoose(t *testing.T) {
	for n, want := range map[int][2]int{1: {1, 1}, 79: {79, 60}, 80: {20, 60}, 500: {440, 60}} {
		heldOut := make([]example, n)
		for i := range heldOut {
			heldOut[i].text = fmt.Sprint(i)
		}
		choosing, judging := parted(heldOut)
		if len(choosing) != want[0] || len(judging) != want[1] {
			t.Errorf("%d held out: %d choose, %d judge", n, len(choosing), len(judging))
		}
		if n >= 80 && choosing[0].text != "60" {
			t.Errorf("%d held out: %s chooses too", n, choosing[0].text)
		}
	}
}
