package metrics

import "strings"

// RougeL is rouge_score's rougeL F-measure with its stemmer: the longest common subsequence of stemmed lower-case words (Lin 2004), in
// [0, 1]. A text without a word scores 0.
func RougeL(reference, candidate string) float64 {
	return rougeL(rougeWords(reference), rougeWords(candidate))
}

func rougeL[T comparable](a, b []T) float64 {
	if len(a) == 0 || len(b) == 0 {
		return 0
	}
	common := float64(commonSubsequence(a, b))
	if common == 0 {
		return 0
	}
	precision, recall := common/float64(len(b)), common/float64(len(a))
	return 2 * precision * recall / (precision + recall)
}

// cocoRougeL is pycocoevalcap's: words are what single spaces separate, recall weighs more.
func cocoRougeL(reference, candidate string) float64 {
	const beta = 1.2
	a, b := strings.Split(reference, " "), strings.Split(candidate, " ")
	common := float64(commonSubsequence(a, b))
	if common == 0 {
		return 0
	}
	precision, recall := common/float64(len(b)), common/float64(len(a))
	return (1 + beta*beta) * precision * recall / (recall + beta*beta*precision)
}

// commonSubsequence is the length of the longest common subsequence.
func commonSubsequence[T comparable](a, b []T) int {
	row := make([]int, len(b)+1)
	for _, x := range a {
		diagonal := 0
		for j, y := range b {
			above := row[j+1]
			if x == y {
				row[j+1] = diagonal + 1
			} else {
				row[j+1] = max(above, row[j])
			}
			diagonal = above
		}
	}
	return row[len(b)]
}
