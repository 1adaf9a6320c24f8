// Package wordnet answers which single words share a meaning with a word, from WordNet 3.0 (Princeton University; LICENSE beside this
// file), as NLTK's METEOR asks: the lower-case lemmas of every synset of every base form that NLTK's morphy finds.
//
// What METEOR never asks for is not kept: glosses, relations, multi-word lemmas, synsets of proper names alone. pack makes words.gz again
// from the database files (Debian: wordnet-base).
//
//	wordnet.Synonyms("lung")    // lung
//	wordnet.Synonyms("picture") // picture, image, icon, ikon, painting, pic, ...
package wordnet

//go:generate go run ./pack -from /usr/share/wordnet -to words.gz
