// Command pack makes words.gz from WordNet's database files (wndb(5WN)): of each synset its single-word lemmas, of each exception list
// its single words.
package main

import (
	"bufio"
	"compress/gzip"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func main() {
	licence := flag.String("licence", "LICENSE", "text to begin the file with")
	from := flag.String("from", "/usr/share/wordnet", "folder of data.noun and its kin")
	to := flag.String("to", "words.gz", "file to write")
	flag.Parse()
	if err := pack(*from, *licence, *to); err != nil {
		log.Fatal(err)
	}
}

func pack(from, licence, to string) error {
	terms, err := os.ReadFile(licence)
	if err != nil {
		return err
	}
	var sections []string
	for _, part := range []string{"noun", "verb", "adj", "adv"} {
		synsets, err := read(filepath.Join(from, "data."+part), synset)
		if err != nil {
			return err
		}
		exceptions, err := read(filepath.Join(from, part+".exc"), exception)
		if err != nil {
			return err
		}
		sections = append(sections, strings.Join(append(synsets, exceptions...), "\n"))
	}
	file, err := os.Create(to)
	if err != nil {
		return err
	}
	defer file.Close()
	out, err := gzip.NewWriterLevel(file, gzip.BestCompression)
	if err != nil {
		return err
	}
	head := "# " + strings.ReplaceAll(strings.TrimSpace(string(terms)), "\n", "\n# ")
	if _, err := out.Write([]byte(strings.Join(append([]string{head}, sections...), "\n\n"))); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return file.Close()
}

// read returns the different lines that keep makes of a file's, sorted: neighbours alike compress well.
func read(path string, keep func(line string) (string, error)) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var out []string
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		text, err := keep(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		if text != "" {
			out = append(out, text)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), lines.Err()
}

// synset keeps the lemmas of one word; it is empty when none of them is lower case.
func synset(line string) (string, error) {
	if strings.HasPrefix(line, "  ") { // the licence
		return "", nil
	}
	fields := strings.Fields(line) // offset, file, type, word count in hex, then word and lex_id by turns
	if len(fields) < 4 {
		return "", fmt.Errorf("not a synset: %q", line)
	}
	count, err := strconv.ParseUint(fields[3], 16, 16)
	if err != nil || len(fields) < 4+2*int(count) {
		return "", fmt.Errorf("not a synset: %q", line)
	}
	var words []string
	lower := false
	for i := range int(count) {
		word, _, _ := strings.Cut(fields[4+2*i], "(") // an adjective's syntactic marker
		if strings.Contains(word, "_") {
			continue
		}
		words, lower = append(words, word), lower || word == strings.ToLower(word)
	}
	if !lower {
		return "", nil
	}
	slices.Sort(words)
	return strings.Join(slices.Compact(words), " "), nil
}

func exception(line string) (string, error) {
	words := strings.Fields(line)
	if len(words) < 2 || strings.Contains(words[0], "_") {
		return "", nil
	}
	return ">" + strings.Join(words, " "), nil
}
