package llama

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

const headText = "No effusion. The heart is "

// headed is a tiny model with an adapter that keeps heads in a folder.
func headed(t *testing.T, folder string, kind Kind, key HeadKey) *Model {
	t.Helper()
	base, adapter := tinyFiles(t)
	model, err := LoadAs(nil, base, kind)
	if err != nil {
		t.Fatal(err)
	}
	if err := model.SetAdapter(adapter); err != nil {
		t.Fatal(err)
	}
	model.SetHead(&Head{folder, headText, key})
	return model
}

func generate(t *testing.T, m *Model, prompt string) *Result {
	t.Helper()
	result, err := m.Generate(context.Background(), prompt, 20)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func heads(t *testing.T, folder string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*"+headSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// TestHeadIsKept: a model that starts again, or goes back to an adapter, reads what it computed of the head before, and writes the same text as
// one that has no head; another model, adapter, prompt or machine does not take it.
func TestHeadIsKept(t *testing.T) {
	for _, kind := range []Kind{NativeExact, NativeInt16} {
		folder := filepath.Join(t.TempDir(), "heads")
		key := HeadKey{"model", "adapter", "prompt"}
		plain := headed(t, folder, kind, key)
		plain.SetHead(nil)
		first, second := headed(t, folder, kind, key), headed(t, folder, kind, key)
		prompts := []string{headText + "0.5 0.25", headText + "0.75"}
		for i, prompt := range prompts {
			want := generate(t, plain, prompt)
			for k, m := range []*Model{first, second} {
				got := generate(t, m, prompt)
				if got.Text != want.Text {
					t.Errorf("%q, want %q", got.Text, want.Text)
				}
				if computed := i == 0 && k == 0; computed == (got.KeptTokens > 0) {
					t.Errorf("model %d, text %d: %d of %d tokens were kept", k, i, got.KeptTokens, got.PromptTokens)
				}
			}
		}
		_, adapter := tinyFiles(t)
		if err := first.SetAdapter(adapter); err != nil { // forgets what the machine keeps
			t.Fatal(err)
		}
		if got := generate(t, first, prompts[0]); got.KeptTokens == 0 {
			t.Error("nothing is kept after an adapter was put on again")
		}
		for _, other := range []HeadKey{{"another", "adapter", "prompt"}, {"model", "another", "prompt"}, {"model", "adapter", "another"}} {
			if got := generate(t, headed(t, folder, kind, other), prompts[0]); got.KeptTokens > 0 {
				t.Errorf("%+v takes what is another's", other)
			}
		}
		if n := len(heads(t, folder)); n != 4 {
			t.Errorf("%d files", n)
		}
	}
}

// TestDamagedHeadIsMadeAnew: any changed, cut or foreign file is ignored and replaced by a whole one; the text is the same.
func TestDamagedHeadIsMadeAnew(t *testing.T) {
	folder := t.TempDir()
	want := generate(t, headed(t, folder, NativeExact, HeadKey{}), headText+"0.5")
	path := heads(t, folder)[0]
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := func(at int) []byte {
		out := bytes.Clone(whole)
		out[at] ^= 1
		return out
	}
	for name, data := range map[string][]byte{
		"empty": nil, "cut": whole[:len(whole)-1], "longer": append(bytes.Clone(whole), 0), "magic": flipped(0), "length": flipped(8), "header": flipped(14),
		"values": flipped(len(whole) / 2), "sum": flipped(len(whole) - 1), "values left out": signed(whole[:len(whole)-sha256.Size-8]),
		"of another": signed(bytes.Replace(whole[:len(whole)-sha256.Size], []byte("float32"), []byte("float64"), 1)),
	} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		got := generate(t, headed(t, folder, NativeExact, HeadKey{}), headText+"0.5")
		if got.KeptTokens > 0 || got.Text != want.Text {
			t.Errorf("%s: %d tokens kept, %q, want %q", name, got.KeptTokens, got.Text, want.Text)
		}
		if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, whole) {
			t.Errorf("%s: not made anew: %v", name, err)
		}
	}
}

// signed is a body with its right sum.
func signed(body []byte) []byte {
	sum := sha256.Sum256(body)
	return append(bytes.Clone(body), sum[:]...)
}

// TestHeadsAreBounded: the folder holds a few, the last used ones; a folder that cannot be written to is no error.
func TestHeadsAreBounded(t *testing.T) {
	folder := t.TempDir()
	old := time.Now().Add(-time.Hour)
	for i := range mostHeads + 3 {
		generate(t, headed(t, folder, NativeExact, HeadKey{Model: fmt.Sprint(i)}), headText+"0.5")
		for _, path := range heads(t, folder) {
			if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) < time.Minute {
				if err := os.Chtimes(path, time.Time{}, old.Add(time.Duration(i)*time.Minute)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if n := len(heads(t, folder)); n != min(i+1, mostHeads) {
			t.Fatalf("%d files after %d", n, i+1)
		}
	}
	for _, c := range []struct {
		model int
		kept  bool
	}{{3, true}, {mostHeads + 2, true}, {2, false}} {
		got := generate(t, headed(t, folder, NativeExact, HeadKey{Model: fmt.Sprint(c.model)}), headText+"0.5")
		if (got.KeptTokens > 0) != c.kept {
			t.Errorf("head %d: %d tokens kept", c.model, got.KeptTokens)
		}
	}
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	generate(t, headed(t, filepath.Join(file, "heads"), NativeExact, HeadKey{}), headText+"0.5")
}

// TestHeadVersion fails when what a machine computes of a head changes, in any bit: headVersion must change then too, or a new program would
// go on from what an old one kept.
func TestHeadVersion(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("exponentials of other processors may differ in their last bit: the version is held on amd64")
	}
	want := map[Kind]string{
		NativeExact: "c373fa608cd8c072114a0af266877c9c7ff8552d247a536827e9954a6974a3eb",
		NativeInt16: "24f870f50b6be6fd2adaff7c10f1c1b3e35bdbe093792cc73fa6e79838d007d9",
	}
	for kind, sum := range want {
		m := headed(t, t.TempDir(), kind, HeadKey{})
		ids := m.Tokenizer.Prompt(headText)
		if err := m.forward(part{tokens: ids, want: 1}); err != nil {
			t.Fatal(err)
		}
		got := sha256.Sum256(m.machine.(headKeeper).state(0, len(ids)))
		if hex.EncodeToString(got[:]) != sum {
			t.Errorf("%s: keys and values are %x: raise headVersion (%d) and write this here", m.Engine(), got, headVersion)
		}
	}
}

// FuzzHead reads files whose sum is right and whose contents are anything.
func FuzzHead(f *testing.F) {
	want := headHeader{Version: headVersion, Machine: "cpu", Tokens: []int{1, 2}}
	f.Add([]byte(headMagic + "\x02\x00\x00\x00{}state"))
	f.Add([]byte(headMagic + "\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, body []byte) {
		state, err := parseHead(signed(body), want)
		if err == nil && len(state) > len(body) {
			t.Error("more than there is")
		}
		_, _ = parseHead(body, want)
	})
}
