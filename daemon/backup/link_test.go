package backup

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"llamaxr/daemon/chain"
)

// TestLinkedAhead: what was linked ahead of the moment is linked as it is at the moment, whatever was added, replaced or removed since; what did
// not change is not read again.
func TestLinkedAhead(t *testing.T) {
	state := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		path, aside := filepath.Join(state, name), filepath.Join(state, "aside-file")
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(aside, []byte(text), 0o600), os.Rename(aside, path)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"objects/0a/one.dcm", "objects/0b/two.dcm", "drafts/x/1/draft.json", "drafts/y/1/draft.json", "drafts/z/1/draft.json"} {
		put(name, "first")
	}
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{"objects", "objects/0a", "objects/0b", "drafts", "drafts/x", "drafts/x/1", "drafts/y", "drafts/y/1", "drafts/z"} { // not drafts/z/1
		if err := os.Chtimes(filepath.Join(state, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	l := linker{state: state, root: t.TempDir(), ahead: map[string]folder{}}
	if err := l.linkAhead(); err != nil {
		t.Fatal(err)
	}
	if _, fresh := l.ahead["drafts/z/1"]; fresh || len(l.ahead) != 9 {
		t.Errorf("linked ahead for good: %v", l.ahead)
	}
	put("objects/0b/three.dcm", "added")
	put("objects/0c/four.dcm", "added")
	put("drafts/x/1/draft.json", "replaced")
	put("drafts/z/1/draft.json", "replaced")
	put("audit.log", "added")
	if err := os.RemoveAll(filepath.Join(state, "drafts/y")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(state, "objects/0a/unseen.dcm"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(state, "objects/0a"), old, old); err != nil { // as if nothing had happened
		t.Fatal(err)
	}
	got := map[string]string{}
	err := l.walk(".", func(_ string, f folder) {
		for _, file := range f.files {
			text, err := os.ReadFile(filepath.Join(l.root, file.Name))
			if err != nil || int64(len(text)) != file.Size {
				t.Errorf("%s: %v, %d bytes of %d", file.Name, err, len(text), file.Size)
			}
			got[file.Name] = string(text)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"objects/0a/one.dcm": "first", "objects/0b/two.dcm": "first", "objects/0b/three.dcm": "added", "objects/0c/four.dcm": "added",
		"drafts/x/1/draft.json": "replaced", "drafts/z/1/draft.json": "replaced", "audit.log": "added",
	}
	if !maps.Equal(got, want) {
		t.Errorf("linked %v\nwant   %v", got, want)
	}
}

// TestHeadsAreLinkedFirst: a log that grows while the state is linked is not behind its head.
func TestHeadsAreLinkedFirst(t *testing.T) {
	l := linker{state: t.TempDir(), root: t.TempDir()}
	logs := []string{"audit.log", "drafts.log"}
	for _, log := range logs {
		for _, name := range []string{log, chain.HeadFile(log)} {
			if err := os.WriteFile(filepath.Join(l.state, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	f, err := l.link(".")
	if err != nil || len(f.files) != 2*len(logs) {
		t.Fatalf("%+v, %v", f.files, err)
	}
	at := func(name string) int { return slices.IndexFunc(f.files, func(f File) bool { return f.Name == name }) }
	for _, log := range logs {
		if at(chain.HeadFile(log)) > at(log) {
			t.Errorf("linked in the order %+v", f.files)
		}
	}
}
