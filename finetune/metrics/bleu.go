package metrics

import (
	"math"
	"strings"
)

// orders are the lengths of n-grams that BLEU and CIDEr count: 1 to 4.
const orders = 4

// between stands between the words of an n-gram; fields never leaves it in a word.
const between = "\x1f"

// bag counts n-grams. kinds are the different ones in the order of their first appearance: sums over them come out the same each time.
type bag struct {
	kinds []string
	count map[string]int
}

// grams counts the n-grams of each order.
func grams(words []string) (bags [orders]bag) {
	for n := range bags {
		b := bag{count: make(map[string]int, len(words))}
		for i := 0; i+n < len(words); i++ {
			gram := strings.Join(words[i:i+n+1], between)
			if b.count[gram]++; b.count[gram] == 1 {
				b.kinds = append(b.kinds, gram)
			}
		}
		bags[n] = b
	}
	return bags
}

// overlap is what BLEU needs of a pair.
type overlap struct {
	correct, guessed     [orders]float64 // candidate n-grams that the reference has, and all of them
	candidate, reference float64         // words
}

func overlapOf(reference, candidate []string) overlap {
	o := overlap{candidate: float64(len(candidate)), reference: float64(len(reference))}
	has, says := grams(reference), grams(candidate)
	for n := range says {
		for gram, count := range says[n].count {
			o.correct[n] += float64(min(count, has[n].count[gram]))
		}
		o.guessed[n] = max(o.candidate-float64(n), 0)
	}
	return o
}

// sentenceBLEU is NLTK's sentence_bleu of orders 1 to 4 with equal weights and SmoothingFunction().method1: no match counts as a tenth
// of one. Without a common word it is 0.
func (o overlap) sentenceBLEU() (out [orders]float64) {
	const epsilon = 0.1
	if o.correct[0] == 0 {
		return out
	}
	brevity := 1.0
	if o.candidate <= o.reference {
		brevity = math.Exp(1 - o.reference/o.candidate)
	}
	logs := 0.0
	for n := range out {
		correct := o.correct[n]
		if correct == 0 {
			correct = epsilon
		}
		logs += math.Log(correct / max(o.guessed[n], 1))
		out[n] = brevity * math.Exp(logs/float64(n+1))
	}
	return out
}

// corpusBLEU is pycocoevalcap's BLEU of sums over pairs: a geometric mean of precisions kept from 0 by constants.
func (o overlap) corpusBLEU() (out [orders]float64) {
	const small, tiny = 1e-9, 1e-15
	product := 1.0
	ratio := (o.candidate + tiny) / (o.reference + small)
	for n := range out {
		product *= (o.correct[n] + tiny) / (o.guessed[n] + small)
		out[n] = math.Pow(product, 1/float64(n+1))
		if ratio < 1 {
			out[n] *= math.Exp(1 - 1/ratio)
		}
	}
	return out
}

// row and overlapRow lay the sums out for the bootstrap.
func (o overlap) row() []float64 {
	return append(append(o.correct[:len(o.correct):len(o.correct)], o.guessed[:]...), o.candidate, o.reference)
}

func overlapRow(row []float64) (o overlap) {
	copy(o.correct[:], row)
	copy(o.guessed[:], row[orders:])
	o.candidate, o.reference = row[2*orders], row[2*orders+1]
	return o
}
