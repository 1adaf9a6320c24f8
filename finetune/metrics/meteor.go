package metrics

import (
	"math"
	"slices"

	"llamaxr/finetune/metrics/wordnet"
)

// Parameters of NLTK's meteor_score.
const (
	meteorAlpha = 0.9
	meteorBeta  = 3
	meteorGamma = 0.5
)

// token is a word still to be matched and where it stands in its text.
type token struct {
	at   int
	word string
}

// alignment ties candidate words to reference words.
type alignment struct {
	candidate, reference []token // unmatched so far, by place
	pairs                [][2]int
}

// meteor is NLTK's meteor_score of words against one reference: words are matched as they are, then by stem, then by synonym, each from
// the end; runs of words matched in order cost less. The synonyms are looked up by stem, as NLTK does.
func meteor(reference, candidate []string) (float64, error) {
	a := alignment{tokens(candidate), tokens(reference), nil}
	same := func(w string) []string { return []string{w} }
	a.match(same)
	for _, side := range [][]token{a.candidate, a.reference} {
		for i := range side {
			side[i].word = Stem(side[i].word)
		}
	}
	a.match(same)
	var failed error
	a.match(func(w string) []string {
		words := []string{w}
		if err := wordnet.Synonyms(w, func(s string) { words = append(words, s) }); err != nil {
			failed = err
		}
		return words
	})
	if failed != nil || len(a.pairs) == 0 {
		return 0, failed
	}
	matches := float64(len(a.pairs))
	precision, recall := matches/float64(len(candidate)), matches/float64(len(reference))
	mean := precision * recall / (meteorAlpha*precision + (1-meteorAlpha)*recall)
	return (1 - meteorGamma*math.Pow(a.chunks()/matches, meteorBeta)) * mean, nil
}

func tokens(words []string) []token {
	out := make([]token, len(words))
	for i, w := range words {
		out[i] = token{i, lower(w)}
	}
	return out
}

// match takes the candidate's words from the last to the first and ties each to the last free reference word that is one of its ways.
func (a *alignment) match(ways func(string) []string) {
	free := map[string][]int{} // by word: indices into reference
	for j, t := range a.reference {
		free[t.word] = append(free[t.word], j)
	}
	taken := map[int]bool{}
	var left []token
	for _, t := range slices.Backward(a.candidate) {
		best, by := -1, ""
		for _, w := range ways(t.word) {
			if at := free[w]; len(at) > 0 && at[len(at)-1] > best {
				best, by = at[len(at)-1], w
			}
		}
		if best < 0 {
			left = append(left, t)
			continue
		}
		free[by] = free[by][:len(free[by])-1]
		taken[best] = true
		a.pairs = append(a.pairs, [2]int{t.at, a.reference[best].at})
	}
	slices.Reverse(left)
	var unmatched []token
	for j, t := range a.reference {
		if !taken[j] {
			unmatched = append(unmatched, t)
		}
	}
	a.candidate, a.reference = left, unmatched
}

// chunks counts the runs of pairs that follow each other in both texts.
func (a *alignment) chunks() float64 {
	slices.SortFunc(a.pairs, func(x, y [2]int) int { return x[0] - y[0] })
	chunks := 1
	for i := 1; i < len(a.pairs); i++ {
		if a.pairs[i] != [2]int{a.pairs[i-1][0] + 1, a.pairs[i-1][1] + 1} {
			chunks++
		}
	}
	return float64(chunks)
}
