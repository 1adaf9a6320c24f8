package llama

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"llamaxr/inference/gguf"
)

// Kinds of tokens in a GGUF vocabulary (llama.h, enum llama_token_type).
const (
	kindUnknown     = 2
	kindControl     = 3
	kindUserDefined = 4
)

// tokenizerFromGGUF writes the tokenizer inside a GGUF file as tokenizer.json, so that there is one way to read a vocabulary.
func tokenizerFromGGUF(file *gguf.File) ([]byte, error) {
	kind, err := file.Text("tokenizer.ggml.model")
	if err != nil {
		return nil, err
	}
	tokens, err := file.Texts("tokenizer.ggml.tokens")
	if err != nil {
		return nil, err
	}
	out := &tokenizerJSON{Version: "1.0"}
	out.Model.Type = "BPE"
	out.Model.Vocab = make(map[string]int, len(tokens))
	for id, token := range tokens {
		if other, there := out.Model.Vocab[token]; there {
			return nil, fmt.Errorf("gguf: tokenizer.ggml.tokens: %d and %d are both %q", other, id, token)
		}
		out.Model.Vocab[token] = id
	}
	bos := false
	switch kind {
	case "gpt2":
		bos, err = byteLevelFromGGUF(file, out)
	case "llama":
		bos, err = true, sentenceFromGGUF(file, out)
	default:
		err = fmt.Errorf("gguf: tokenizer.ggml.model %q is not known", kind)
	}
	if err != nil {
		return nil, err
	}
	if err := addedFromGGUF(file, out, tokens); err != nil {
		return nil, err
	}
	if file.Has("tokenizer.ggml.add_bos_token") {
		if bos, err = file.Bool("tokenizer.ggml.add_bos_token"); err != nil {
			return nil, err
		}
	}
	if bos {
		id, err := file.Int("tokenizer.ggml.bos_token_id")
		if err != nil {
			return nil, err
		}
		if id < 0 || id >= len(tokens) {
			return nil, fmt.Errorf("gguf: tokenizer.ggml.bos_token_id is %d of %d tokens", id, len(tokens))
		}
		out.PostProcessor = beginWith(tokens[id], id)
	} else {
		no, yes := false, true
		out.PostProcessor = &step{Type: "ByteLevel", AddPrefixSpace: &yes, TrimOffsets: &no, UseRegex: &yes}
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("llama: tokenizer.json: %w", err)
	}
	return text, nil
}

func byteLevelFromGGUF(file *gguf.File, out *tokenizerJSON) (bos bool, err error) {
	pre, err := file.Text("tokenizer.ggml.pre")
	if err != nil {
		return false, err
	}
	no, yes := false, true
	level := step{Type: "ByteLevel", AddPrefixSpace: &no, TrimOffsets: &yes, UseRegex: &yes}
	steps := []step{level}
	switch pre {
	case "llama-bpe", "llama3", "llama-v3":
		level.UseRegex = &no
		steps = []step{{Type: "Split", Pattern: &pattern{Regex: llama3Pattern}, Behavior: "Isolated", Invert: &no}, level}
		bos, out.Model.IgnoreMerges = true, true
	case "smollm":
		steps = []step{{Type: "Digits", Individual: &yes}, level}
	case "gpt-2":
	default:
		return false, fmt.Errorf("gguf: tokenizer.ggml.pre %q is not known", pre)
	}
	out.PreTokenizer = &step{Type: "Sequence", PreTokenizers: steps}
	out.Decoder = &level
	merges, err := file.Texts("tokenizer.ggml.merges")
	if err != nil {
		return false, err
	}
	for i, merge := range merges {
		a, b, ok := strings.Cut(merge, " ")
		if !ok {
			return false, fmt.Errorf("gguf: tokenizer.ggml.merges: %d, %q, is no pair", i, merge)
		}
		out.Model.Merges = append(out.Model.Merges, mergePair{a, b})
	}
	return bos, nil
}

// sentenceFromGGUF makes merges of SentencePiece's scores as Hugging Face's converter does: every way to put a token together from
// two others, the best score first.
func sentenceFromGGUF(file *gguf.File, out *tokenizerJSON) error {
	tokens, err := file.Texts("tokenizer.ggml.tokens")
	if err != nil {
		return err
	}
	scores, err := file.Floats("tokenizer.ggml.scores")
	if err != nil {
		return err
	}
	if len(scores) != len(tokens) {
		return fmt.Errorf("gguf: tokenizer.ggml.scores has %d entries for %d tokens", len(scores), len(tokens))
	}
	type merge struct {
		pair  mergePair
		score float64
	}
	var merges []merge
	for id, token := range tokens {
		from := len(merges)
		for at := range token {
			a, b := token[:at], token[at:]
			_, left := out.Model.Vocab[a]
			_, right := out.Model.Vocab[b]
			if left && right {
				merges = append(merges, merge{mergePair{a, b}, scores[id]})
			}
		}
		if len(merges) > maxMerges || len(token) > utf8.UTFMax*maxTokenLength {
			return errors.New("gguf: tokenizer.ggml.tokens: too many ways to put tokens together")
		}
		slices.SortStableFunc(merges[from:], func(a, b merge) int {
			v := out.Model.Vocab
			if d := v[a.pair[0]] - v[b.pair[0]]; d != 0 {
				return d
			}
			return v[a.pair[1]] - v[b.pair[1]]
		})
	}
	slices.SortStableFunc(merges, func(a, b merge) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return 0
	})
	for _, m := range merges {
		out.Model.Merges = append(out.Model.Merges, m.pair)
	}
	out.Model.ByteFallback = true
	prefix := true
	if file.Has("tokenizer.ggml.add_space_prefix") {
		if prefix, err = file.Bool("tokenizer.ggml.add_space_prefix"); err != nil {
			return err
		}
	}
	replace := step{Type: "Replace", Pattern: &pattern{String: " "}, Content: mark}
	out.Normalizer = &step{Type: "Sequence", Normalizers: []step{replace}}
	decode := []step{{Type: "Replace", Pattern: &pattern{String: mark}, Content: " "}, {Type: "ByteFallback"}, {Type: "Fuse"}}
	if prefix {
		out.Normalizer.Normalizers = []step{{Type: "Prepend", Prepend: mark}, replace}
		one, none := 1, 0
		decode = append(decode, step{Type: "Strip", Content: " ", Start: &one, Stop: &none})
	}
	out.Decoder = &step{Type: "Sequence", Decoders: decode}
	return nil
}

// maxTokenLength bounds the characters of a token whose splits are tried; SentencePiece's own bound is 16.
const maxTokenLength = 1 << 10

func addedFromGGUF(file *gguf.File, out *tokenizerJSON, tokens []string) error {
	kinds, err := file.Ints("tokenizer.ggml.token_type")
	if err != nil {
		return err
	}
	if len(kinds) != len(tokens) {
		return fmt.Errorf("gguf: tokenizer.ggml.token_type has %d entries for %d tokens", len(kinds), len(tokens))
	}
	for id, kind := range kinds {
		if kind == kindUnknown || kind == kindControl || kind == kindUserDefined {
			out.AddedTokens = append(out.AddedTokens, addedToken{ID: id, Content: tokens[id], Special: kind != kindUserDefined})
		}
	}
	return nil
}

// beginWith is the post-processor that puts one token before a prompt.
func beginWith(token string, id int) *step {
	bos := templatePart{SpecialToken: &templateToken{ID: token}}
	a, b := templatePart{Sequence: &templateToken{ID: "A"}}, templatePart{Sequence: &templateToken{ID: "B", TypeID: 1}}
	return &step{
		Type: "TemplateProcessing", Single: []templatePart{bos, a}, Pair: []templatePart{bos, a, bos, b},
		Special: map[string]any{token: map[string]any{"id": token, "ids": []int{id}, "tokens": []string{token}}},
	}
}
