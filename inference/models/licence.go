package models

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// cardFile is a Hugging Face model card.
const cardFile = "README.md"

// maxLicence bounds a licence's text and a model card.
const maxLicence = 1 << 20

// ErrLicence is returned when a model's licence was not accepted by its name.
var ErrLicence = errors.New("the licence is not accepted")

// acceptLicence finds a model's licence, which its files may name, and holds it to what was accepted.
func acceptLicence(what Import, named string) (Licence, error) {
	folder := folderOf(what.From)
	if named == "" {
		named = licenceInCard(filepath.Join(folder, cardFile))
	}
	text, err := licenceText(what.LicenceFile, folder)
	if err != nil {
		return Licence{}, err
	}
	switch {
	case what.AcceptLicence == "" && named == "":
		return Licence{}, fmt.Errorf("models: %w: the files name none; read the licence where the model came from and pass its name with --accept-licence", ErrLicence)
	case what.AcceptLicence == "":
		return Licence{}, fmt.Errorf("models: %w: it is %q; read it, and pass --accept-licence %q", ErrLicence, named, named)
	case named != "" && !strings.EqualFold(named, what.AcceptLicence):
		return Licence{}, fmt.Errorf("models: %w: it is %q, --accept-licence says %q", ErrLicence, named, what.AcceptLicence)
	}
	return Licence{Name: what.AcceptLicence, Text: text, Accepted: what.Now.UTC()}, nil
}

// licenceInCard reads "license: NAME" from the head of a Hugging Face model card.
func licenceInCard(path string) string {
	data, err := readFound(path, maxLicence)
	if err != nil {
		return ""
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 0; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if n == 0 && line != "---" || n > 0 && line == "---" {
			return ""
		}
		if name, ok := strings.CutPrefix(line, "license:"); ok {
			return strings.Trim(strings.TrimSpace(name), `"'`)
		}
	}
	return ""
}

// licenceText reads the text of the licence: the file given, else the one beside the model.
func licenceText(given, folder string) (string, error) {
	if given != "" {
		data, err := readSmall(given, maxLicence)
		if err != nil {
			return "", fmt.Errorf("models: licence: %w", err)
		}
		return string(data), nil
	}
	for _, name := range []string{"LICENSE", "LICENSE.txt", "LICENSE.md", "COPYING"} {
		data, err := readFound(filepath.Join(folder, name), maxLicence)
		if err == nil {
			return string(data), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("models: %s: %w", name, err)
		}
	}
	return "", nil
}

// SumsFile is what sha256sum wrote of a model's files, checked on import where it is there.
const SumsFile = "SHA256SUMS"

// checkSums holds a source's files to SHA256SUMS beside them.
func checkSums(ctx context.Context, from string, files []string, progress func(Progress)) error {
	folder := folderOf(from)
	text, err := readFound(filepath.Join(folder, SumsFile), maxLicence)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("models: %s: %w", SumsFile, err)
	}
	want := map[string]string{}
	total := int64(0)
	for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		sum, name, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			return fmt.Errorf("models: %s: line %d is no sum and name", SumsFile, i+1)
		}
		name = strings.TrimPrefix(strings.TrimLeft(name, " *"), "./")
		if slices.Contains(files, name) {
			want[name] = strings.ToLower(sum)
		}
	}
	for _, name := range files {
		info, err := os.Stat(filepath.Join(folder, name))
		if err != nil {
			continue // one that may be missing, or is told below
		}
		if want[name] == "" {
			return fmt.Errorf("models: %s does not list %s: make it in this folder with sha256sum *, or take it away", SumsFile, name)
		}
		total += info.Size()
	}
	meter := newMeter(progress, total)
	for name, sum := range want {
		got, _, err := hashFile(ctx, filepath.Join(folder, name), meter.of("checking "+name))
		if err != nil {
			return fmt.Errorf("models: %s: %w", name, err)
		}
		if got != sum {
			return fmt.Errorf("models: %s has SHA-256 %s, %s says %s: it was damaged on its way", name, got, SumsFile, sum)
		}
	}
	return nil
}
