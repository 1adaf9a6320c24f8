package metrics

import "math"

// cider is pycocoevalcap's CIDEr of each pair (Vedantam et al. 2015, with the clipping and the length penalty of CIDEr-D): cosine of
// tf-idf vectors of n-grams, averaged over the orders, times 10. Frequencies are those of the references given.
func cider(references, candidates [][]string) []float64 {
	frequency := map[string]float64{}
	counted := make([][orders]bag, len(references))
	for i, words := range references {
		counted[i] = grams(words)
		for _, b := range counted[i] {
			for _, gram := range b.kinds {
				frequency[gram]++
			}
		}
	}
	logPairs := math.Log(float64(len(references)))
	weigh := func(b bag) (weights map[string]float64, norm float64) {
		weights, squares := make(map[string]float64, len(b.kinds)), 0.0
		for _, gram := range b.kinds {
			w := float64(b.count[gram]) * (logPairs - math.Log(max(1, frequency[gram])))
			weights[gram], squares = w, squares+w*w
		}
		return weights, math.Sqrt(squares)
	}
	out := make([]float64, len(references))
	for i, words := range candidates {
		for n, b := range grams(words) {
			has, hasNorm := weigh(counted[i][n])
			says, saysNorm := weigh(b)
			dot := 0.0
			for _, gram := range b.kinds {
				dot += min(says[gram], has[gram]) * has[gram]
			}
			if hasNorm != 0 && saysNorm != 0 {
				dot /= hasNorm * saysNorm
			}
			out[i] += dot / orders
		}
		out[i] *= 10 * lengthPenalty(len(references[i]), len(words))
	}
	return out
}

// lengthPenalty is a Gaussian of the difference in length, which pycocoevalcap counts in word pairs.
func lengthPenalty(reference, candidate int) float64 {
	const sigma = 6
	delta := float64(max(candidate-1, 0) - max(reference-1, 0))
	return math.Exp(-delta * delta / (2 * sigma * sigma))
}
