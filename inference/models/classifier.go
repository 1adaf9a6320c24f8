package models

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"llamaxr/inference/safetensors"
	"llamaxr/inference/torchfile"
	"llamaxr/inference/xrv"
	"llamaxr/study"
)

// Files of a classifier in the registry.
const (
	ClassifierWeights = "classifier.safetensors"
	ClassifierCard    = "classifier.json"
)

// maxClassifier bounds a classifier's file; the largest known one, ViT-B/16 in float32, has 350 MB.
const maxClassifier = 2 << 30

// torchSuffixes are what files of torch.save are called.
var torchSuffixes = []string{".pt", ".pth", ".bin", ".ckpt"}

// isClassifier reports whether a path is that of a classifier: one file of torch.save or of safetensors. Language models are folders or GGUF.
func isClassifier(path string) bool {
	info, err := os.Stat(path)
	suffix := strings.ToLower(filepath.Ext(path))
	return err == nil && info.Mode().IsRegular() && (suffix == ".safetensors" || slices.Contains(torchSuffixes, suffix))
}

// importClassifier takes the weights of a classifier into the registry: as safetensors, with a card that says what its outputs mean.
func (s *Store) importClassifier(ctx context.Context, what Import) (*Model, error) {
	base := filepath.Base(what.From)
	licence, err := acceptLicence(what, "")
	if err != nil {
		return nil, err
	}
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := checkSums(ctx, what.From, []string{base}, what.Progress); err != nil {
		return nil, err
	}
	weights, card, architecture, err := readClassifier(what)
	if err != nil {
		return nil, fmt.Errorf("models: %s: %w", base, err)
	}
	text, err := json.MarshalIndent(card, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("models: %w", err)
	}
	m := &Model{
		Name: what.Name, Kind: KindClassifier, Source: what.Origin, Licence: licence, Architecture: architecture, InputSize: card.Input.Size,
		Labels: card.Labels, Thresholds: card.Thresholds, Imported: what.Now.UTC(),
	}
	if m.Source.From == "" {
		m.Source.From = what.From
	}
	m.Source.Files = []string{base}
	return m, s.installSmall(m, map[string][]byte{ClassifierWeights: weights, ClassifierCard: append(text, '\n')})
}

// readClassifier reads the file and finds its card.
func readClassifier(what Import) (weights []byte, card *xrv.Card, architecture string, err error) {
	file, err := os.Open(what.From)
	if err != nil {
		return nil, nil, "", err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, "", err
	}
	if info.Size() > maxClassifier {
		return nil, nil, "", fmt.Errorf("%d bytes are more than any classifier has (%d)", info.Size(), maxClassifier)
	}
	var from xrv.Tensors
	var module *torchfile.File
	if strings.EqualFold(filepath.Ext(what.From), ".safetensors") {
		from, err = safetensors.Open(file, info.Size())
	} else {
		module, err = torchfile.Open(file, info.Size())
		from = module
	}
	if err != nil {
		return nil, nil, "", err
	}
	architecture, outputs, _, err := xrv.Describe(from)
	if err != nil {
		return nil, nil, "", err
	}
	if card, err = findCard(what, module, architecture, outputs); err != nil {
		return nil, nil, "", err
	}
	card.Name = what.Name
	if card.Architecture == "" {
		card.Architecture = architecture
	}
	tensors, err := xrv.Extract(from, card)
	if err != nil {
		return nil, nil, "", err
	}
	var out bytes.Buffer
	if _, err := (&safetensors.File{Tensors: tensors}).WriteTo(&out); err != nil {
		return nil, nil, "", err
	}
	return out.Bytes(), card, architecture, nil
}

// findCard finds out what a classifier's outputs mean: from the card that was given, else from the saved module itself, else from the table of
// released weights, by the name that was given, that the module bears, or that the file has.
func findCard(what Import, module *torchfile.File, architecture string, outputs int) (*xrv.Card, error) {
	if what.Card != "" {
		text, err := readSmall(what.Card, maxManifest)
		if err != nil {
			return nil, fmt.Errorf("card: %w", err)
		}
		return xrv.ParseCard(text)
	}
	names := []string{what.From}
	if module != nil {
		names = []string{module.Text("weights"), what.From}
	}
	if what.Released != "" {
		names = []string{what.Released}
	}
	var card *xrv.Card
	var err error
	for _, name := range names {
		if card, err = xrv.ReleasedCard(name); err == nil {
			break
		}
	}
	if err != nil && what.Released != "" {
		return nil, err
	}
	own, ownErr := ownCard(module, outputs)
	switch {
	case ownErr != nil:
		return nil, ownErr
	case own != nil && card != nil && own.Thresholds == nil:
		own.Thresholds, own.Input = card.Thresholds, card.Input
		if !slices.Equal(own.Labels, card.Labels) {
			return nil, fmt.Errorf("its labels are not those of %s: %q", card.Name, own.Labels)
		}
		return own, nil
	case own != nil && own.Thresholds != nil:
		return own, nil
	case card != nil:
		return card, nil
	}
	return nil, fmt.Errorf("a %s whose file does not say what its %d outputs mean: name the released weights with --weights (%s), or give labels and "+
		"operating points with --card FILE", architecture, outputs, strings.Join(xrv.Released(), ", "))
}

// ownCard is what a saved module says of its outputs: its labels, and its operating points where it has them. It is nil for one that says nothing.
func ownCard(module *torchfile.File, outputs int) (*xrv.Card, error) {
	if module == nil {
		return nil, nil
	}
	labels := module.Texts("pathologies")
	if labels == nil {
		labels = module.Texts("targets")
	}
	if labels == nil {
		return nil, nil
	}
	card := &xrv.Card{Labels: labels, Input: xrv.Radiograph(study.InputSize)}
	if size, ok := module.Number("input_resolution"); ok {
		card.Input.Size = int(size)
	}
	if _, ok := module.Shapes()["op_threshs"]; !ok {
		return card, nil
	}
	t, err := module.Tensor("op_threshs")
	if err != nil {
		return nil, err
	}
	values, err := t.Floats()
	if err != nil {
		return nil, err
	}
	if len(values) != len(labels) || len(values) != outputs {
		return nil, errors.New("op_threshs, pathologies and the classifier do not have the same length")
	}
	card.Thresholds = []*float64{}
	for _, v := range values {
		if wide := float64(v); math.IsNaN(wide) {
			card.Thresholds = append(card.Thresholds, nil)
		} else {
			card.Thresholds = append(card.Thresholds, &wide)
		}
	}
	return card, nil
}
