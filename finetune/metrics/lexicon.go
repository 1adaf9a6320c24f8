package metrics

import "llamaxr/finetune/metrics/wordnet"

// Lexicon numbers words, so that who compares a text with many takes each apart once. It is not for concurrent use.
type Lexicon struct {
	numbers  map[string]word
	same     []word   // every number, one after another: a word's own slice of one
	stems    []word   // by word
	synonyms [][]word // by stem: itself and what may stand for it, in no order
	known    []bool   // by word: stem and synonyms are there
	last     []int32  // by word, for match: one more than the place of its last free mention
}

type word int32

// Text is a text as the numbers of its words, as rouge_score and as METEOR take it apart.
type Text struct{ rouge, meteor []word }

// NewLexicon knows no word.
func NewLexicon() *Lexicon { return &Lexicon{numbers: map[string]word{}} }

// Text takes a text apart.
func (l *Lexicon) Text(text string) (t Text, err error) {
	for _, w := range rougeWords(text) {
		t.rouge = append(t.rouge, l.number(w))
	}
	for _, w := range fields(text) {
		w = lower(w)
		n := l.number(w)
		if err := l.learn(w, n); err != nil {
			return t, err
		}
		t.meteor = append(t.meteor, n)
	}
	return t, nil
}

// Join is the text of texts one after another.
func Join(texts ...Text) (all Text) {
	for _, t := range texts {
		all.rouge, all.meteor = append(all.rouge, t.rouge...), append(all.meteor, t.meteor...)
	}
	return all
}

// Likeness are ROUGE-L and METEOR of the paper's recipe.
func (l *Lexicon) Likeness(reference, candidate Text) (rouge, meteor float64) {
	return rougeL(reference.rouge, candidate.rouge), l.meteor(reference.meteor, candidate.meteor)
}

func (l *Lexicon) number(w string) word {
	n, ok := l.numbers[w]
	if !ok {
		n = word(len(l.same))
		l.numbers[w] = n
		l.same, l.stems, l.synonyms = append(l.same, n), append(l.stems, n), append(l.synonyms, nil)
		l.known, l.last = append(l.known, false), append(l.last, 0)
	}
	return n
}

// learn looks up a word's stem, and the stem's synonyms.
func (l *Lexicon) learn(w string, n word) error {
	if l.known[n] {
		return nil
	}
	stem := Stem(w)
	s := l.number(stem)
	l.stems[n], l.known[n] = s, true
	if l.synonyms[s] != nil {
		return nil
	}
	list := []word{s}
	err := wordnet.Synonyms(stem, func(other string) { list = append(list, l.number(other)) })
	l.synonyms[s] = list
	return err
}
