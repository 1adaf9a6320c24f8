package llama

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of a tokenizer.json that is believed: Llama 3's has 128,256 tokens.
const (
	maxTokens = 1 << 18
	maxMerges = 1 << 20
)

// Tokenizer is byte-level BPE (Sennrich et al. 2016) as tokenizer.json describes it: added tokens are matched whole, the text
// between is cut into pieces, each piece's bytes are merged pair by pair in the order of the merges.
type Tokenizer struct {
	ids    map[string]int
	tokens []string // by id, in the byte alphabet
	rank   map[[2]string]int
	added  []string     // matched whole before any cutting
	hidden map[int]bool // special tokens, which decode to nothing
	piece  func(string) int
	whole  bool // a piece that is a token is taken whole, whatever the merges say
	BOS    int
	EOS    int
}

// Names of the special tokens.
const (
	TokenBOS = "<|begin_of_text|>"
	TokenEOS = "<|end_of_text|>"
)

type tokenizerJSON struct {
	Version      string       `json:"version"`
	AddedTokens  []addedToken `json:"added_tokens"`
	PreTokenizer any          `json:"pre_tokenizer"`
	Decoder      any          `json:"decoder"`
	Model        struct {
		Type         string         `json:"type"`
		IgnoreMerges bool           `json:"ignore_merges"`
		Vocab        map[string]int `json:"vocab"`
		Merges       []mergePair    `json:"merges"`
	} `json:"model"`
}

// mergePair is written as ["a", "b"], and by tokenizers before 0.20 as "a b".
type mergePair [2]string

// UnmarshalJSON reads both forms.
func (m *mergePair) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		var parts []string
		if err := json.Unmarshal(data, &parts); err != nil || len(parts) != 2 {
			return fmt.Errorf("merge %s is no pair (%w)", data, err)
		}
		*m = mergePair(parts)
		return nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	a, b, ok := strings.Cut(text, " ")
	if !ok {
		return fmt.Errorf("merge %q is no pair", text)
	}
	*m = mergePair{a, b}
	return nil
}

// addedToken has all fields that Hugging Face's reader asks for.
type addedToken struct {
	ID         int    `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

// ParseTokenizer reads tokenizer.json: byte-level BPE with our own pattern or Llama 3's.
func ParseTokenizer(data []byte) (*Tokenizer, error) {
	var file tokenizerJSON
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("llama: tokenizer.json: %w", err)
	}
	if file.Model.Type != "BPE" {
		return nil, fmt.Errorf("llama: tokenizer.json: model type %q, want BPE", file.Model.Type)
	}
	if len(file.Model.Vocab) > maxTokens || len(file.Model.Merges) > maxMerges {
		return nil, fmt.Errorf("llama: tokenizer.json: %d tokens and %d merges are too many", len(file.Model.Vocab), len(file.Model.Merges))
	}
	t := &Tokenizer{ids: map[string]int{}, rank: map[[2]string]int{}, hidden: map[int]bool{}, whole: file.Model.IgnoreMerges}
	pre, err := json.Marshal(file.PreTokenizer)
	if err != nil {
		return nil, fmt.Errorf("llama: tokenizer.json: pre_tokenizer: %w", err)
	}
	for pattern, piece := range pieceLengths {
		if strings.Contains(string(pre), mustJSON(pattern)) {
			t.piece = piece
		}
	}
	if t.piece == nil {
		return nil, errors.New("llama: tokenizer.json: pre_tokenizer has a pattern that this build does not know")
	}
	size := len(file.Model.Vocab) + len(file.AddedTokens)
	t.tokens = make([]string, size)
	put := func(token string, id int) error {
		if id < 0 || id >= size || t.tokens[id] != "" {
			return fmt.Errorf("llama: tokenizer.json: token %q has id %d, taken or outside 0 to %d", token, id, size-1)
		}
		t.tokens[id], t.ids[token] = token, id
		return nil
	}
	for token, id := range file.Model.Vocab {
		if err := put(token, id); err != nil {
			return nil, err
		}
	}
	for _, a := range file.AddedTokens {
		if a.Content == "" {
			return nil, errors.New("llama: tokenizer.json: an added token is empty")
		}
		if err := put(a.Content, a.ID); err != nil {
			return nil, err
		}
		t.added = append(t.added, a.Content)
		t.hidden[a.ID] = a.Special
	}
	for i, m := range file.Model.Merges {
		if _, ok := t.ids[m[0]+m[1]]; !ok {
			return nil, fmt.Errorf("llama: tokenizer.json: merge %q gives no token", m)
		}
		t.rank[m] = i
	}
	for b := range 256 {
		if _, ok := t.ids[string(byteRune(byte(b)))]; !ok {
			return nil, fmt.Errorf("llama: tokenizer.json: byte %d has no token", b)
		}
	}
	var ok bool
	if t.BOS, ok = t.ids[TokenBOS]; !ok {
		return nil, fmt.Errorf("llama: tokenizer.json: no %s", TokenBOS)
	}
	if t.EOS, ok = t.ids[TokenEOS]; !ok {
		return nil, fmt.Errorf("llama: tokenizer.json: no %s", TokenEOS)
	}
	return t, nil
}

// Size is the number of tokens.
func (t *Tokenizer) Size() int { return len(t.tokens) }

// Encode returns the ids of text, without BOS.
func (t *Tokenizer) Encode(text string) []int {
	var out []int
	for text != "" {
		at, token := t.nextAdded(text)
		for _, piece := range cut(text[:at], t.piece) {
			out = t.merge(piece, out)
		}
		if token != "" {
			out = append(out, t.ids[token])
		}
		text = text[at+len(token):]
	}
	return out
}

// nextAdded finds the first added token in text, the longest at its place; at is the end of text when there is none.
func (t *Tokenizer) nextAdded(text string) (at int, token string) {
	at = len(text)
	for _, a := range t.added {
		if i := strings.Index(text[:min(len(text), at+len(a))], a); i >= 0 && (i < at || i == at && len(a) > len(token)) {
			at, token = i, a
		}
	}
	return at, token
}

func (t *Tokenizer) merge(piece string, out []int) []int {
	if t.whole {
		runes := make([]rune, len(piece))
		for i := range len(piece) {
			runes[i] = byteRune(piece[i])
		}
		if id, ok := t.ids[string(runes)]; ok {
			return append(out, id)
		}
	}
	parts := make([]string, len(piece))
	for i := range len(piece) {
		parts[i] = string(byteRune(piece[i]))
	}
	// ranks[i] is the rank of merging parts i and i+1: kept, so that a long piece costs comparisons and not look-ups.
	ranks := make([]int, max(len(parts)-1, 0))
	rankAt := func(i int) {
		if i >= 0 && i < len(ranks) {
			ranks[i] = unranked
			if r, ok := t.rank[[2]string{parts[i], parts[i+1]}]; ok {
				ranks[i] = r
			}
		}
	}
	for i := range ranks {
		rankAt(i)
	}
	for len(parts) > 1 {
		at := 0
		for i, r := range ranks {
			if r < ranks[at] {
				at = i
			}
		}
		if ranks[at] == unranked {
			break
		}
		parts[at] += parts[at+1]
		parts, ranks = slices.Delete(parts, at+1, at+2), slices.Delete(ranks, at, at+1)
		rankAt(at - 1)
		rankAt(at)
	}
	for _, p := range parts {
		out = append(out, t.ids[p])
	}
	return out
}

// unranked is above the rank of every merge.
const unranked = maxMerges

// Decode returns the text of ids; special tokens give nothing.
func (t *Tokenizer) Decode(ids []int) string {
	var bytes []byte
	for _, id := range ids {
		if id < 0 || id >= len(t.tokens) || t.hidden[id] {
			continue
		}
		token := t.tokens[id]
		if t.isAdded(token) {
			bytes = append(bytes, token...)
			continue
		}
		for _, r := range token {
			if b, ok := runeByte(r); ok {
				bytes = append(bytes, b)
			}
		}
	}
	return valid(string(bytes))
}

// valid replaces what is not UTF-8, as Rust's from_utf8_lossy does in Hugging Face's decoder.
func valid(text string) string { return strings.ToValidUTF8(text, string(utf8.RuneError)) }

func (t *Tokenizer) isAdded(token string) bool {
	for _, a := range t.added {
		if a == token {
			return true
		}
	}
	return false
}

// alphabet is GPT-2's: every byte as a visible character; bytesOf is its inverse.
var alphabet, bytesOf = func() (runes [256]rune, inverse map[rune]byte) {
	inverse = map[rune]byte{}
	hidden := 0
	for b := range 256 {
		runes[b] = rune(b)
		if !(b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae) {
			runes[b] = rune(256 + hidden)
			hidden++
		}
		inverse[runes[b]] = byte(b)
	}
	return runes, inverse
}()

func byteRune(b byte) rune { return alphabet[b] }

func runeByte(r rune) (byte, bool) {
	b, ok := bytesOf[r]
	return b, ok
}

func mustJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // a string always encodes
	}
	return string(text)
}
