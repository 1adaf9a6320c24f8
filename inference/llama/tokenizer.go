package llama

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
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
	added  []string // longest first
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
		Type   string         `json:"type"`
		Vocab  map[string]int `json:"vocab"`
		Merges [][2]string    `json:"merges"`
	} `json:"model"`
}

type addedToken struct {
	ID      int    `json:"id"`
	Content string `json:"content"`
	Special bool   `json:"special"`
}

// piecePattern is the Split pattern of our own tokenizer.json: a score keeps its first decimal, digits stand alone, a word or
// punctuation takes the space before it. cut follows it by hand.
const piecePattern = ` ?[01]\.[0-9]| ?\p{L}+| ?[^\s\p{L}\p{N}]+|[0-9]|\s+`

// ParseTokenizer reads tokenizer.json. Only byte-level BPE with our own pattern is known here.
func ParseTokenizer(data []byte) (*Tokenizer, error) {
	var file tokenizerJSON
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("llama: tokenizer.json: %w", err)
	}
	if file.Model.Type != "BPE" {
		return nil, fmt.Errorf("llama: tokenizer.json: model type %q, want BPE", file.Model.Type)
	}
	if pre, _ := json.Marshal(file.PreTokenizer); !strings.Contains(string(pre), mustJSON(piecePattern)) {
		return nil, errors.New("llama: tokenizer.json: pre_tokenizer is not the pattern this build knows")
	}
	if len(file.Model.Vocab) > maxTokens || len(file.Model.Merges) > maxMerges {
		return nil, fmt.Errorf("llama: tokenizer.json: %d tokens and %d merges are too many", len(file.Model.Vocab), len(file.Model.Merges))
	}
	t := &Tokenizer{ids: map[string]int{}, rank: map[[2]string]int{}}
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
	}
	for i, m := range file.Model.Merges {
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
		for _, piece := range cut(text[:at]) {
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
	parts := make([]string, 0, len(piece))
	for i := range len(piece) {
		parts = append(parts, string(byteRune(piece[i])))
	}
	for len(parts) > 1 {
		best, at := -1, 0
		for i := range len(parts) - 1 {
			if r, ok := t.rank[[2]string{parts[i], parts[i+1]}]; ok && (best < 0 || r < best) {
				best, at = r, i
			}
		}
		if best < 0 {
			break
		}
		parts[at] += parts[at+1]
		parts = append(parts[:at+1], parts[at+2:]...)
	}
	for _, p := range parts {
		out = append(out, t.ids[p])
	}
	return out
}

// Decode returns the text of ids; special tokens give nothing.
func (t *Tokenizer) Decode(ids []int) string {
	var bytes []byte
	for _, id := range ids {
		if id < 0 || id >= len(t.tokens) || id == t.BOS || id == t.EOS {
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
	return strings.ToValidUTF8(string(bytes), string(utf8.RuneError))
}

func (t *Tokenizer) isAdded(token string) bool {
	for _, a := range t.added {
		if a == token {
			return true
		}
	}
	return false
}

// cut splits text as piecePattern does: the first alternative that matches at each place.
func cut(text string) []string {
	var out []string
	for text != "" {
		n := pieceLength(text)
		out = append(out, text[:n])
		text = text[n:]
	}
	return out
}

func pieceLength(text string) int {
	body, space := text, 0
	if text[0] == ' ' {
		body, space = text[1:], 1
	}
	if len(body) >= 3 && (body[0] == '0' || body[0] == '1') && body[1] == '.' && isDigit(body[2]) {
		return space + 3
	}
	if n := run(body, unicode.IsLetter); n > 0 {
		return space + n
	}
	if n := run(body, func(r rune) bool { return !unicode.IsSpace(r) && !unicode.IsLetter(r) && !unicode.IsNumber(r) }); n > 0 {
		return space + n
	}
	if isDigit(text[0]) {
		return 1
	}
	if n := run(text, unicode.IsSpace); n > 0 {
		return n
	}
	_, n := utf8.DecodeRuneInString(text) // a number that is no ASCII digit stands alone
	return n
}

func run(text string, in func(rune) bool) int {
	for i, r := range text {
		if !in(r) || r == utf8.RuneError {
			if r == utf8.RuneError && i == 0 {
				return 0
			}
			return i
		}
	}
	return len(text)
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

// byteRune is GPT-2's alphabet: every byte as a visible character.
func byteRune(b byte) rune {
	if b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae {
		return rune(b)
	}
	n := 0
	for c := range int(b) {
		if !(c >= '!' && c <= '~' || c >= 0xa1 && c <= 0xac || c >= 0xae) {
			n++
		}
	}
	return rune(256 + n)
}

func runeByte(r rune) (byte, bool) {
	for b := range 256 {
		if byteRune(byte(b)) == r {
			return byte(b), true
		}
	}
	return 0, false
}

func mustJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // a string always encodes
	}
	return string(text)
}
