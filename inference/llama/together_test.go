package llama

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"llamaxr/inference/engine"
)

// counted is a machine that tells of its passes.
type counted struct {
	*native
	passes int
	parts  int // of one pass at most
	room   int // positions that all caches had at most
	before func(pass int)
}

func (c *counted) forward(parts ...part) error {
	c.passes++
	c.parts = max(c.parts, len(parts))
	if c.before != nil {
		c.before(c.passes)
	}
	err := c.native.forward(parts...)
	room := 0
	for i := range c.caches {
		room += c.caches[i].room
	}
	c.room = max(c.room, room)
	return err
}

func countedModel(t *testing.T, files, adapter fs.FS, kind Kind) (*Model, *counted) {
	t.Helper()
	eng, err := engine.Open(engine.Go)
	if err != nil {
		t.Fatal(err)
	}
	m, err := LoadAs(eng, files, kind)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.SetAdapter(adapter); err != nil {
		t.Fatal(err)
	}
	c := &counted{native: m.machine.(*native)}
	m.machine = c
	return m, c
}

// longFiles are tinyFiles with as many positions as a text can have.
func longFiles(t *testing.T) (base, adapter fs.FS) {
	base, adapter = tinyFiles(t)
	config := base.(fstest.MapFS)[ConfigFile]
	config.Data = bytes.Replace(config.Data, []byte(`"max_position_embeddings": 128`), []byte(`"max_position_embeddings": 4096`), 1)
	return base, adapter
}

// TestTogetherAsAlone: texts that are written at once, more than there are places, are what they are alone, in both arithmetics, with and
// without an adapter of either kind, speculation and a kept head, while others are cancelled at any pass and some are too long; and they share passes.
func TestTogetherAsAlone(t *testing.T) {
	base, lora := longFiles(t)
	prompts := []string{headText, headText + "0.5", "No effusion. 0.7", "No effusion. 0.75 0.25", "0.5", headText + "0.75", "The heart is ", "No"}
	for i := range 24 {
		kind, plain, headed := NativeExact, i&2 == 0, i&4 == 0
		if i&1 == 0 {
			kind = NativeInt16
		}
		over := []fs.FS{nil, lora, os.DirFS(prefixFolder)}[i/8]
		t.Run(fmt.Sprintf("kind %d, adapter %d, plain %t, head %t", kind, i/8, plain, headed), func(t *testing.T) {
			m, machine := countedModel(t, base, over, kind)
			alone, _ := countedModel(t, base, over, kind)
			m.Speculate(!plain)
			if headed {
				m.SetHead(&Head{t.TempDir(), headText, HeadKey{}})
			}
			holdTogether(t, m, alone, machine, prompts, 40, uint64(i))
		})
	}
}

// TestLongTextAlone: a text of more than its share of positions is written with none beside it, and all together hold no more than the longest can.
func TestLongTextAlone(t *testing.T) {
	base, adapter := longFiles(t)
	m, machine := countedModel(t, base, adapter, NativeInt16)
	alone, _ := countedModel(t, base, adapter, NativeInt16)
	long := strings.Repeat("No effusion. ", 2000)
	for len(m.Tokenizer.Prompt(long)) > maxContext-roomStep {
		long = long[:len(long)-13]
	}
	holdTogether(t, m, alone, machine, []string{headText, long, "No effusion. 0.7", long[:len(long)/5], headText + "0.5", long[:len(long)/3]}, 20, 1)
	if machine.room > maxContext || machine.room < maxContext/2 {
		t.Errorf("%d positions at once, %d are the most of one text", machine.room, maxContext)
	}
}

// TestTogetherOnARealModel is the same with a vocabulary of 49,152 and texts that speculation knows.
func TestTogetherOnARealModel(t *testing.T) {
	m, machine := countedModel(t, smolNF4(t), nil, NativeInt16)
	holdTogether(t, m, m, machine, []string{"The chest radiograph shows", "A chest radiograph shows", "The lungs are clear. The heart"}, 24, 1)
}

// holdTogether holds texts that m writes at once to what alone writes one after another.
func holdTogether(t *testing.T, m, alone *Model, machine *counted, prompts []string, limit int, seed uint64) {
	t.Helper()
	var want []*Result
	for _, prompt := range prompts {
		result, err := alone.Generate(t.Context(), prompt, limit)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, result)
	}
	rng := rand.New(rand.NewPCG(seed, 4))
	cancels := map[int]context.CancelFunc{}
	machine.passes, machine.before = 0, func(pass int) {
		if pass <= 2*MostTogether { // the others come meanwhile
			for began := time.Now(); len(m.places) < 2 && time.Since(began) < time.Second; {
				time.Sleep(time.Millisecond)
			}
			time.Sleep(5 * time.Millisecond)
		}
		if cancel := cancels[pass]; cancel != nil {
			cancel()
		}
	}
	var all sync.WaitGroup
	var passes, cancelled atomic.Int32
	var doomed []context.Context
	for range 4 {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		doomed = append(doomed, ctx)
		cancels[1+rng.IntN(60)] = cancel
	}
	for range 3 {
		for i, prompt := range prompts {
			all.Go(func() {
				got, err := m.Generate(t.Context(), prompt, limit)
				if err != nil {
					t.Error(err)
					return
				}
				passes.Add(1 + int32(got.Passes))
				if got.Text != want[i].Text || got.NewTokens != want[i].NewTokens || got.Finished != want[i].Finished {
					t.Errorf("%q: %d tokens %q, alone %d tokens %q", prompt, got.NewTokens, got.Text, want[i].NewTokens, want[i].Text)
				}
			})
		}
		all.Go(func() {
			if _, err := m.Generate(t.Context(), strings.Repeat("0", 2*maxContext), limit); !errors.Is(err, ErrPromptTooLong) {
				t.Errorf("a prompt that is too long: %v", err)
			}
		})
		if len(doomed) > 0 {
			for _, ctx := range doomed {
				all.Go(func() {
					if _, err := m.Generate(ctx, prompts[0], limit); errors.Is(err, context.Canceled) {
						cancelled.Add(1)
					} else if err != nil {
						t.Error(err)
					}
				})
			}
			doomed = nil
		}
	}
	all.Wait()
	t.Logf("%d passes, alone %d, of %d texts at most; %d cancelled", machine.passes, passes.Load(), machine.parts, cancelled.Load())
	if machine.parts > MostTogether {
		t.Errorf("a pass is shared by %d texts", machine.parts)
	}
	if long := slices.ContainsFunc(prompts, func(p string) bool { return len(m.Tokenizer.Prompt(p)) > roomTogether }); !long && (machine.parts < 2 || machine.passes >= int(passes.Load())) {
		t.Error("passes are not shared") // beside long texts it depends on who comes first
	}
	if len(m.places) != 0 || m.writing != 0 || slices.ContainsFunc(m.slots, func(s slot) bool { return s.busy }) {
		t.Error("a place is still taken")
	}
}

// TestOthersGoOnAfterAPanic: a pass that panics is an error of the texts that it was for, and the next ones are right.
func TestOthersGoOnAfterAPanic(t *testing.T) {
	base, adapter := tinyFiles(t)
	m, machine := countedModel(t, base, adapter, NativeInt16)
	want := generate(t, m, headText).Text
	machine.passes, machine.before = 0, func(pass int) {
		if pass == 8 {
			panic("a broken invariant")
		}
	}
	var all sync.WaitGroup
	var panics, broken atomic.Int32
	for range MostTogether {
		all.Go(func() {
			defer func() {
				if recover() != nil {
					panics.Add(1)
				}
			}()
			result, err := m.Generate(t.Context(), headText, 20)
			switch {
			case errors.Is(err, errPass):
				broken.Add(1)
			case err != nil || result.Text != want:
				t.Errorf("%v, %+v, want %q", err, result, want)
			}
		})
	}
	all.Wait()
	if panics.Load() != 1 {
		t.Errorf("%d panics, %d broken passes", panics.Load(), broken.Load())
	}
	if got := generate(t, m, headText).Text; got != want {
		t.Errorf("afterwards %q, want %q", got, want)
	}
}

// TestPassesOfSeveralTexts: tokens of other texts in a pass change no bit of a token's scores.
func TestPassesOfSeveralTexts(t *testing.T) {
	base, adapter := tinyFiles(t)
	rng := rand.New(rand.NewPCG(9, 9))
	for _, kind := range []Kind{NativeExact, NativeInt16} {
		m, _ := countedModel(t, base, adapter, kind)
		var texts [MostTogether][]int
		var whole [MostTogether][][]float32
		for i := range texts {
			for range 60 + 10*i {
				texts[i] = append(texts[i], rng.IntN(m.Config.VocabSize))
			}
			whole[i] = scoresAfter(t, m, texts[i], 0, len(texts[i]))
		}
		m.slots[0].kept = nil
		for {
			var parts []part
			for _, i := range rng.Perm(MostTogether) {
				at := len(m.slots[i].kept)
				if n := min(rng.IntN(12), len(texts[i])-at); n > 0 {
					parts = append(parts, part{i, texts[i][at : at+n], at, n})
				}
			}
			if len(parts) == 0 && len(m.slots[0].kept) == len(texts[0]) && len(m.slots[3].kept) == len(texts[3]) {
				break
			}
			if len(parts) == 0 {
				continue
			}
			if err := m.forward(parts...); err != nil {
				t.Fatal(err)
			}
			scores := m.machine.scores()
			for _, p := range parts {
				for k := range p.tokens {
					if !slices.Equal(scores[k], whole[p.slot][p.from+k]) {
						t.Fatalf("%s: token %d of text %d has other scores than alone", m.Engine(), p.from+k, p.slot)
					}
				}
				scores = scores[len(p.tokens):]
			}
		}
	}
}

// TestGuessesAreShared: the rows of a pass are those that promise the most tokens for its time.
func TestGuessesAreShared(t *testing.T) {
	text := strings.Fields("a b c d e f g h i j k l")
	var ids []int
	for i := range text {
		ids = append(ids, i)
	}
	for _, c := range []struct{ known, texts, want int }{
		{0, 1, 0}, {1, 1, 0}, {40, 1, 3}, {1, 2, 2}, {40, 2, 6}, {1, 3, 1}, {1, 4, 0}, {40, 4, 12},
	} {
		var g guesses
		for range c.known {
			g.learn(ids, 0)
		}
		var requests []*request
		for range c.texts {
			requests = append(requests, &request{text: ids[:6], room: mostDrafted})
		}
		g.share(requests)
		got := 0
		for _, r := range requests {
			got += len(r.guessed)
			if !slices.Equal(r.guessed, ids[6:6+len(r.guessed)]) {
				t.Errorf("%+v: guesses are %v", c, r.guessed)
			}
		}
		if got != c.want {
			t.Errorf("%+v: %d guesses", c, got)
		}
	}
}
