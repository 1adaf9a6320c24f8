package inference

import (
	"testing"

	"llamaxr/inference/engine"
	"llamaxr/inference/models"
	"llamaxr/study"
)

// TestHeadOfThePromptIsKept: a reader that is opened again computes nothing of the constant head of its prompt, and writes the same text.
func TestHeadOfThePromptIsKept(t *testing.T) {
	eng, err := engine.Open(engine.Go)
	if err != nil {
		t.Fatal(err)
	}
	store := models.OpenStore(t.TempDir())
	scores := study.PairScores{Frontal: &study.Scores{study.Effusion: 0.9}, Lateral: &study.Scores{study.Effusion: 0.7}}
	var text string
	for _, again := range []bool{false, true} {
		r, err := Open(eng, store)
		if err != nil {
			t.Fatal(err)
		}
		written, err := r.Write(t.Context(), scores, nil)
		if err != nil {
			t.Fatal(err)
		}
		head := len(r.writer.Tokenizer.Prompt(r.laid.template.Head))
		if again && (written.KeptTokens < head-1 || written.Text != text) || !again && written.KeptTokens != 0 {
			t.Errorf("again %t: %d of %d tokens kept, the head has %d; %q, want %q", again, written.KeptTokens, written.PromptTokens, head, written.Text, text)
		}
		text = written.Text
	}
}
