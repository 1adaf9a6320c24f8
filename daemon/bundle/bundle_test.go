package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"llamaxr/inference/models"
	"llamaxr/inference/signing"
	"llamaxr/internal/peertest"
)

// site is a registry with a signed adapter, the key that it and bundles are signed by, and a program.
type site struct {
	store   *models.Store
	key     ed25519.PrivateKey
	trusted []ed25519.PublicKey
	keyFile string
	program string
	adapter *models.Model
}

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{store: models.OpenStore(t.TempDir()), keyFile: filepath.Join(t.TempDir(), "key"), program: filepath.Join(t.TempDir(), "llamaxr")}
	public, err := signing.NewKey(s.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if s.key, err = signing.ReadPrivate(s.keyFile); err != nil {
		t.Fatal(err)
	}
	s.trusted = []ed25519.PublicKey{public}
	starter, err := models.Starter()
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Sub(starter.Files, models.AdapterFolder)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	err = errors.Join(os.CopyFS(filepath.Join(folder, "site"), files), os.WriteFile(s.program, []byte("#!/bin/sh\necho new\n"), 0o700))
	if err != nil {
		t.Fatal(err)
	}
	if s.adapter, err = s.store.ImportAdapter(models.AdapterImport{From: filepath.Join(folder, "site"), Name: "site", Base: models.StarterName}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.store.Sign(t.Context(), "site", s.key); err != nil {
		t.Fatal(err)
	}
	return s
}

// made is when bundles are made unless a test says another time.
var made = time.Unix(1e9, 0)

func (s *site) bundle(t testing.TB) []byte {
	return s.of(t, Content{Models: []string{"site"}, Program: s.program, Now: made})
}

func (s *site) of(t testing.TB, what Content) []byte {
	t.Helper()
	var out bytes.Buffer
	what.By = "a test"
	if _, err := Create(&out, s.store, what, s.key); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// entries are the files of a tar file.
func entries(t testing.TB, data []byte) (headers []*tar.Header, contents [][]byte) {
	t.Helper()
	in := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return headers, contents
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		headers, contents = append(headers, h), append(contents, content)
	}
}

func packed(t testing.TB, headers []*tar.Header, contents [][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i, h := range headers {
		h := *h
		h.Size = int64(len(contents[i]))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(contents[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestFromSiteToSite: a bundle brings an adapter with its signature, and the program, to another registry; tar, sha256sum and openssl agree with it, and two
// bundles of the same are the same bytes.
func TestFromSiteToSite(t *testing.T) {
	s := newSite(t)
	data := s.bundle(t)
	if !bytes.Equal(data, s.bundle(t)) {
		t.Error("made again it is other bytes")
	}
	there := models.OpenStore(t.TempDir())
	program := filepath.Join(t.TempDir(), "llamaxr")
	if err := os.WriteFile(program, []byte("old"), 0o755); err != nil {
		t.Fatal(err)
	}
	m, err := Install(bytes.NewReader(data), there, s.trusted, Target{Program: program})
	if err != nil {
		t.Fatal(err)
	}
	got, err := there.Trusting(s.trusted).Get("site")
	if err != nil || got.Digest() != s.adapter.Digest() {
		t.Fatalf("%+v, %v", got, err)
	}
	if err := there.Trusting(s.trusted).Verify(t.Context(), got, nil); err != nil {
		t.Error(err)
	}
	if _, err := there.Trusting(s.trusted).Use("site"); err != nil {
		t.Error(err)
	}
	if out, err := exec.Command(program).Output(); err != nil || string(out) != "new\n" {
		t.Errorf("the program says %q: %v", out, err)
	}
	if _, err := Install(bytes.NewReader(data), there, s.trusted, Target{}); err != nil {
		t.Errorf("once more: %v", err)
	}

	folder := t.TempDir()
	var sums strings.Builder
	for _, f := range m.Files {
		fmt.Fprintf(&sums, "%s  %s\n", f.SHA256, f.Name)
	}
	run := func(in string, name string, args ...string) {
		t.Helper()
		cmd := exec.Command(peertest.Program(t, name), args...)
		cmd.Dir, cmd.Stdin = folder, strings.NewReader(in)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	run(string(data), "tar", "xf", "-")
	run(sums.String(), "sha256sum", "--strict", "-c")
	manifest, err := os.ReadFile(filepath.Join(folder, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "signed"), append([]byte("llamaxr bundle v1\n"), manifest...), 0o600); err != nil {
		t.Fatal(err)
	}
	run("", "openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", s.keyFile+signing.PublicSuffix, "-in", "signed", "-sigfile", "manifest.sig")
}

// TestOlderBundle: what a newer bundle brought is not replaced by an older one, however well signed, unless that one is named; and what it did not
// bring has no age.
func TestOlderBundle(t *testing.T) {
	s := newSite(t)
	day := 24 * time.Hour
	there := models.OpenStore(t.TempDir())
	program := filepath.Join(t.TempDir(), "llamaxr")
	install := func(what Content, target Target) error {
		_, err := Install(bytes.NewReader(s.of(t, what)), there, s.trusted, target)
		return err
	}
	says := func(want string) {
		t.Helper()
		if text, err := os.ReadFile(program); err != nil || string(text) != want {
			t.Errorf("the program is %q, want %q: %v", text, want, err)
		}
	}
	version := func(text string, now time.Time) Content {
		t.Helper()
		if err := os.WriteFile(s.program, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		return Content{Program: s.program, Now: now}
	}
	model := func(now time.Time) Content { return Content{Models: []string{"site"}, Now: now} }
	for _, step := range []struct {
		what  string
		err   error
		older string // name of what is older
	}{
		{"the program", install(version("2", made.Add(2*day)), Target{Program: program}), ""},
		{"an older model, which nothing newer brought", install(model(made), Target{}), ""},
		{"an older program", install(version("1", made.Add(day)), Target{Program: program}), "the program"},
		{"an older program that is left alone", install(version("1", made.Add(day)), Target{}), ""},
		{"another one named", install(version("1", made.Add(day)), Target{Program: program, Older: made}), "the program"},
		{"the same once more", install(version("2", made.Add(2*day)), Target{Program: program}), ""},
		{"a newer model", install(model(made.Add(3*day)), Target{}), ""},
		{"an older model", install(model(made.Add(day)), Target{}), "site"},
		{"an older model, named", install(model(made.Add(day)), Target{Older: made.Add(day)}), ""},
		{"from where it was gone back to", install(model(made.Add(2*day)), Target{}), ""},
	} {
		var older *models.OlderError
		if errors.As(step.err, &older) != (step.older != "") || step.older == "" && step.err != nil || older != nil && older.Name != step.older {
			t.Errorf("%s: %v, want one about %q", step.what, step.err, step.older)
		}
	}
	says("2")
	if err := install(version("1", made.Add(day)), Target{Program: program, Older: made.Add(day)}); err != nil {
		t.Error(err)
	}
	says("1")
}

// TestTampering: whatever is changed in a bundle, nothing is installed, and the error names the file.
func TestTampering(t *testing.T) {
	s := newSite(t)
	data := s.bundle(t)
	headers, contents := entries(t, data)
	refused := func(what string, data []byte, want error, names string) {
		t.Helper()
		root := t.TempDir()
		store := models.OpenStore(root)
		program := filepath.Join(root, "program")
		_, err := Install(bytes.NewReader(data), store, s.trusted, Target{Program: program})
		if !errors.Is(err, want) || !strings.Contains(err.Error(), names) {
			t.Errorf("%s: %v, want %v of %s", what, err, want, names)
		}
		if _, err := Verify(bytes.NewReader(data), s.trusted); !errors.Is(err, want) {
			t.Errorf("%s: verified: %v", what, err)
		}
		all, err := store.List()
		if err != nil || len(all) > 0 {
			t.Errorf("%s: installed: %v, %v", what, all, err)
		}
		for _, pattern := range []string{"blobs/*", "signatures/*", ".stage-*", "program*", ".program*"} {
			if left, _ := filepath.Glob(filepath.Join(root, pattern)); len(left) > 0 {
				t.Errorf("%s: left behind: %v", what, left)
			}
		}
	}
	for i, h := range headers {
		want := ErrDamaged
		if i < 2 {
			want = signing.ErrUntrusted // of the manifest and its signature
		}
		names := h.Name
		if i == 1 {
			names = manifestFile
		}
		changed := slices.Clone(contents)
		changed[i] = bytes.Clone(changed[i])
		changed[i][len(changed[i])/2] ^= 1
		refused("one bit of "+h.Name, packed(t, headers, changed), want, names)
		changed[i] = contents[i][:len(contents[i])-1]
		refused("a byte less of "+h.Name, packed(t, headers, changed), want, names)
		refused("without "+h.Name, packed(t, slices.Delete(slices.Clone(headers), i, i+1), slices.Delete(slices.Clone(contents), i, i+1)), ErrDamaged, h.Name)
		link := *h
		link.Typeflag, link.Linkname = tar.TypeSymlink, "/etc/passwd"
		linked, empty := slices.Clone(headers), slices.Clone(contents)
		linked[i], empty[i] = &link, nil
		refused("a link for "+h.Name, packed(t, linked, empty), ErrDamaged, h.Name)
	}
	more := &tar.Header{Name: "models/refs/evil", Mode: 0o600, Typeflag: tar.TypeReg}
	refused("one file more", packed(t, append(slices.Clone(headers), more), append(slices.Clone(contents), []byte("x"))), ErrDamaged, more.Name)
	swapped := slices.Clone(headers)
	swapped[2], swapped[3] = swapped[3], swapped[2]
	refused("another order", packed(t, swapped, contents), ErrDamaged, headers[2].Name)
	for _, at := range []int{0, 1, 100, len(data) / 2, len(data) - 1024 - 512 - 1} { // the last: within the last file; only end marks come after it
		refused(fmt.Sprintf("cut at %d", at), data[:at], ErrDamaged, "")
	}
	_, err := Verify(bytes.NewReader(data), newSite(t).trusted)
	if !errors.Is(err, signing.ErrUntrusted) {
		t.Errorf("by the key of another site: %v", err)
	}

	// A signer's own mistakes, or malice with the key in hand: names lead nowhere, a model needs its manifest.
	for what, change := range map[string]func(*Manifest){
		"a path":           func(m *Manifest) { m.Files[0].Name = "../../etc/passwd" },
		"another room":     func(m *Manifest) { m.Files[0].Name = "models/use/adapter" },
		"twice":            func(m *Manifest) { m.Files[1] = m.Files[0] },
		"no manifest":      func(m *Manifest) { m.Models[0].Manifest = strings.Repeat("0", 64) },
		"a later format":   func(m *Manifest) { m.Format = 2 },
		"a negative size":  func(m *Manifest) { m.Files[0].Size = -1 },
		"endless":          func(m *Manifest) { m.Files[0].Size = 1 << 60 },
		"not a model file": func(m *Manifest) { m.Models[0].Manifest = m.Files[0].SHA256 },
	} {
		var m Manifest
		if err := json.Unmarshal(contents[0], &m); err != nil {
			t.Fatal(err)
		}
		change(&m)
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		signed := slices.Clone(contents)
		signed[0], signed[1] = text, signing.Sign(s.key, signing.Bundle, text)
		store := models.OpenStore(t.TempDir())
		if _, err := Install(bytes.NewReader(packed(t, headers, signed)), store, s.trusted, Target{}); err == nil {
			t.Errorf("%s: installed", what)
		}
		if all, _ := store.List(); len(all) > 0 {
			t.Errorf("%s: %d models", what, len(all))
		}
	}
}

// FuzzRead: bytes of anybody's install nothing.
func FuzzRead(f *testing.F) {
	s := newSite(f)
	data := s.bundle(f)
	f.Add(data[:4096])
	f.Add([]byte{})
	other := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	trusted, _ := other.Public().(ed25519.PublicKey)
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := Verify(bytes.NewReader(data), []ed25519.PublicKey{trusted}); !errors.Is(err, ErrDamaged) && !errors.Is(err, signing.ErrUntrusted) {
			t.Errorf("%v", err)
		}
	})
}
