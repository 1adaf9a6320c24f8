package llama

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// tokenizerJSON is Hugging Face's tokenizer.json, as far as it is understood here.
type tokenizerJSON struct {
	Version       string       `json:"version"`
	AddedTokens   []addedToken `json:"added_tokens"`
	Normalizer    *step        `json:"normalizer,omitempty"`
	PreTokenizer  *step        `json:"pre_tokenizer"`
	PostProcessor *step        `json:"post_processor,omitempty"`
	Decoder       *step        `json:"decoder"`
	Model         struct {
		Type         string         `json:"type"`
		IgnoreMerges bool           `json:"ignore_merges"`
		ByteFallback bool           `json:"byte_fallback,omitempty"`
		Prefix       string         `json:"continuing_subword_prefix,omitempty"`
		Suffix       string         `json:"end_of_word_suffix,omitempty"`
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
			return fmt.Errorf("merge %.200q is no pair", data)
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

// ParseTokenizer reads tokenizer.json: byte-level BPE with the patterns of pieces.go, or SentencePiece's BPE with byte fallback.
func ParseTokenizer(data []byte) (*Tokenizer, error) {
	var file tokenizerJSON
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("llama: tokenizer.json: %w", err)
	}
	t, err := newTokenizer(&file)
	if err != nil {
		return nil, fmt.Errorf("llama: tokenizer.json: %w", err)
	}
	return t, nil
}

func newTokenizer(file *tokenizerJSON) (*Tokenizer, error) {
	m := &file.Model
	switch {
	case m.Type != "BPE":
		return nil, fmt.Errorf("model type %q, want BPE", m.Type)
	case m.Prefix != "" || m.Suffix != "":
		return nil, fmt.Errorf("model has the subword prefix %q and the suffix %q: not known", m.Prefix, m.Suffix)
	case len(m.Vocab) > maxTokens || len(m.Merges) > maxMerges || len(file.AddedTokens) > maxTokens:
		return nil, fmt.Errorf("%d tokens, %d added ones and %d merges are too many", len(m.Vocab), len(file.AddedTokens), len(m.Merges))
	}
	t := &Tokenizer{ids: map[string]int{}, rank: map[[2]string]int{}, hidden: map[int]bool{}, whole: m.IgnoreMerges}
	if err := t.setSteps(file); err != nil {
		return nil, err
	}
	if err := t.setTokens(file); err != nil {
		return nil, err
	}
	for b := range 256 {
		control := b < ' ' && b != '\n' || b >= 0x7f // which some vocabularies lack
		if !t.sentence && !control && !t.has(string(byteRune(byte(b)))) || t.sentence && !t.has(byteToken(byte(b))) {
			return nil, fmt.Errorf("byte %d has no token", b)
		}
	}
	t.BOS, t.EOS = t.first(TokenBOS, sentenceBOS), t.first(TokenEOS, sentenceEOS)
	return t, t.setBOS(file.PostProcessor)
}

// first returns the id of the first of tokens that is there, -1 for none.
func (t *Tokenizer) first(tokens ...string) int {
	for _, token := range tokens {
		if id, ok := t.ids[token]; ok {
			return id
		}
	}
	return -1
}

func (t *Tokenizer) setTokens(file *tokenizerJSON) error {
	size := len(file.Model.Vocab)
	for _, a := range file.AddedTokens {
		if _, ok := file.Model.Vocab[a.Content]; !ok {
			size++
		}
	}
	t.tokens = make([]string, size)
	put := func(token string, id int) error {
		if id < 0 || id >= size || t.tokens[id] != "" {
			return fmt.Errorf("token %q has id %d, taken or outside 0 to %d", token, id, size-1)
		}
		t.tokens[id], t.ids[token] = token, id
		return nil
	}
	for token, id := range file.Model.Vocab {
		if err := put(token, id); err != nil {
			return err
		}
	}
	for _, a := range file.AddedTokens {
		switch id, there := t.ids[a.Content]; {
		case a.Content == "":
			return errors.New("an added token is empty")
		case a.LStrip || a.RStrip || a.SingleWord:
			return fmt.Errorf("added token %q takes its surroundings into account: not known", a.Content)
		case there && id != a.ID:
			return fmt.Errorf("added token %q has id %d, in the vocabulary %d", a.Content, a.ID, id)
		case !there:
			if err := put(a.Content, a.ID); err != nil {
				return err
			}
		}
		t.added = append(t.added, a.Content)
		t.hidden[a.ID] = a.Special
	}
	for i, m := range file.Model.Merges {
		if _, ok := t.ids[m[0]+m[1]]; !ok {
			return fmt.Errorf("merge %q gives no token", m)
		}
		t.rank[m] = i
	}
	return nil
}

// step is a normalizer, pre-tokenizer, post-processor or decoder: a type and whatever it takes; a Sequence has more of them.
type step struct {
	Type           string   `json:"type"`
	Normalizers    []step   `json:"normalizers,omitempty"`
	PreTokenizers  []step   `json:"pretokenizers,omitempty"`
	Processors     []step   `json:"processors,omitempty"`
	Decoders       []step   `json:"decoders,omitempty"`
	Pattern        *pattern `json:"pattern,omitempty"`
	Behavior       string   `json:"behavior,omitempty"`
	Invert         *bool    `json:"invert,omitempty"`
	AddPrefixSpace *bool    `json:"add_prefix_space,omitempty"`
	TrimOffsets    *bool    `json:"trim_offsets,omitempty"`
	UseRegex       *bool    `json:"use_regex,omitempty"`
	Individual     *bool    `json:"individual_digits,omitempty"`
	Replacement    string   `json:"replacement,omitempty"`
	PrependScheme  string   `json:"prepend_scheme,omitempty"`
	Split          *bool    `json:"split,omitempty"`
	Prepend        string   `json:"prepend,omitempty"`
	// Content is a string here; in decoders that are not read it may be anything.
	Content any            `json:"content,omitempty"`
	Start   *int           `json:"start,omitempty"`
	Stop    *int           `json:"stop,omitempty"`
	Single  []templatePart `json:"single,omitempty"`
	Pair    []templatePart `json:"pair,omitempty"`
	Special map[string]any `json:"special_tokens,omitempty"`
}

// pattern is what a Split or Replace step looks for.
type pattern struct {
	Regex  string `json:"Regex,omitempty"`
	String string `json:"String,omitempty"`
}

// templatePart is a special token or the text itself in a post-processor's template.
type templatePart struct {
	SpecialToken *templateToken `json:"SpecialToken,omitempty"`
	Sequence     *templateToken `json:"Sequence,omitempty"`
}

type templateToken struct {
	ID     string `json:"id"`
	TypeID int    `json:"type_id"`
}

// flat lists a step, or the steps of a sequence.
func (s *step) flat() []step {
	switch {
	case s == nil:
		return nil
	case s.Type == "Sequence":
		return append(append(append([]step{}, s.Normalizers...), s.PreTokenizers...), s.Processors...)
	}
	return []step{*s}
}

func is(b *bool, unsaid bool) bool {
	if b == nil {
		return unsaid
	}
	return *b
}

// setSteps understands the normalizer and the pre-tokenizer, or says what it does not.
func (t *Tokenizer) setSteps(file *tokenizerJSON) error {
	marks, bytes := false, false
	for _, s := range file.Normalizer.flat() {
		switch {
		case s.Type == "Prepend" && s.Prepend == mark:
			t.prefix = prefixEach
		case s.Type == "Replace" && s.Pattern != nil && s.Pattern.String == " " && s.Content == mark:
			marks = true
		default:
			return fmt.Errorf("normalizer %q is not known", s.Type)
		}
	}
	for _, s := range file.PreTokenizer.flat() {
		switch {
		case s.Type == "Split" && s.Pattern != nil && s.Behavior == "Isolated" && !is(s.Invert, false):
			piece, ok := pieceLengths[s.Pattern.Regex]
			if !ok {
				return fmt.Errorf("pre_tokenizer splits by a pattern that is not known: %.400q", s.Pattern.Regex)
			}
			t.pieces = append(t.pieces, piece)
		case s.Type == "Digits" && is(s.Individual, false):
			t.pieces = append(t.pieces, digitPiece)
		case s.Type == "ByteLevel" && !is(s.AddPrefixSpace, true):
			if bytes = true; is(s.UseRegex, true) {
				t.pieces = append(t.pieces, gpt2Piece)
			}
		case s.Type == "Metaspace" && s.Replacement == mark && !is(s.Split, true):
			switch marks = true; s.PrependScheme {
			case "first":
				t.prefix = prefixFirst
			case "always":
				t.prefix = prefixEach
			case "never":
			default:
				return fmt.Errorf("pre_tokenizer Metaspace has the prepend_scheme %q: not known", s.PrependScheme)
			}
		default:
			return fmt.Errorf("pre_tokenizer %q with its settings is not known", s.Type)
		}
	}
	// Every byte-level vocabulary cuts its text, every sentence one takes it whole.
	if t.sentence = marks && file.Model.ByteFallback; t.sentence == bytes || t.sentence && len(t.pieces) > 0 || bytes && len(t.pieces) == 0 {
		return errors.New("pre_tokenizer makes neither a byte-level tokenizer nor SentencePiece's")
	}
	return nil
}

// setBOS reads from the post-processor whether a prompt begins with BOS. Without a post-processor it does when there is a Llama 3 BOS: so
// are the starter's and other files of our own.
func (t *Tokenizer) setBOS(processor *step) error {
	t.AddBOS = processor == nil && t.first(TokenBOS) >= 0
	for _, s := range processor.flat() {
		switch {
		case s.Type == "TemplateProcessing" && len(s.Single) > 0:
			first := s.Single[0].SpecialToken
			if first == nil {
				continue
			}
			id, ok := t.ids[first.ID]
			if !ok {
				return fmt.Errorf("post_processor begins with %q, which is no token", first.ID)
			}
			t.BOS, t.AddBOS = id, true
		case s.Type == "ByteLevel":
		default:
			return fmt.Errorf("post_processor %q is not known", s.Type)
		}
	}
	return nil
}
