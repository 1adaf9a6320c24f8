package llama

import (
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

// Tokenizer is BPE (Sennrich et al. 2016) as tokenizer.json describes it, in one of two alphabets. In both, added tokens are matched
// whole before anything else. Byte-level (GPT-2, Llama 3, SmolLM2): the text between is cut into pieces, each piece's bytes are merged
// pair by pair in the order of the merges. Sentence (SentencePiece, Llama 2): spaces become a mark, the characters of the whole text
// are merged, and a character that is no token falls back to its bytes.
type Tokenizer struct {
	ids    map[string]int
	tokens []string // by id, in the alphabet
	rank   map[[2]string]int
	added  []string                // matched whole before any cutting
	hidden map[int]bool            // special tokens, which decode to nothing
	pieces []func(text string) int // how to cut, one after the other
	whole  bool                    // a piece that is a token is taken whole, whatever the merges say

	sentence bool
	prefix   prefixing

	// BOS and EOS are -1 where tokenizer.json does not tell them by a name that is known; a model's config.json does.
	BOS, EOS int
	// AddBOS says that a prompt begins with BOS.
	AddBOS bool
}

// prefixing says where a sentence tokenizer puts a mark of its own before text.
type prefixing int

const (
	prefixNever prefixing = iota
	prefixFirst           // at the text's beginning
	prefixEach            // also after each added token
)

// mark is what stands for a space in a sentence tokenizer.
const mark = "▁"

// Names of the special tokens.
const (
	TokenBOS = "<|begin_of_text|>"
	TokenEOS = "<|end_of_text|>"

	sentenceBOS = "<s>"
	sentenceEOS = "</s>"
)

// Size is the number of tokens.
func (t *Tokenizer) Size() int { return len(t.tokens) }

// Prompt returns the ids of a prompt: with BOS before it where the model was trained so.
func (t *Tokenizer) Prompt(text string) []int {
	if t.AddBOS {
		return append([]int{t.BOS}, t.Encode(text)...)
	}
	return t.Encode(text)
}

// Encode returns the ids of text, without BOS.
func (t *Tokenizer) Encode(text string) []int {
	var out []int
	for first := true; text != ""; first = false {
		at, token := t.nextAdded(text)
		if t.sentence {
			out = t.encodeSentence(text[:at], first, out)
		} else {
			for _, piece := range cut(text[:at], t.pieces...) {
				out = t.encodePiece(piece, out)
			}
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

func (t *Tokenizer) encodePiece(piece string, out []int) []int {
	parts := make([]string, 0, len(piece))
	for i := range len(piece) {
		// Some vocabularies, SmolLM2's too, lack control characters: they are dropped, as Hugging Face's BPE does.
		if part := string(byteRune(piece[i])); t.has(part) {
			parts = append(parts, part)
		}
	}
	if t.whole {
		if id, ok := t.ids[strings.Join(parts, "")]; ok {
			return append(out, id)
		}
	}
	return t.merge(parts, out)
}

func (t *Tokenizer) encodeSentence(text string, first bool, out []int) []int {
	if text == "" {
		return out
	}
	text = strings.ReplaceAll(text, " ", mark)
	if t.prefix == prefixEach || t.prefix == prefixFirst && first && !strings.HasPrefix(text, mark) {
		text = mark + text
	}
	var parts []string
	for _, r := range text {
		if t.has(string(r)) {
			parts = append(parts, string(r))
			continue
		}
		for _, b := range []byte(string(r)) {
			parts = append(parts, byteToken(b))
		}
	}
	return t.merge(parts, out)
}

func (t *Tokenizer) has(token string) bool {
	_, ok := t.ids[token]
	return ok
}

// byteToken is the name of a sentence tokenizer's token for one byte.
func byteToken(b byte) string { return fmt.Sprintf("<0x%02X>", b) }

// merge joins neighbouring parts in the order of the merges and appends the ids of what is left.
func (t *Tokenizer) merge(parts []string, out []int) []int {
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
		if t.sentence {
			var b byte
			if n, _ := fmt.Sscanf(token, "<0x%02X>", &b); n == 1 && token == byteToken(b) {
				bytes = append(bytes, b)
				continue
			}
			bytes = append(bytes, strings.ReplaceAll(token, mark, " ")...)
			continue
		}
		if slices.Contains(t.added, token) {
			bytes = append(bytes, token...)
			continue
		}
		for _, r := range token {
			if b, ok := runeByte(r); ok {
				bytes = append(bytes, b)
			}
		}
	}
	text := valid(string(bytes))
	if t.sentence && t.prefix != prefixNever {
		text = strings.TrimPrefix(text, " ")
	}
	return text
}

// valid replaces what is not UTF-8, as Rust's from_utf8_lossy does in Hugging Face's decoder.
func valid(text string) string { return strings.ToValidUTF8(text, string(utf8.RuneError)) }

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
