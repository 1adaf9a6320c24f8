package rows

import (
	"slices"
	"strings"
	"testing"

	"llamaxr/inference/llama"
)

// TestWeights: the prompt weighs nothing, the first tokens of a sentence most, padding nothing, and the whole text is asked for.
func TestWeights(t *testing.T) {
	data, err := llama.TrainTokenizer([]string{"FINDINGS: No effusion. Heart size is normal.\nIMPRESSION: Normal."}, nil, 40)
	if err != nil {
		t.Fatal(err)
	}
	tokenizer, err := llama.ParseTokenizer(data)
	if err != nil {
		t.Fatal(err)
	}
	const prompt, report = "Scores: 0.1", "FINDINGS: No effusion. Heart size is normal.\nIMPRESSION: Mass, nodule. Possible hernia."
	row := Make(tokenizer, prompt, report, Grounded)
	if got := tokenizer.Decode(row.Tokens[1+len(tokenizer.Encode(prompt)) : len(row.Tokens)-1]); got != report {
		t.Errorf("the row asks for %q", got)
	}
	batch := Batch([]Row{row}, 256, tokenizer.EOS)
	if batch.Length%lengthStep != 0 || len(batch.Tokens) != batch.Length+1 || len(batch.Weights) != batch.Length {
		t.Fatalf("%d tokens and %d weights for length %d", len(batch.Tokens), len(batch.Weights), batch.Length)
	}
	var said strings.Builder
	for i, w := range batch.Weights {
		token := tokenizer.Decode([]int{int(batch.Tokens[i+1])})
		switch {
		case i < len(tokenizer.Encode(prompt)) && w != 0:
			t.Errorf("token %d of the prompt weighs %g", i, w)
		case i >= len(row.Tokens)-1 && w != 0:
			t.Errorf("padding at %d weighs %g", i, w)
		case w == Grounded.Decision:
			said.WriteString(token + "|")
		}
	}
	for _, sentence := range []string{" No", " Heart", " Mass", " nodule", " Possible"} {
		first := tokenizer.Decode(tokenizer.Encode(sentence)[:1])
		if !strings.Contains(said.String(), first+"|") {
			t.Errorf("%q does not weigh most: %s", first, said.String())
		}
	}
	tokenizer.AddBOS = false
	if plain := Make(tokenizer, prompt, report, Grounded); !slices.Equal(plain.Tokens, row.Tokens[1:]) {
		t.Error("a row of a model whose prompts begin without BOS begins with it")
	}
	if cut := Batch([]Row{row}, 16, tokenizer.EOS); cut.Length != 16 {
		t.Errorf("cut to %d", cut.Length)
	}
}
