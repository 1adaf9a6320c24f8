package llama

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// TrainTokenizer learns byte-level BPE from a corpus and returns tokenizer.json. Each added token is one token whatever it
// contains. The same corpus gives the same bytes.
func TrainTokenizer(corpus []string, added []string, merges int) ([]byte, error) {
	type word struct {
		parts []string
		count int
	}
	counts := map[string]int{}
	for _, text := range corpus {
		for _, piece := range cut(text, scorePiece) {
			counts[piece]++
		}
	}
	var words []word
	for _, piece := range slices.Sorted(maps.Keys(counts)) {
		w := word{count: counts[piece]}
		for i := range len(piece) {
			w.parts = append(w.parts, string(byteRune(piece[i])))
		}
		words = append(words, w)
	}
	var file tokenizerJSON
	file.Version = "1.0"
	file.Model.Type = "BPE"
	file.Model.Vocab = map[string]int{}
	for b := range 256 {
		file.Model.Vocab[string(byteRune(byte(b)))] = b
	}
	for range merges {
		pairs := map[[2]string]int{}
		for _, w := range words {
			for i := range len(w.parts) - 1 {
				pairs[[2]string{w.parts[i], w.parts[i+1]}] += w.count
			}
		}
		var best [2]string
		top := 0
		for pair, n := range pairs {
			if n > top || n == top && (pair[0]+"\x00"+pair[1] < best[0]+"\x00"+best[1]) {
				best, top = pair, n
			}
		}
		if top == 0 {
			break
		}
		file.Model.Merges = append(file.Model.Merges, best)
		merged := best[0] + best[1]
		if _, ok := file.Model.Vocab[merged]; !ok {
			file.Model.Vocab[merged] = len(file.Model.Vocab)
		}
		for k := range words {
			parts := words[k].parts
			for i := 0; i < len(parts)-1; i++ {
				if parts[i] == best[0] && parts[i+1] == best[1] {
					parts[i] = merged
					parts = append(parts[:i+1], parts[i+2:]...)
				}
			}
			words[k].parts = parts
		}
	}
	for _, content := range append([]string{TokenBOS, TokenEOS}, added...) {
		file.AddedTokens = append(file.AddedTokens, addedToken{
			ID: len(file.Model.Vocab) + len(file.AddedTokens), Content: content, Special: content == TokenBOS || content == TokenEOS,
		})
	}
	no, yes := false, true
	file.PreTokenizer = &step{Type: "Sequence", PreTokenizers: []step{
		{Type: "Split", Pattern: &pattern{Regex: scorePattern}, Behavior: "Isolated", Invert: &no},
		{Type: "ByteLevel", AddPrefixSpace: &no, TrimOffsets: &yes, UseRegex: &no},
	}}
	file.Decoder = &step{Type: "ByteLevel", AddPrefixSpace: &yes, TrimOffsets: &yes, UseRegex: &yes}
	text, err := json.Marshal(file)
	if err != nil {
		return nil, fmt.Errorf("llama: tokenizer.json: %w", err)
	}
	return text, nil
}
