package web

import "regexp"

// Kinds of pieces of a comparison.
const (
	same  = "="
	added = "+"
	gone  = "-"
)

// piece is a stretch of text that both have, or only one.
type piece struct {
	Kind string `json:"k"`
	Text string `json:"t"`
}

// maxCompared bounds the words of either side that are compared one by one: the table has their product.
const maxCompared = 1500

var words = regexp.MustCompile(`\s+|[\p{L}\p{N}]+|[^\s\p{L}\p{N}]`)

// compare finds what became of a text word by word: the longest common subsequence stays. Concatenating what is not added gives before,
// concatenating what is not gone gives after.
func compare(before, after string) []piece {
	a, b := words.FindAllString(before, -1), words.FindAllString(after, -1)
	var out pieces
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		out.add(same, a[head])
		head++
	}
	a, b = a[head:], b[head:]
	tail := 0
	for tail < len(a) && tail < len(b) && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	end := a[len(a)-tail:]
	a, b = a[:len(a)-tail], b[:len(b)-tail]
	if len(a) > maxCompared || len(b) > maxCompared {
		out.all(gone, a)
		out.all(added, b)
	} else {
		out.middle(a, b)
	}
	out.all(same, end)
	return out
}

type pieces []piece

// add appends a word, to the last piece when that is of its kind.
func (p *pieces) add(kind, text string) {
	if n := len(*p); n > 0 && (*p)[n-1].Kind == kind {
		(*p)[n-1].Text += text
		return
	}
	*p = append(*p, piece{kind, text})
}

func (p *pieces) all(kind string, list []string) {
	for _, word := range list {
		p.add(kind, word)
	}
}

// middle is the textbook table of common subsequences, walked from its beginning.
func (p *pieces) middle(a, b []string) {
	length := make([][]uint16, len(a)+1)
	for i := range length {
		length[i] = make([]uint16, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		switch {
		case a[i] == b[j]:
			p.add(same, a[i])
			i, j = i+1, j+1
		case length[i+1][j] >= length[i][j+1]:
			p.add(gone, a[i])
			i++
		default:
			p.add(added, b[j])
			j++
		}
	}
	p.all(gone, a[i:])
	p.all(added, b[j:])
}
