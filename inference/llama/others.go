package llama

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"unicode"
)

// Bounds of what Others writes.
const (
	mostOthers = 4
	allOthers  = 64 // tokens of all together; a sentence has 5 to 30
	// leastLikely is how much less likely than the word that was written another may be, as the logarithm of how many times: 20. The words
	// that a small model thinks of beyond that are often none.
	leastLikely = 3
)

// fork is a place where a text can go another way, with another token.
type fork struct {
	place, token int
	behind       float32 // the token that was written, by the logarithm of how many times it is less likely
}

// Others writes other sentences in the place of text[from:to], which the model wrote after prompt and text[:from]. Each parts from that at one word, where
// the model was nearly as ready to write another, and goes on greedily; the likeliest comes first, and the last is the one that takes says yes to.
// Where worth says no to its beginning, up to and with that word, it is not written. What else is written meanwhile changes none.
func (m *Model) Others(ctx context.Context, prompt, text string, from, to int, worth, takes func(sentence string) bool) error {
	ids := m.Tokenizer.Prompt(prompt)
	start := len(ids)
	ids = append(ids, m.Tokenizer.Encode(text[:to])...)
	first := start
	for first < len(ids) && len(m.Tokenizer.Decode(ids[start:first+1])) <= from {
		first++
	}
	forks, err := m.forks(ctx, ids, first)
	written, left := 0, allOthers
	for _, f := range forks {
		begun := append(ids[:f.place:f.place], f.token)
		said := m.Tokenizer.Decode(begun[first:])
		if written == mostOthers || left == 0 {
			break
		}
		if !worth(strings.TrimSpace(said)) {
			continue
		}
		if sentenceEnd(said) < 0 {
			var all []int
			var result *Result
			if all, result, err = m.write(ctx, begun, left, sentenceEnd, unforced); err != nil {
				break
			}
			said, left = m.Tokenizer.Decode(all[first:len(all)-1]), left-result.NewTokens
		}
		written++
		if end := sentenceEnd(said); end >= 0 && takes(strings.TrimSpace(said[:end])) {
			break
		}
	}
	if errors.Is(err, ErrPromptTooLong) {
		return nil // no room for another
	}
	return err
}

// forks are the places from first on where a text can go another way, the likeliest ways first.
func (m *Model) forks(ctx context.Context, ids []int, first int) (out []fork, err error) {
	leave, err := m.enter(ctx, len(ids))
	if err != nil {
		return nil, err
	}
	defer leave()
	m.passing.Lock()
	defer m.passing.Unlock()
	at := m.place(ids)
	if _, err := m.recall(at, ids); err != nil {
		return nil, err
	}
	first = max(first, 1) // after something
	from := min(m.keptOf(at, ids), first-1)
	for place := first; place < len(ids); {
		want := min(m.machine.mostWanted(), len(ids)-place)
		end := place + want - 1
		if err := m.forward(part{at, ids[from:end], from, want}); err != nil {
			return nil, err
		}
		for _, scores := range m.machine.scores() {
			out = append(out, m.forksAt(ids, first, place, scores)...)
			place++
		}
		from = end
	}
	slices.SortStableFunc(out, likelierFirst)
	return out, nil
}

// forksAt are the ways to go on at a place with another word than the one written: both begin where a word can.
func (m *Model) forksAt(ids []int, first, place int, scores []float32) (out []fork) {
	written := ids[place]
	for token, score := range scores {
		if behind := scores[written] - score; behind <= leastLikely && token != written {
			out = append(out, fork{place, token, behind})
		}
	}
	slices.SortStableFunc(out, likelierFirst)
	before := m.Tokenizer.Decode(ids[first:place])
	goesOn := func(token int) bool { // within a word, or out of the sentence
		piece, ok := strings.CutPrefix(m.Tokenizer.Decode(append(ids[first:place:place], token)), before)
		inside := strings.IndexFunc(piece, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) == 0
		return !ok || strings.TrimSpace(piece) == "" || strings.Contains(piece, "\n") || place > first && inside
	}
	if goesOn(written) {
		return nil
	}
	return slices.DeleteFunc(out[:min(len(out), mostOthers)], func(f fork) bool { return m.stops[f.token] || goesOn(f.token) })
}

func likelierFirst(a, b fork) int { return cmp.Compare(a.behind, b.behind) }

// sentenceEnd is where the first sentence of a text ends, -1 where none does.
func sentenceEnd(text string) int {
	if at := strings.IndexAny(text, ".!?\n"); at >= 0 {
		return at + 1
	}
	return -1
}
