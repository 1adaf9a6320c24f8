package inference

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"llamaxr/inference/engine"
	"llamaxr/inference/llama"
	"llamaxr/inference/models"
	"llamaxr/inference/signing"
	"llamaxr/study"
)

// silenced imports the starter's adapter with all weights zero: what the base writes alone.
func silenced(t *testing.T, store *models.Store) {
	t.Helper()
	bundle, err := models.Starter()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "silenced")
	if err := os.CopyFS(folder, folderOf(t, bundle)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, llama.AdapterWeightsFile)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(data[8+binary.LittleEndian.Uint64(data):]) // safetensors: the header's length, the header, the values
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.ImportAdapter(models.AdapterImport{From: folder, Name: "silenced", Base: models.StarterName, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
}

// withSilenced is a reader whose store has that adapter besides the one in use.
func withSilenced(t *testing.T) (*Reader, *models.Store) {
	t.Helper()
	eng, err := engine.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	store := models.OpenStore(t.TempDir())
	silenced(t, store)
	r, err := Open(eng, store)
	if err != nil {
		t.Fatal(err)
	}
	return r, store
}

// TestOneTextByAnotherAdapter: a text by another adapter is that adapter's, says so, and the next text is that of the adapter in use.
func TestOneTextByAnotherAdapter(t *testing.T) {
	r, store := withSilenced(t)
	names, err := r.Adapters(store)
	if err != nil || !slices.Equal(names, []string{models.StarterName, "silenced"}) {
		t.Fatalf("adapters %v, %v", names, err)
	}
	scores := study.PairScores{Frontal: &study.Scores{study.Effusion: 0.9, study.Cardiomegaly: 0.8}, Lateral: &study.Scores{study.Effusion: 0.7}}
	first, err := r.Write(t.Context(), scores, nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := r.WriteAs(t.Context(), scores, store, "silenced", nil)
	if err != nil {
		t.Fatal(err)
	}
	adapter := func(w *Written) string { return w.Models[len(w.Models)-1].Name }
	if other.Text == first.Text || adapter(other) != "silenced" || adapter(first) == "silenced" {
		t.Errorf("by %s: %q, by %s: %q", adapter(first), first.Text, adapter(other), other.Text)
	}
	again, err := r.WriteAs(t.Context(), scores, store, models.StarterName, nil)
	if err != nil || again.Text != first.Text {
		t.Errorf("%v, by the starter's name %q, want %q", err, again.Text, first.Text)
	}
	if back, err := r.Write(t.Context(), scores, nil); err != nil || back.Text != first.Text || adapter(back) != adapter(first) {
		t.Errorf("%v, afterwards %s writes %q", err, adapter(back), back.Text)
	}
	if _, err := r.WriteAs(t.Context(), scores, store, "nobody", nil); !errors.Is(err, ErrNoSuchAdapter) {
		t.Errorf("an adapter that is not there: %v", err)
	}
}

// TestARemovedAdapterStaysInUse: what is chosen for the next start frees the adapter that this one writes with; removed, it is laid over the model again
// after a text by another.
func TestARemovedAdapterStaysInUse(t *testing.T) {
	r, store := withSilenced(t)
	if err := errors.Join(store.UseAdapter("silenced"), r.Adapt(store)); err != nil {
		t.Fatal(err)
	}
	scores := study.PairScores{Frontal: &study.Scores{study.Effusion: 0.9}}
	first, err := r.Write(t.Context(), scores, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(store.UseAdapter(models.StarterName), store.Remove("silenced")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.WriteAs(t.Context(), scores, store, models.StarterName, nil); err != nil {
		t.Fatal(err)
	}
	if again, err := r.Write(t.Context(), scores, nil); err != nil || again.Text != first.Text {
		t.Errorf("%v: %+v, before %q", err, again, first.Text)
	}
	_, adapter, _, _ := r.LanguageModel()
	if config, err := fs.ReadFile(adapter, llama.AdapterConfigFile); err != nil || len(config) == 0 {
		t.Errorf("fine-tuning goes on from it: %v, %d bytes", err, len(config))
	}
}

// TestTextsAtOnce: reports that are written at once, some by an adapter of their own, while others are promoted to be in use, are each what the
// adapter that they say they are by writes alone.
func TestTextsAtOnce(t *testing.T) {
	r, store := withSilenced(t)
	names := []string{"silenced", models.StarterName}
	adapter := func(w *Written) string { return w.Models[len(w.Models)-1].Name }
	var all []study.PairScores
	alone := map[string][]string{} // by the adapter's name in the cards
	for i := range 4 {
		scores := study.PairScores{Frontal: &study.Scores{study.Effusion: 0.3 * float32(i), study.Cardiomegaly: 0.8}}
		all = append(all, scores)
		for _, name := range names {
			written, err := r.WriteAs(t.Context(), scores, store, name, nil)
			if err != nil {
				t.Fatal(err)
			}
			alone[adapter(written)] = append(alone[adapter(written)], written.Text)
		}
	}
	if len(alone) != 2 {
		t.Fatalf("%v", alone)
	}
	var writers sync.WaitGroup
	hold := func(i int, got *Written, err error) {
		if err != nil || got.Text != alone[adapter(got)][i] {
			t.Errorf("%v, %+v, alone %q", err, got, alone)
		}
	}
	for range 5 {
		for i, scores := range all {
			writers.Go(func() {
				got, err := r.Write(t.Context(), scores, nil)
				hold(i, got, err)
			})
		}
		writers.Go(func() {
			got, err := r.WriteAs(t.Context(), all[1], store, "silenced", nil)
			hold(1, got, err)
			if err == nil && adapter(got) != "silenced" {
				t.Errorf("by %s", adapter(got))
			}
		})
	}
	for i := range 6 {
		if err := store.UseAdapter(names[i%2]); err != nil {
			t.Fatal(err)
		}
		if err := r.Adapt(store); err != nil {
			t.Fatal(err)
		}
	}
	writers.Wait()
}

// TestAdapterGoesWithoutARestart: an adapter over an imported model is laid on and taken away while the model stays loaded, and the text is that
// of a reader that is opened so.
func TestAdapterGoesWithoutARestart(t *testing.T) {
	eng, err := engine.Open(engine.Go)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := models.Starter()
	if err != nil {
		t.Fatal(err)
	}
	language, err := fs.Sub(bundle.Files, models.LlamaFolder)
	if err != nil {
		t.Fatal(err)
	}
	store, folders := models.OpenStore(t.TempDir()), t.TempDir()
	base, adapter := filepath.Join(folders, "base"), filepath.Join(folders, "habit")
	if err := errors.Join(os.CopyFS(base, language), os.CopyFS(adapter, folderOf(t, bundle)), os.Remove(filepath.Join(adapter, llama.AdapterManifestFile))); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Import(t.Context(), models.Import{From: base, Precision: llama.NF4, AcceptLicence: "test", Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.ImportAdapter(models.AdapterImport{From: adapter, Base: "base", Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Use("base"); err != nil {
		t.Fatal(err)
	}
	scores := study.PairScores{Frontal: &study.Scores{study.Effusion: 0.9}, Lateral: &study.Scores{study.Effusion: 0.7}}
	write := func(r *Reader) string {
		t.Helper()
		written, err := r.Write(t.Context(), scores, nil)
		if err != nil {
			t.Fatal(err)
		}
		return written.Text
	}
	r, err := Open(eng, store)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, name := range []string{models.StarterName, "habit", models.StarterName} {
		if err := store.UseAdapter(name); err != nil {
			t.Fatal(err)
		}
		if err := r.Adapt(store); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		opened, err := Open(eng, store)
		if err != nil {
			t.Fatal(err)
		}
		text := write(r)
		if want := write(opened); text != want || len(r.Cards()) != len(opened.Cards()) {
			t.Errorf("%s: %q by %v, opened so %q", name, text, r.Cards(), want)
		}
		texts = append(texts, text)
	}
	if texts[0] == texts[1] || texts[0] != texts[2] {
		t.Errorf("%q", texts)
	}
}

// TestWhatIsInUseIsToldWhileATextIsWritten: who asks for the models, a page that a reader opens, does not wait for a text, and hears of those
// in use, not of the one that writes for once.
func TestWhatIsInUseIsToldWhileATextIsWritten(t *testing.T) {
	r, store := withSilenced(t)
	before := r.Cards()
	asked := 0
	r.Wrote = func(*Written) { // before the text's end: whoever waited for that would wait here for ever
		asked++
		if cards := r.Cards(); !slices.Equal(cards, before) {
			t.Errorf("in use are %v, want %v", cards, before)
		}
		if names, err := r.Adapters(store); err != nil || len(names) != 2 {
			t.Errorf("adapters %v, %v", names, err)
		}
		if _, adapter, _, _ := r.LanguageModel(); adapter != r.inUse.Load().adapter.files {
			t.Error("fine-tuning would begin from the adapter that writes for once")
		}
	}
	scores := study.PairScores{Frontal: &study.Scores{study.Effusion: 0.9}}
	if _, err := r.Write(t.Context(), scores, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := r.WriteAs(t.Context(), scores, store, "silenced", nil); err != nil {
		t.Fatal(err)
	}
	if asked != 2 {
		t.Errorf("%d texts were written", asked)
	}
}

func folderOf(t *testing.T, bundle *models.Bundle) fs.FS {
	t.Helper()
	files, err := fs.Sub(bundle.Files, models.AdapterFolder)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestUnsignedAdapterIsNotLoaded: an adapter in use that no trusted key has signed is not loaded, neither at start nor for one text, and is once it is.
func TestUnsignedAdapterIsNotLoaded(t *testing.T) {
	store := models.OpenStore(t.TempDir())
	silenced(t, store)
	if _, err := store.Use("silenced"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	public, err := signing.NewKey(file)
	if err != nil {
		t.Fatal(err)
	}
	key, err := signing.ReadPrivate(file)
	if err != nil {
		t.Fatal(err)
	}
	strict := store.Trusting([]ed25519.PublicKey{public})
	if _, err := choose(strict); !errors.Is(err, signing.ErrUntrusted) || !strings.Contains(err.Error(), "silenced") {
		t.Errorf("at start: %v", err)
	}
	if _, err := new(Reader).adapterPart(strict, "silenced"); !errors.Is(err, signing.ErrUntrusted) {
		t.Errorf("for one text: %v", err)
	}
	if _, err := new(Reader).adapterPart(strict, models.StarterName); err != nil {
		t.Errorf("the starter's: %v", err)
	}
	if _, err := store.Sign(t.Context(), "silenced", key); err != nil {
		t.Fatal(err)
	}
	if chosen, err := choose(strict); err != nil || chosen.adapter.card.Name != "silenced" {
		t.Errorf("once signed: %v", err)
	}
}

// TestDamagedModelIsNotOpened: a language model whose files changed on disk is told as that, whether they could be read or not, and not opened.
func TestDamagedModelIsNotOpened(t *testing.T) {
	bundle, err := models.Starter()
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Sub(bundle.Files, models.LlamaFolder)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "own")
	if err := os.CopyFS(folder, files); err != nil {
		t.Fatal(err)
	}
	store := models.OpenStore(t.TempDir())
	m, err := store.Import(t.Context(), models.Import{From: folder, Precision: llama.NF4, AcceptLicence: "none", Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Use(m.Name); err != nil {
		t.Fatal(err)
	}
	eng, err := engine.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(eng, store)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{llama.WeightsFile, llama.TokenizerFile} {
		path := store.Path(m, name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []int{0, len(whole) - 1} { // what makes no sense, and, of the weights, what only is another
			changed := slices.Clone(whole)
			changed[at] ^= 1
			for _, data := range [][]byte{changed, whole} {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, data, 0o400); err != nil {
					t.Fatal(err)
				}
				_, opened := Open(eng, store)
				if damaged := &data[0] == &changed[0]; errors.Is(opened, models.ErrDamaged) != damaged || !damaged && opened != nil {
					t.Errorf("%s changed at %d: %t, and opening says %v", name, at, damaged, opened)
				} else if err := r.Adapt(store); errors.Is(err, models.ErrDamaged) != damaged {
					t.Errorf("%s changed at %d: %t, and going on says %v", name, at, damaged, err)
				}
			}
		}
	}
}
