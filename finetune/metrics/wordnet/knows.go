package wordnet

import (
	"slices"
	"strings"
	"sync"
)

// ordinary are all words that are not written with a capital, sorted. It takes a fifth of the memory that the synonyms take.
var ordinary = sync.OnceValues(func() ([]string, error) {
	sections, err := sections()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, section := range sections {
		for _, w := range strings.Fields(section) {
			if w = strings.TrimPrefix(w, ">"); w == strings.ToLower(w) {
				out = append(out, w)
			}
		}
	}
	slices.Sort(out)
	return slices.Clip(slices.Compact(out)), nil
})

// endings are those of nouns and verbs, and none. Those of comparatives are left out: many names end in -er.
var endings = slices.Concat([][2]string{{"", ""}}, nounEndings, verbEndings)

// Knows reports whether a word in small letters, or one of its base forms, is an ordinary word and no name.
func Knows(word string) (bool, error) {
	list, err := ordinary()
	if err != nil {
		return false, err
	}
	for _, e := range endings {
		if stem, ok := strings.CutSuffix(word, e[0]); ok {
			if _, found := slices.BinarySearch(list, stem+e[1]); found {
				return true, nil
			}
		}
	}
	return false, nil
}
