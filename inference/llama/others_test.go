package llama

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"

	"llamaxr/inference/engine"
)

func yes(string) bool { return true }

// othersOf are all that a model offers in the place of a sentence, after beginnings that are worth it.
func othersOf(t *testing.T, m *Model, prompt, text, sentence string, worth func(string) bool) (out []string) {
	t.Helper()
	from := strings.Index(text, sentence)
	if err := m.Others(t.Context(), prompt, text, from, from+len(sentence), worth, func(s string) bool {
		out = append(out, s)
		return false
	}); err != nil {
		t.Error(err)
	}
	return out
}

const (
	othersPrompt = "Report of a chest radiograph:\n"
	othersText   = "FINDINGS: The heart is normal in size. There is no pleural effusion or pneumothorax. The lungs are clear."
)

var othersSentences = []string{"The heart is normal in size.", "There is no pleural effusion or pneumothorax."}

// TestOthers: a real model offers other sentences, each one whole, its own to the last token after the word at which it parts; the same whatever is written
// meanwhile and whatever is kept of earlier texts. It stops where it is told.
func TestOthers(t *testing.T) {
	files := smolNF4(t)
	m, _ := countedModel(t, files, nil, NativeInt16)
	fresh, _ := countedModel(t, files, nil, NativeInt16)
	offered := map[string][]string{}
	for _, sentence := range othersSentences {
		others := othersOf(t, m, othersPrompt, othersText, sentence, yes)
		offered[sentence] = others
		t.Logf("%q: %q", sentence, others)
		if len(others) == 0 || len(others) > mostOthers {
			t.Errorf("%d others of %q", len(others), sentence)
		}
		before := m.Tokenizer.Encode(othersPrompt + othersText[:strings.Index(othersText, " "+sentence)])
		first := m.Tokenizer.Encode(" " + sentence)
		for i, other := range others {
			if other == sentence || slices.Contains(others[:i], other) || sentenceEnd(other) != len(other) {
				t.Errorf("%q in the place of %q", other, sentence)
			}
			tokens := m.Tokenizer.Encode(" " + other)
			parts := commonPrefix(first, tokens) + 1
			if parts == len(tokens) {
				continue
			}
			if all, _, err := fresh.write(t.Context(), slices.Concat(before, tokens[:parts]), allOthers, sentenceEnd, unforced); err != nil {
				t.Fatal(err)
			} else if got := all[len(before):]; commonPrefix(got, tokens) != len(tokens) {
				t.Errorf("%q goes on as %q", other, m.Tokenizer.Decode(got))
			}
		}
		if len(others) > 1 {
			n := 0
			from := strings.Index(othersText, sentence)
			if err := m.Others(t.Context(), othersPrompt, othersText, from, from+len(sentence), yes, func(s string) bool {
				n++
				return s == others[0]
			}); err != nil || n != 1 {
				t.Errorf("%d were written after the one that was taken: %v", n-1, err)
			}
		}
		if none := othersOf(t, m, othersPrompt, othersText, sentence, func(string) bool { return false }); len(none) > 0 {
			t.Errorf("%q were written, which were not worth it", none)
		}
	}
	var all sync.WaitGroup
	for _, sentence := range othersSentences {
		all.Go(func() {
			if got := othersOf(t, m, othersPrompt, othersText, sentence, yes); !slices.Equal(got, offered[sentence]) {
				t.Errorf("beside others %q, alone %q", got, offered[sentence])
			}
		})
		all.Go(func() {
			if _, err := m.Generate(t.Context(), othersPrompt+"No", 20); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(m.places) != 0 || m.writing != 0 {
		t.Error("a place is still taken")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Others(gone, othersPrompt, othersText, 10, 20, yes, yes); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := m.Others(t.Context(), strings.Repeat("No ", 2*maxContext), "No.", 0, 3, yes, yes); err != nil {
		t.Errorf("without room: %v", err)
	}
}

// TestForksOnBothMachines: the graph knows the same other ways to go on as the native machine in its arithmetic, in the same order.
func TestForksOnBothMachines(t *testing.T) {
	base, adapter := tinyFiles(t)
	eng, err := engine.Open(engine.Go)
	if err != nil {
		t.Fatal(err)
	}
	for _, over := range []fs.FS{nil, adapter} {
		var want []fork
		for _, kind := range []Kind{NativeExact, OnGraph} {
			m, err := LoadAs(eng, base, kind)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.SetAdapter(over); err != nil {
				t.Fatal(err)
			}
			got, err := m.forks(t.Context(), m.Tokenizer.Prompt("No effusion. No effusion."), 5)
			if err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want = got
			}
			if len(got) == 0 || !slices.EqualFunc(got, want, func(a, b fork) bool { return a.place == b.place && a.token == b.token }) {
				t.Errorf("%s: %v, want %v", m.Engine(), got, want)
			}
		}
	}
}
