package metrics

import "math"

// Parameters of NLTK's meteor_score.
const (
	meteorAlpha = 0.9
	meteorBeta  = 3
	meteorGamma = 0.5
)

// meteor is NLTK's meteor_score of words against one reference: words are matched as they are, then by stem, then by synonym, each from
// the end; runs of words matched in order cost less. The synonyms are looked up by stem, as NLTK does.
func (l *Lexicon) meteor(reference, candidate []word) float64 {
	stem := func(words []word) []word {
		out := make([]word, len(words))
		for i, w := range words {
			out[i] = l.stems[w]
		}
		return out
	}
	a := alignment{reference: reference, candidate: candidate, free: make([]bool, len(reference)), before: make([]int32, len(reference)), to: make([]int32, len(candidate))}
	for j := range a.free {
		a.free[j] = true
	}
	same := func(w word) []word { return l.same[w : w+1] }
	l.match(&a, same)
	a.reference, a.candidate = stem(reference), stem(candidate)
	l.match(&a, same)
	l.match(&a, func(w word) []word { return l.synonyms[w] })
	if a.matches == 0 {
		return 0
	}
	matches := float64(a.matches)
	precision, recall := matches/float64(len(candidate)), matches/float64(len(reference))
	mean := precision * recall / (meteorAlpha*precision + (1-meteorAlpha)*recall)
	return (1 - meteorGamma*math.Pow(a.chunks()/matches, meteorBeta)) * mean
}

// alignment ties candidate words to reference words.
type alignment struct {
	reference, candidate []word
	free                 []bool  // by place in the reference
	before               []int32 // by place in the reference: one more than the place of the free mention before, 0 for none
	to                   []int32 // by place in the candidate: one more than its place in the reference, 0 while unmatched
	matches              int
}

// match takes the candidate's words from the last to the first and ties each to the last free reference word that is one of its ways.
func (l *Lexicon) match(a *alignment, ways func(word) []word) {
	for j, w := range a.reference {
		if a.free[j] {
			a.before[j], l.last[w] = l.last[w], int32(j+1)
		}
	}
	for i := len(a.candidate) - 1; i >= 0; i-- {
		if a.to[i] > 0 {
			continue
		}
		best, by := int32(0), word(0)
		for _, w := range ways(a.candidate[i]) {
			if l.last[w] > best {
				best, by = l.last[w], w
			}
		}
		if best > 0 {
			a.to[i], a.free[best-1], l.last[by] = best, false, a.before[best-1]
			a.matches++
		}
	}
	for _, w := range a.reference {
		l.last[w] = 0
	}
}

// chunks counts the runs of pairs that follow each other in both texts.
func (a *alignment) chunks() float64 {
	chunks, last := 0, int32(0)
	for _, to := range a.to {
		if to > 0 && (last <= 0 || to != last+1) {
			chunks++
		}
		last = to
	}
	return float64(chunks)
}
