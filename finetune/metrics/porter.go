package metrics

import "strings"

// irregular are NLTK's exceptions to the algorithm.
var irregular = map[string]string{
	"sky": "sky", "skies": "sky", "dying": "die", "lying": "lie", "tying": "tie", "news": "news", "innings": "inning", "inning": "inning",
	"outings": "outing", "outing": "outing", "cannings": "canning", "canning": "canning", "howe": "howe", "proceed": "proceed",
	"exceed": "exceed", "succeed": "succeed",
}

// Stem is the Porter stemmer (Program 14.3, 1980, pages 130 to 137) with NLTK's extensions, which rouge_score and NLTK's METEOR use.
// word is lower case.
func Stem(word string) string {
	if stem, ok := irregular[word]; ok {
		return stem
	}
	w := stemmed(word)
	if len(w) <= 2 {
		return word
	}
	for _, step := range []func(stemmed) stemmed{step1a, step1b, step1c, step2, step3, step4, step5a, step5b} {
		w = step(w)
	}
	return string(w)
}

// stemmed is a word on its way, in letters.
type stemmed []rune

func (w stemmed) ends(suffix string) bool { return strings.HasSuffix(string(w), suffix) }

// consonants says of each letter whether it is a consonant: all but a, e, i, o, u, and y after a consonant.
func (w stemmed) consonants() []bool {
	out := make([]bool, len(w))
	for i, r := range w {
		switch {
		case strings.ContainsRune("aeiou", r):
		case r == 'y':
			out[i] = i == 0 || !out[i-1]
		default:
			out[i] = true
		}
	}
	return out
}

// measure is m, the number of times a vowel is followed by a consonant.
func (w stemmed) measure() int {
	m := 0
	c := w.consonants()
	for i := 1; i < len(c); i++ {
		if c[i] && !c[i-1] {
			m++
		}
	}
	return m
}

func (w stemmed) hasVowel() bool {
	for _, c := range w.consonants() {
		if !c {
			return true
		}
	}
	return false
}

// doubled is *d: the word ends with a double consonant.
func (w stemmed) doubled() bool {
	n := len(w)
	return n >= 2 && w[n-1] == w[n-2] && w.consonants()[n-1]
}

// short is *o: consonant, vowel, consonant at the end, the last not w, x or y; in NLTK also a word of a vowel and a consonant.
func (w stemmed) short() bool {
	n, c := len(w), w.consonants()
	if n == 2 {
		return !c[0] && c[1]
	}
	return n >= 3 && c[n-3] && !c[n-2] && c[n-1] && !strings.ContainsRune("wxy", w[n-1])
}

// rule replaces an ending where a condition on what is before it holds; nil always does.
type rule struct {
	suffix, by string
	holds      func(stemmed) bool
}

// apply applies the first rule whose suffix fits, if its condition holds; later rules are not tried.
func (w stemmed) apply(rules []rule) stemmed {
	for _, r := range rules {
		if !w.ends(r.suffix) {
			continue
		}
		if stem := w[:len(w)-len(r.suffix)]; r.holds == nil || r.holds(stem) {
			return append(stem[:len(stem):len(stem)], []rune(r.by)...)
		}
		return w
	}
	return w
}

func positive(w stemmed) bool { return w.measure() > 0 }

func overOne(w stemmed) bool { return w.measure() > 1 }

func step1a(w stemmed) stemmed {
	if w.ends("ies") && len(w) == 4 {
		return w[:3]
	}
	return w.apply([]rule{{"sses", "ss", nil}, {"ies", "i", nil}, {"ss", "ss", nil}, {"s", "", nil}})
}

func step1b(w stemmed) stemmed {
	if w.ends("ied") {
		if len(w) == 4 {
			return w[:3]
		}
		return w[:len(w)-2]
	}
	if w.ends("eed") {
		return w.apply([]rule{{"eed", "ee", positive}})
	}
	var stem stemmed
	for _, suffix := range []string{"ed", "ing"} {
		if w.ends(suffix) && w[:len(w)-len(suffix)].hasVowel() {
			stem = w[:len(w)-len(suffix)]
			break
		}
	}
	switch {
	case stem == nil:
		return w
	case stem.ends("at"), stem.ends("bl"), stem.ends("iz"):
		return append(stem[:len(stem):len(stem)], 'e')
	case stem.doubled():
		if strings.ContainsRune("lsz", stem[len(stem)-1]) {
			return stem
		}
		return stem[:len(stem)-1]
	case stem.measure() == 1 && stem.short():
		return append(stem[:len(stem):len(stem)], 'e')
	}
	return stem
}

// step1c is NLTK's: y becomes i after a consonant that is not the first letter.
func step1c(w stemmed) stemmed {
	return w.apply([]rule{{"y", "i", func(stem stemmed) bool { return len(stem) > 1 && stem.consonants()[len(stem)-1] }}})
}

func step2(w stemmed) stemmed {
	if w.ends("alli") && positive(w[:len(w)-4]) {
		return step2(w[:len(w)-2])
	}
	return w.apply([]rule{
		{"ational", "ate", positive},
		{"tional", "tion", positive},
		{"enci", "ence", positive},
		{"anci", "ance", positive},
		{"izer", "ize", positive},
		{"bli", "ble", positive},
		{"alli", "al", positive},
		{"entli", "ent", positive},
		{"eli", "e", positive},
		{"ousli", "ous", positive},
		{"ization", "ize", positive},
		{"ation", "ate", positive},
		{"ator", "ate", positive},
		{"alism", "al", positive},
		{"iveness", "ive", positive},
		{"fulness", "ful", positive},
		{"ousness", "ous", positive},
		{"aliti", "al", positive},
		{"iviti", "ive", positive},
		{"biliti", "ble", positive},
		{"fulli", "ful", positive},
		{"logi", "log", func(stemmed) bool { return positive(w[:len(w)-3]) }},
	})
}

func step3(w stemmed) stemmed {
	return w.apply([]rule{
		{"icate", "ic", positive},
		{"ative", "", positive},
		{"alize", "al", positive},
		{"iciti", "ic", positive},
		{"ical", "ic", positive},
		{"ful", "", positive},
		{"ness", "", positive},
	})
}

func step4(w stemmed) stemmed {
	var rules []rule
	for _, suffix := range []string{"al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent"} {
		rules = append(rules, rule{suffix, "", overOne})
	}
	rules = append(rules, rule{"ion", "", func(stem stemmed) bool { return overOne(stem) && (stem.ends("s") || stem.ends("t")) }})
	for _, suffix := range []string{"ou", "ism", "ate", "iti", "ous", "ive", "ize"} {
		rules = append(rules, rule{suffix, "", overOne})
	}
	return w.apply(rules)
}

func step5a(w stemmed) stemmed {
	if !w.ends("e") {
		return w
	}
	if stem := w[:len(w)-1]; stem.measure() > 1 || stem.measure() == 1 && !stem.short() {
		return stem
	}
	return w
}

func step5b(w stemmed) stemmed {
	return w.apply([]rule{{"ll", "l", func(stemmed) bool { return overOne(w[:len(w)-1]) }}})
}
