package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// tools is the module file that pins what makes packages.
const tools = "-modfile=packaging/tools/go.mod"

// bill writes the software bill of materials, CycloneDX 1.6, from what the linked program says it is made of, with the data inside it added: the
// starter models and WordNet's words, which no Go tool can know.
func (r *release) bill(ctx context.Context, arch, program string) error {
	found, err := output(r.command(ctx, nil, "go", "tool", tools, "cyclonedx-gomod", "bin", "-json", "-licenses", "-std", "-noserial", "-notimestamp",
		"-version", "v"+r.version, filepath.Join(r.tree(arch), "usr/bin/llamaxr")))
	if err != nil {
		return err
	}
	var bill map[string]any
	if err := json.Unmarshal(found, &bill); err != nil {
		return fmt.Errorf("SBOM: %w", err)
	}
	// The digests of the tool are those of a file that was compiled here and is kept nowhere.
	if metadata, ok := bill["metadata"].(map[string]any); ok {
		if used, ok := metadata["tools"].([]any); ok {
			for _, tool := range used {
				if fields, ok := tool.(map[string]any); ok {
					delete(fields, "hashes")
				}
			}
		}
	}
	data, err := r.dataInside(ctx, program)
	if err != nil {
		return err
	}
	components, _ := bill["components"].([]any)
	bill["components"] = append(components, data...)
	text, err := json.MarshalIndent(bill, "", " ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if err := write(filepath.Join(r.tree(arch), documents, "sbom.cdx.json"), text); err != nil {
		return err
	}
	name := fmt.Sprintf("llamaxr-%s-linux-%s.cdx.json", r.version, arch)
	r.made = append(r.made, name)
	return os.WriteFile(filepath.Join(r.out, name), text, 0o644)
}

// dataInside are components for what is embedded and is no program.
func (r *release) dataInside(ctx context.Context, program string) ([]any, error) {
	out, err := output(r.command(ctx, nil, program, "version", "--json"))
	if err != nil {
		return nil, err
	}
	var says struct {
		Starter struct {
			Name, Version, Source string
			Files                 map[string]string
		}
	}
	if err := json.Unmarshal(out, &says); err != nil {
		return nil, fmt.Errorf("version --json: %w", err)
	}
	files := make([]string, 0, len(says.Starter.Files))
	for name := range says.Starter.Files {
		files = append(files, name)
	}
	slices.Sort(files)
	var parts []any
	for _, name := range files {
		parts = append(parts, map[string]any{
			"type": "file", "name": name, "hashes": []any{map[string]any{"alg": "SHA-256", "content": says.Starter.Files[name]}},
		})
	}
	return []any{
		map[string]any{
			"type": "machine-learning-model", "bom-ref": "starter-models", "name": says.Starter.Name, "version": says.Starter.Version,
			"description": says.Starter.Source, "components": parts,
		},
		map[string]any{
			"type": "data", "bom-ref": "wordnet", "name": "WordNet", "version": "3.0", "description": "the words of its synsets",
			"licenses": []any{map[string]any{"license": map[string]any{"name": "WordNet 3.0 License"}}},
		},
	}, nil
}
