package daemon

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"llamaxr/inference"
	"llamaxr/inference/engine"
	"llamaxr/inference/llama"
	"llamaxr/inference/models"
	"llamaxr/inference/prompt"
	"llamaxr/internal/peertest"
	"llamaxr/study"
)

// shots are reports that a model without an adapter goes on from with one like them.
const shots = `Report:
There is no pleural effusion or pneumothorax.

Report:
There is no pneumothorax.

Report:
There is no pleural effusion.

Report:
There is no pleural effusion or pneumothorax.

Report:
`

// TestModelWritesAnew: a real model, which knows of no scores, writes sentences anew that contradict them, as it can say them; the draft is delivered,
// marked, and the same each time.
func TestModelWritesAnew(t *testing.T) {
	store := models.OpenStore(t.TempDir())
	imported, err := store.Import(t.Context(), models.Import{From: peertest.SmolLM2(t), Name: "smollm2", Precision: llama.NF4, AcceptLicence: "apache-2.0", Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	eng, err := engine.Open(engine.Auto)
	if err != nil {
		t.Fatal(err)
	}
	model, err := llama.LoadAs(eng, store.Open(imported), llama.NativeInt16)
	if err != nil {
		t.Fatal(err)
	}
	model.SetEnd(prompt.Planned.End)
	write := func(ctx context.Context, _ study.PairScores, read inference.Reading) (*inference.Written, error) {
		result, err := model.Generate(ctx, shots, 20)
		if err != nil {
			return nil, err
		}
		return &inference.Written{Text: result.Text}, read(result.Text, func(from, to int, worth, takes func(string) bool) error {
			return model.Others(ctx, shots, result.Text, from, to, worth, takes)
		})
	}
	for _, f := range []study.Finding{study.Effusion, study.Pneumothorax} {
		scores := study.PairScores{Frontal: new(study.Scores)}
		scores.Frontal[f] = 0.9
		draft, err := WriteDraft(t.Context(), model.Engine(), write, scores, nil)
		if err != nil {
			t.Fatal(err)
		}
		first := draft.Sentences[0]
		t.Logf("%q, then %+v", draft.Raw, draft.Sentences)
		if first.Verdict != study.VerdictRewritten || first.Text == first.Original || !strings.Contains(draft.Raw, first.Original) || first.Reason == "" {
			t.Errorf("%s: %+v", f, first)
		}
		again, err := WriteDraft(t.Context(), model.Engine(), write, scores, nil)
		if err != nil || !reflect.DeepEqual(draft, again) {
			t.Errorf("the second time: %v, %+v", err, again)
		}
	}
}
