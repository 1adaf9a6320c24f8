package models

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"llamaxr/inference/llama"
)

// llamaFolder is a tiny Llama as transformers saved it (oracles/families.py), with a tokenizer and a licence.
func llamaFolder(t testing.TB, name string) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS(filepath.Join("..", "llama", "testdata", "families", name))); err != nil {
		t.Fatal(err)
	}
	tokenizer, err := llama.TrainTokenizer([]string{"No effusion."}, nil, 20)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, llama.TokenizerFile), tokenizer)
	write(t, filepath.Join(folder, "README.md"), []byte("---\nlanguage: en\nlicense: llama-test\n---\n# A model\n"))
	write(t, filepath.Join(folder, "LICENSE"), []byte("You may test."))
	return folder
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func request(folder, name string) Import {
	return Import{From: folder, Name: name, Precision: llama.NF4, AcceptLicence: "llama-test", Now: noon}
}

func imported(t testing.TB, s *Store, family, name string) *Model {
	t.Helper()
	m, err := s.Import(context.Background(), request(llamaFolder(t, family), name))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestImportedModelIsWhatWasThere(t *testing.T) {
	s := OpenStore(t.TempDir())
	m := imported(t, s, "llama2", "tiny")
	got, err := s.Get("tiny")
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest() != m.Digest() || got.Licence.Text != "You may test." || got.Licence.Name != "llama-test" || got.Template != "grounded/1" ||
		got.Precision != "nf4" || !got.Imported.Equal(noon) || !slices.Contains(got.Source.Files, "model-00003-of-00005.safetensors") {
		t.Errorf("%+v", got)
	}
	if err := s.Verify(context.Background(), got, nil); err != nil {
		t.Error(err)
	}
	text, err := fs.ReadFile(s.Open(got), llama.ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	config, err := llama.ParseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	weights, err := fs.ReadFile(s.Open(got), llama.WeightsFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := llama.ReadWeights(config, weights); err != nil {
		t.Error(err)
	}
	// The same model once more has the same content, and shares it.
	if again := imported(t, s, "llama2", "again"); again.Digest() != m.Digest() {
		t.Errorf("imported twice: %s and %s", m.Digest(), again.Digest())
	}
	if err := s.Remove("tiny"); err != nil {
		t.Fatal(err)
	}
	if all, err := s.List(); err != nil || len(all) != 1 || all[0].Name != "again" {
		t.Errorf("%v (%v)", all, err)
	} else if err := s.Verify(context.Background(), all[0], nil); err != nil {
		t.Errorf("removing one of two: %v", err)
	}
	if _, err := s.Get("tiny"); !errors.Is(err, ErrUnknown) {
		t.Errorf("a removed model gives %v", err)
	}
	if err := s.Remove("again"); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(s.path(blobFolder)); err != nil || len(left) != 0 {
		t.Errorf("%d files are left of no model (%v)", len(left), err)
	}
}

// TestEveryFlippedBitIsFound turns one bit in every file of the registry, at its beginning, middle and end.
func TestEveryFlippedBitIsFound(t *testing.T) {
	s := OpenStore(t.TempDir())
	imported(t, s, "smollm2", "tiny")
	if _, err := s.Use("tiny"); err != nil {
		t.Fatal(err)
	}
	look := func() error {
		all, err := s.List()
		if err != nil {
			return err
		}
		if len(all) != 1 {
			return errors.New("the model is gone")
		}
		if _, err := s.InUse(RoleLanguageModel); err != nil {
			return err
		}
		return s.Verify(context.Background(), all[0], nil)
	}
	if err := look(); err != nil {
		t.Fatal(err)
	}
	tried := 0
	err := filepath.WalkDir(s.root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == lockFile {
			return err
		}
		before, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, at := range []int{0, len(before) / 2, len(before) - 2} {
			changed := bytes.Clone(before)
			changed[at] ^= 1 << (at % 8)
			os.Chmod(path, 0o600)
			write(t, path, changed)
			if err := look(); err == nil {
				t.Errorf("%s: bit %d of byte %d is not missed", path, at%8, at)
			}
			tried++
		}
		write(t, path, before)
		return look()
	})
	if err != nil || tried < 15 {
		t.Errorf("%d bits (%v)", tried, err)
	}
}

func TestLicenceMustBeAcceptedByName(t *testing.T) {
	s := OpenStore(t.TempDir())
	for accept, want := range map[string]string{"": `it is "llama-test"`, "apache-2.0": `it is "llama-test"`} {
		what := request(llamaFolder(t, "smollm2"), "tiny")
		what.AcceptLicence = accept
		if _, err := s.Import(context.Background(), what); !errors.Is(err, ErrLicence) || !strings.Contains(err.Error(), want) {
			t.Errorf("accepting %q: %v", accept, err)
		}
	}
	what := request(llamaFolder(t, "smollm2"), "tiny")
	what.AcceptLicence = ""
	os.Remove(filepath.Join(what.From, "README.md"))
	if _, err := s.Import(context.Background(), what); !errors.Is(err, ErrLicence) || !strings.Contains(err.Error(), "name none") {
		t.Errorf("no licence at all: %v", err)
	}
	nothingInstalled(t, s)
}

func nothingInstalled(t testing.TB, s *Store) {
	t.Helper()
	for _, folder := range []string{refFolder, blobFolder} {
		if entries, err := os.ReadDir(s.path(folder)); err == nil && len(entries) > 0 {
			t.Errorf("%s holds %d files", folder, len(entries))
		}
	}
}

// TestStoppedImportLeavesNothingAndGoesOn stops an import after each step in turn. Nothing is to be seen of it, and the next one writes
// what is missing, and comes to the same bytes.
func TestStoppedImportLeavesNothingAndGoesOn(t *testing.T) {
	want := imported(t, OpenStore(t.TempDir()), "llama32", "tiny").Digest()
	folder := llamaFolder(t, "llama32")
	s := OpenStore(t.TempDir())
	stops := 0
	for last := int64(0); ; stops++ {
		ctx, stop := context.WithCancel(context.Background())
		what := request(folder, "tiny")
		first := true
		what.Progress = func(p Progress) {
			if first && stops > 0 && p.Done < last {
				t.Errorf("the import begins at %d of %d bytes, it had come to %d", p.Done, p.Total, last)
			}
			if !first {
				last = p.Done
				stop() // after one step
			}
			first = false
		}
		m, err := s.Import(ctx, what)
		stop()
		if err == nil {
			if m.Digest() != want {
				t.Errorf("digest %s after %d stops, want %s", m.Digest(), stops, want)
			}
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		nothingInstalled(t, s)
		// A crash leaves more in the file than was promised to be there, and something half written beside.
		parts, _ := filepath.Glob(s.path(workFolder, "*", partFile))
		if len(parts) != 1 {
			t.Fatalf("work: %v", parts)
		}
		file, err := os.OpenFile(parts[0], os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		file.WriteString("torn")
		file.Close()
	}
	if stops < 5 {
		t.Errorf("only %d stops", stops)
	}
	if left, _ := os.ReadDir(s.path(workFolder)); len(left) != 0 {
		t.Errorf("work is left: %v", left)
	}
}

// TestHostileSourcesInstallNothing: the error names file and field, and the registry stays empty.
func TestHostileSourcesInstallNothing(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(folder string) error
		want string
	}{
		"truncated": {func(f string) error { return os.Truncate(filepath.Join(f, llama.WeightsFile), 100_000) }, llama.WeightsFile},
		"tampered": {func(f string) error {
			return errors.Join(sums(f), poison(filepath.Join(f, llama.WeightsFile)))
		}, "damaged on its way"},
		"sums of others": {func(f string) error {
			return os.WriteFile(filepath.Join(f, SumsFile), []byte(strings.Repeat("0", 64)+"  tiny/"+llama.WeightsFile+"\n"), 0o600)
		}, "does not list"},
		"sums of a device": {func(f string) error { return os.Symlink(os.DevNull, filepath.Join(f, SumsFile)) }, "no file"}, // a pipe would wait
		"sums of nonsense": {func(f string) error { return os.WriteFile(filepath.Join(f, SumsFile), []byte("hello\n"), 0o600) }, SumsFile},
		"not a number":     {func(f string) error { return poison(filepath.Join(f, llama.WeightsFile)) }, "tensor"},
		"no config":        {func(f string) error { return os.Remove(filepath.Join(f, llama.ConfigFile)) }, llama.ConfigFile},
		"bad name":         {nil, "name"},
		"bad template":     {nil, "template"},
	} {
		t.Run(name, func(t *testing.T) {
			s := OpenStore(t.TempDir())
			what := request(llamaFolder(t, "smollm2"), "tiny")
			switch name {
			case "bad name":
				what.Name = "../tiny"
			case "bad template":
				what.Template = "free text"
			default:
				if err := c.harm(what.From); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.Import(context.Background(), what); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want an error with %s", err, c.want)
			}
			nothingInstalled(t, s)
		})
	}
}

// TestFaultySourceLeavesNoRoomTaken: what is wrong with a source is told with its path, and what was written of it is removed.
func TestFaultySourceLeavesNoRoomTaken(t *testing.T) {
	s := OpenStore(t.TempDir())
	what := request(llamaFolder(t, "smollm2"), "tiny")
	if err := poison(filepath.Join(what.From, llama.WeightsFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Import(context.Background(), what); err == nil || !strings.Contains(err.Error(), what.From) {
		t.Errorf("%v, want an error with %s", err, what.From)
	}
	if left, err := os.ReadDir(s.path(workFolder)); err != nil || len(left) != 0 {
		t.Errorf("%d imports are left under way (%v)", len(left), err)
	}
}

// TestDiskIsNotFilled: an import that would take the last gigabyte, where images go too, is refused before it begins.
func TestDiskIsNotFilled(t *testing.T) {
	folder := t.TempDir()
	if err := room(folder, 0); err != nil {
		t.Skip(err)
	}
	if err := room(folder, 1<<55); err == nil || !strings.Contains(err.Error(), folder) {
		t.Errorf("36 petabytes: %v", err)
	}
}

// TestOneDamagedModelHindersNoOther: with a changed bit in a manifest, or a file that a kill left among the names, the others are listed, imported
// and used, and the damaged one can be put out of use and removed.
func TestOneDamagedModelHindersNoOther(t *testing.T) {
	s := OpenStore(t.TempDir())
	bad, good := imported(t, s, "smollm2", "bad"), imported(t, s, "llama2", "good")
	write(t, s.path(refFolder, ".good1234567"), nil)
	if all, err := s.List(); err != nil || len(all) != 2 {
		t.Errorf("with what a kill left: %d models (%v)", len(all), err)
	}
	if _, err := s.Use("bad"); err != nil {
		t.Fatal(err)
	}
	path := s.path(blobFolder, bad.manifest)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[20] ^= 1
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, path, text)
	if all, err := s.List(); !errors.Is(err, ErrDamaged) || len(all) != 1 || all[0].Name != "good" || !strings.Contains(err.Error(), "bad") {
		t.Errorf("%v (%v)", all, err)
	}
	imported(t, s, "llama32", "new")
	if err := s.Remove("bad"); err == nil {
		t.Error("the model in use is removed")
	}
	if _, err := s.Use("good"); err != nil {
		t.Error(err)
	}
	if err := s.Remove("bad"); err != nil {
		t.Error(err)
	}
	all, err := s.List()
	if err != nil || len(all) != 2 {
		t.Errorf("%v (%v)", all, err)
	}
	for _, m := range all {
		if err := s.Verify(context.Background(), m, nil); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(s.Path(bad, llama.WeightsFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the removed model's weights: %v", err)
	}
	if _, err := s.Get("good"); err != nil || good.Digest() == "" {
		t.Error(err)
	}
}

// sums lists a folder's files in SHA256SUMS.
func sums(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	text := ""
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return err
		}
		text += sumOf(data) + "  " + entry.Name() + "\n"
	}
	return os.WriteFile(filepath.Join(folder, SumsFile), []byte(text), 0o600)
}

// poison makes the last value of a file of float32 no number.
func poison(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	copy(data[len(data)-4:], []byte{0, 0, 0xc0, 0x7f})
	return os.WriteFile(path, data, 0o600)
}

func TestOneImportAtATime(t *testing.T) {
	s := OpenStore(t.TempDir())
	unlock, err := s.lock()
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err := s.Import(context.Background(), request(llamaFolder(t, "smollm2"), "tiny")); !errors.Is(err, ErrBusy) {
		t.Errorf("a second import: %v", err)
	}
}

// TestAdaptersBelongToTheirBase: an adapter is taken as it is, for a model it fits, and used with that model alone.
func TestAdaptersBelongToTheirBase(t *testing.T) {
	s := OpenStore(t.TempDir())
	base, other := imported(t, s, "llama32", "base"), imported(t, s, "smollm2", "other")
	peft := t.TempDir()
	if err := os.CopyFS(peft, os.DirFS(filepath.Join("..", "llama", "testdata", "tiny", "adapter"))); err != nil {
		t.Fatal(err)
	}
	take := func(base, name string) (*Model, error) {
		return s.ImportAdapter(AdapterImport{From: peft, Name: name, Base: base, Now: noon})
	}
	if _, err := take("other", "wrong"); err == nil || !strings.Contains(err.Error(), "adapter") {
		t.Errorf("an adapter of another shape: %v", err)
	}
	a, err := take("base", "reports")
	if err != nil {
		t.Fatal(err)
	}
	if a.Base.Digest != base.Digest() {
		t.Errorf("base %s, want %s", a.Base.Digest, base.Digest())
	}
	before, _ := os.ReadFile(filepath.Join(peft, llama.AdapterWeightsFile))
	if after, err := fs.ReadFile(s.Open(a), llama.AdapterWeightsFile); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the adapter's weights were changed (%v)", err)
	}
	if _, err := s.Use("reports"); err == nil || !strings.Contains(err.Error(), "starter") {
		t.Errorf("an adapter over the starter's model: %v", err)
	}
	use := func(name, wantDropped string) {
		t.Helper()
		if dropped, err := s.Use(name); err != nil || dropped != wantDropped {
			t.Fatalf("use %s: dropped %q (%v)", name, dropped, err)
		}
	}
	use("other", "")
	if _, err := s.Use("reports"); err == nil || !strings.Contains(err.Error(), "other") {
		t.Errorf("an adapter over another model: %v", err)
	}
	use("base", "")
	use("reports", "")
	use("base", "") // the same again keeps it
	if err := s.Remove("base"); err == nil {
		t.Error("the model in use is removed")
	}
	use("other", "reports")
	if used, err := s.InUse(RoleAdapter); err != nil || used != nil {
		t.Errorf("adapter %v is still in use (%v)", used, err)
	}
	if err := s.Remove("base"); err == nil || !strings.Contains(err.Error(), "reports") {
		t.Errorf("a base with an adapter is removed: %v", err)
	}
	// An adapter that says what it was made for is held to it.
	write(t, filepath.Join(peft, llama.AdapterManifestFile), []byte(`{"template":"paper/1","base_digest":"`+other.Digest()+`"}`))
	if _, err := take("base", "elsewhere"); err == nil || !strings.Contains(err.Error(), llama.AdapterManifestFile) {
		t.Errorf("an adapter of another base: %v", err)
	}
	if _, err := s.UseStarter(RoleLanguageModel); err != nil {
		t.Fatal(err)
	}
	if used, err := s.InUse(RoleLanguageModel); err != nil || used != nil {
		t.Errorf("back to the starter: %v (%v)", used, err)
	}
}

// TestNamesMeanOneThing: the starter's name is no other model's, and an adapter does not take the place of a language model, nor is one used as an adapter.
func TestNamesMeanOneThing(t *testing.T) {
	s := OpenStore(t.TempDir())
	tiny := imported(t, s, "llama2", "tiny")
	if _, err := s.Import(context.Background(), request(llamaFolder(t, "smollm2"), StarterName)); err == nil || !strings.Contains(err.Error(), "--name") {
		t.Errorf("a model by the name %s: %v", StarterName, err)
	}
	folder := filepath.Join("..", "llama", "testdata", "tiny", "adapter")
	if _, err := s.ImportAdapter(AdapterImport{From: folder, Name: "tiny", Base: "tiny", Now: noon}); err == nil || !strings.Contains(err.Error(), "--name") {
		t.Errorf("an adapter by its base's name: %v", err)
	}
	if m, err := s.Get("tiny"); err != nil || m.Digest() != tiny.Digest() {
		t.Errorf("%+v (%v)", m, err)
	}
	if err := s.UseAdapter("tiny"); err == nil {
		t.Error("a language model is used as an adapter")
	}
	if m, err := s.InUse(RoleLanguageModel); m != nil || err != nil {
		t.Errorf("%+v is in use (%v)", m, err)
	}
}

// TestModelInUseSurvivesItsSuccessor: importing another model under a name that is in use changes nothing until it is chosen.
func TestModelInUseSurvivesItsSuccessor(t *testing.T) {
	s := OpenStore(t.TempDir())
	first := imported(t, s, "smollm2", "tiny")
	if _, err := s.Use("tiny"); err != nil {
		t.Fatal(err)
	}
	imported(t, s, "llama2", "tiny")
	used, err := s.InUse(RoleLanguageModel)
	if err != nil || used.Digest() != first.Digest() {
		t.Fatalf("in use: %+v (%v)", used, err)
	}
	if err := s.Verify(context.Background(), used, nil); err != nil {
		t.Error(err)
	}
}

// TestBackToAReplacedAdapter: who goes back gets the adapter that was in use, also where another has its name by now; one that was removed is not gone back to.
func TestBackToAReplacedAdapter(t *testing.T) {
	s := OpenStore(t.TempDir())
	imported(t, s, "llama32", "base")
	if _, err := s.Use("base"); err != nil {
		t.Fatal(err)
	}
	take := func(version byte, name string) *Model {
		peft := t.TempDir()
		if err := os.CopyFS(peft, os.DirFS(filepath.Join("..", "llama", "testdata", "tiny", "adapter"))); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(peft, llama.AdapterConfigFile)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, append(text, bytes.Repeat([]byte("\n"), int(version))...))
		m, err := s.ImportAdapter(AdapterImport{From: peft, Name: name, Base: "base", Now: noon})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	inUse := func(want *Model) {
		t.Helper()
		m, err := s.InUse(RoleAdapter)
		if err != nil || m.Digest() != want.Digest() {
			t.Fatalf("%v (%v) is in use, not %v", m, err, want)
		}
		if err := s.Verify(t.Context(), m, nil); err != nil {
			t.Fatal(err)
		}
	}
	back := func(want string) {
		t.Helper()
		if name, err := s.UsePreviousAdapter(); err != nil || name != want {
			t.Fatalf("back to %q (%v)", name, err)
		}
	}
	take(0, "older")
	first := take(1, "site")
	if err := errors.Join(s.UseAdapter("older"), s.UseAdapter("site")); err != nil {
		t.Fatal(err)
	}
	second := take(2, "site")
	if err := s.UseAdapter("site"); err != nil {
		t.Fatal(err)
	}
	inUse(second)
	take(3, "another") // which sweeps
	back("site")
	inUse(first)
	back("site")
	inUse(second)
	if err := errors.Join(s.UseAdapter("older"), s.Remove("site")); err != nil {
		t.Fatal(err)
	}
	if name, err := s.UsePreviousAdapter(); err == nil {
		t.Errorf("back to %q, which was removed", name)
	}
	if err := s.UseAdapter("another"); err != nil {
		t.Fatal(err)
	}
	write(t, s.path(useFolder, beforeFile), []byte("older\n")) // as earlier versions wrote it
	back("older")
}
