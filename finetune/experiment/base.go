package experiment

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"llamaxr/inference/llama"

	"github.com/google/renameio/v2"
)

// PackBase writes a language model as the appliance keeps it, its linear layers in NF4, and returns its folder. What is there stays.
func PackBase(from, folder string) (string, error) {
	if _, err := os.Stat(filepath.Join(folder, llama.WeightsFile)); err == nil {
		return folder, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("experiment: %w", err)
	}
	source, err := llama.OpenSource(from)
	if err != nil {
		return "", err
	}
	defer source.Close()
	packing, err := source.Pack(llama.NF4)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", fmt.Errorf("experiment: %w", err)
	}
	config, err := json.MarshalIndent(source.Config, "", "  ")
	if err != nil {
		return "", fmt.Errorf("experiment: %w", err)
	}
	for name, data := range map[string][]byte{llama.ConfigFile: config, llama.TokenizerFile: source.Tokenizer} {
		if err := renameio.WriteFile(filepath.Join(folder, name), data, 0o644); err != nil {
			return "", fmt.Errorf("experiment: %w", err)
		}
	}
	weights, err := renameio.NewPendingFile(filepath.Join(folder, llama.WeightsFile), renameio.WithPermissions(0o644))
	if err != nil {
		return "", fmt.Errorf("experiment: %w", err)
	}
	defer weights.Cleanup()
	for step := range packing.Steps() {
		if err := packing.Write(step, weights); err != nil {
			return "", err
		}
	}
	if err := weights.CloseAtomicallyReplace(); err != nil {
		return "", fmt.Errorf("experiment: %w", err)
	}
	return folder, nil
}
