package wordnet

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"strings"
	"sync"
)

// packed begins with the licence, which so goes wherever the words go; the parts of speech follow, set apart by empty lines.
//
//go:embed words.gz
var packed []byte

// speech is one part of speech.
type speech struct {
	synsets    map[string][][]string // by lower-case lemma: the lower-case lemmas of each of its synsets
	exceptions map[string][]string   // irregular forms and their base forms
	endings    [][2]string           // regular ending and what stands in its place in the base form
}

// The endings of morphy(7WN).
var (
	nounEndings      = [][2]string{{"s", ""}, {"ses", "s"}, {"ves", "f"}, {"xes", "x"}, {"zes", "z"}, {"ches", "ch"}, {"shes", "sh"}, {"men", "man"}, {"ies", "y"}}
	verbEndings      = [][2]string{{"s", ""}, {"ies", "y"}, {"es", "e"}, {"es", ""}, {"ed", "e"}, {"ed", ""}, {"ing", "e"}, {"ing", ""}}
	adjectiveEndings = [][2]string{{"er", ""}, {"est", ""}, {"er", "e"}, {"est", "e"}}
)

// parts are noun, verb, adjective and adverb, in the order of words.gz.
var parts = sync.OnceValues(func() ([]*speech, error) {
	all := []*speech{{endings: nounEndings}, {endings: verbEndings}, {endings: adjectiveEndings}, {}}
	sections, err := sections()
	if err != nil {
		return nil, err
	}
	if len(sections) != len(all) {
		return nil, fmt.Errorf("wordnet: %d sections, want %d parts of speech", len(sections), len(all))
	}
	for i, section := range sections {
		all[i].read(section)
	}
	return all, nil
})

// sections are those of words.gz after the licence.
func sections() ([]string, error) {
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("wordnet: %w", err)
	}
	text, err := io.ReadAll(reader)
	if err != nil {
		return nil, fmt.Errorf("wordnet: %w", err)
	}
	return strings.Split(string(text), "\n\n")[1:], nil
}

// read takes a section of words.gz: a synset a line, an exception a line that begins with ">".
func (s *speech) read(section string) {
	s.synsets, s.exceptions = map[string][][]string{}, map[string][]string{}
	for line := range strings.Lines(section) {
		words := strings.Fields(line)
		if irregular, ok := strings.CutPrefix(words[0], ">"); ok {
			s.exceptions[irregular] = words[1:]
			continue
		}
		var lower []string
		for _, w := range words {
			if w == strings.ToLower(w) {
				lower = append(lower, w)
			}
		}
		for _, w := range words {
			key := strings.ToLower(w)
			s.synsets[key] = append(s.synsets[key], lower)
		}
	}
}

// Synonyms calls yield with every lower-case single word that shares a synset with word or with one of its base forms. A word comes as
// often as it shares one. word is lower case.
func Synonyms(word string, yield func(string)) error {
	all, err := parts()
	if err != nil {
		return err
	}
	for _, s := range all {
		for _, form := range s.forms(word) {
			for _, synset := range s.synsets[form] {
				for _, w := range synset {
					yield(w)
				}
			}
		}
	}
	return nil
}

// forms are the word itself and its base forms: those of the exception list, else those that an ending gives.
func (s *speech) forms(word string) []string {
	forms := []string{word}
	if bases, ok := s.exceptions[word]; ok {
		return append(forms, bases...)
	}
	for _, e := range s.endings {
		if stem, ok := strings.CutSuffix(word, e[0]); ok {
			forms = append(forms, stem+e[1])
		}
	}
	return forms
}
