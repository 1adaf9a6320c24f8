package web

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

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

// maxCompared bounds the words, or sentences, of either side that are compared one by one: the table has their product.
const maxCompared = 1500

var words = regexp.MustCompile(`\s+|[\p{L}\p{N}]+|[^\s\p{L}\p{N}]`)

// compare finds what became of a text: which sentences stay, and in those between them which words. Concatenating what is not added gives
// before, concatenating what is not gone gives after.
func compare(before, after string) []piece {
	var out pieces
	var was, is string
	changed := func() {
		for _, p := range tidy(align(words.FindAllString(was, -1), words.FindAllString(is, -1))) {
			out.add(p.Kind, p.Text)
		}
		was, is = "", ""
	}
	for _, p := range align(sentences(before), sentences(after)) {
		switch p.Kind {
		case same:
			changed()
			out.add(same, p.Text)
		case gone:
			was += p.Text
		case added:
			is += p.Text
		}
	}
	changed()
	return out
}

// sentences cuts a text into its sentences and the space between them.
func sentences(text string) (out []string) {
	starts := append(sentenceStarts(text), len(text))
	for i, start := range starts[:len(starts)-1] {
		part := text[start:starts[i+1]]
		sentence := strings.TrimRightFunc(part, unicode.IsSpace)
		out = append(out, sentence, part[len(sentence):])
	}
	if len(out) == 0 {
		out = []string{text}
	}
	return slices.DeleteFunc(out, func(s string) bool { return s == "" })
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

// align lays two lists beside each other so that as much text as possible stays.
func align(a, b []string) (out pieces) {
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

// middle is the textbook table of common subsequences, by their bytes, walked from its beginning.
func (p *pieces) middle(a, b []string) {
	length := make([][]int, len(a)+1)
	for i := range length {
		length[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				length[i][j] = length[i+1][j+1] + len(a[i])
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

// tidy makes one change of two that have less between them than either is: "A pneumothorax is suspected" became "There is a small pneumothorax" as a
// whole, though "is" stayed.
func tidy(list pieces) (out pieces) {
	type change struct{ gone, added, same string } // what stays after it
	var changes []change
	for _, p := range list {
		if n := len(changes); n == 0 || p.Kind != same && changes[n-1].same != "" {
			changes = append(changes, change{})
		}
		last := &changes[len(changes)-1]
		switch p.Kind {
		case same:
			last.same += p.Text
		case gone:
			last.gone += p.Text
		case added:
			last.added += p.Text
		}
	}
	size := func(c change) int { return max(len(c.gone), len(c.added)) }
	for i := 0; i+1 < len(changes); {
		one, next := changes[i], changes[i+1]
		if len(one.same) > min(size(one), size(next)) {
			i++
			continue
		}
		changes[i] = change{one.gone + one.same + next.gone, one.added + one.same + next.added, next.same}
		changes = slices.Delete(changes, i+1, i+2)
		i = max(i-1, 0) // it is larger now: what is before it may belong to it
	}
	for _, c := range changes {
		for _, p := range []piece{{gone, c.gone}, {added, c.added}, {same, c.same}} {
			if p.Text != "" {
				out.add(p.Kind, p.Text)
			}
		}
	}
	return out
}
