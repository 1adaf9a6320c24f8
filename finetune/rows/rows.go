// Package rows makes training batches of prompts and reports. A prompt weighs nothing unless asked to; the tokens that decide what is
// said of a finding, the first of each sentence, weigh most: most tokens of most reports follow from those before them, so that a
// plain loss hardly asks a model to look at the scores.
package rows

import (
	"iter"
	"strings"

	"llamaxr/finetune/qlora"
	"llamaxr/inference/llama"
)

// Weights are what a token of a row counts in the loss.
type Weights struct {
	Prompt     float32
	Token      float32 // of the findings
	Decision   float32 // of the first tokens of a finding's sentence, and of each thing that an impression names
	Impression float32
}

// Grounded are the weights that make a small model follow its scores; Plain those of ordinary fine-tuning on the response; Everything
// those of the paper's, which learns its prompt too.
var (
	Grounded   = Weights{Token: 1, Decision: 4, Impression: 2}
	Plain      = Weights{Token: 1, Decision: 1, Impression: 1}
	Everything = Weights{Prompt: 1, Token: 1, Decision: 1, Impression: 1}
)

// decisionTokens begin a sentence.
const decisionTokens = 2

// Row is one prompt with its report: tokens, and what each counts when it is asked for.
type Row struct {
	Tokens  []int
	Weights []float32
}

// Asked is how many tokens of the row a model reads, and is asked for.
func (r Row) Asked() int { return len(r.Tokens) - 1 }

// Make makes a row. report has the form FINDINGS: ... IMPRESSION: ...; one without an impression teaches its findings alone, not that
// the text ends there.
func Make(tokenizer *llama.Tokenizer, prompt, report string, w Weights) Row {
	r := Row{Tokens: tokenizer.Prompt(prompt)}
	for range r.Tokens {
		r.Weights = append(r.Weights, w.Prompt)
	}
	add := func(text string, weight, decision float32) {
		for i, token := range tokenizer.Encode(text) {
			r.Tokens = append(r.Tokens, token)
			if i < decisionTokens {
				weight := max(weight, decision)
				r.Weights = append(r.Weights, weight)
			} else {
				r.Weights = append(r.Weights, weight)
			}
		}
	}
	const heading = "FINDINGS:"
	findings, conclusion, whole := strings.Cut(report, "IMPRESSION")
	add(heading, w.Token, w.Token)
	for sentence := range strings.SplitAfterSeq(strings.TrimPrefix(findings, heading), ".") {
		add(sentence, w.Token, w.Decision)
	}
	if !whole {
		return r
	}
	add("IMPRESSION", w.Impression, w.Impression)
	for item := range splitAfterAny(conclusion, ":,.") {
		add(item, w.Impression, w.Decision)
	}
	r.Tokens, r.Weights = append(r.Tokens, tokenizer.EOS), append(r.Weights, w.Impression)
	return r
}

// splitAfterAny yields the parts of text that end with one of the characters, and what is left.
func splitAfterAny(text, characters string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for len(text) > 0 {
			end := strings.IndexAny(text, characters) + 1
			if end == 0 {
				end = len(text)
			}
			if !yield(text[:end]) {
				return
			}
			text = text[end:]
		}
	}
}

// lengthStep: batches are padded to a multiple of it, so that few lengths are compiled and short reports do not pay for long ones.
const lengthStep = 64

// Batch packs rows of at most longest tokens; what is longer is cut. padding fills shorter rows and weighs nothing.
func Batch(list []Row, longest, padding int) qlora.Batch {
	length := 0
	for _, r := range list {
		length = max(length, r.Asked())
	}
	length = min((length+lengthStep-1)/lengthStep*lengthStep, longest)
	b := qlora.Batch{Size: len(list), Length: length}
	for _, r := range list {
		for i := range length + 1 {
			token, weight := padding, float32(0)
			if i < len(r.Tokens) {
				token, weight = r.Tokens[i], r.Weights[i]
			}
			b.Tokens = append(b.Tokens, int32(token))
			if i > 0 {
				b.Weights = append(b.Weights, weight)
			}
		}
	}
	return b
}
