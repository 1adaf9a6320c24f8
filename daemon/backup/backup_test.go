package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llamaxr/internal/durable"
	"llamaxr/queue"
	"llamaxr/study"
)

// came is when an object of the small state did.
var came = time.Date(2020, 1, 2, 3, 4, 5, 123456789, time.UTC)

// state makes a small state: two objects that the ledger knows and one that it does not.
func state(t testing.TB) (folder string, db *queue.DB) {
	t.Helper()
	folder = t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"objects/0a/one.dcm": "one", "objects/0b/two.dcm": strings.Repeat("two", 5000), "objects/0c/unknown.dcm": "never acknowledged", "drafts/x/1/draft.json": "{}",
		"incoming/object-1": "half", "drafts/x/1/.draft.json123": "half", "audit.log": "line\n", "llamaxr.db.damaged-x": "old", ".backup-1/objects/0a/one.dcm": "of a backup that was killed",
		LostAndFound + "/#12": "of the file system",
	} {
		write(name, text)
	}
	closed := filepath.Join(folder, LostAndFound) // root's, who alone enters it
	if err := os.Chmod(closed, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(closed, 0o700) })
	if err := os.Chtimes(filepath.Join(folder, "objects", "0b", "two.dcm"), came, came); err != nil {
		t.Fatal(err)
	}
	db, err := queue.Open(filepath.Join(folder, database), queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	err = db.Update(func(tx *queue.Tx) error {
		s := &queue.Study{UID: "1.2"}
		for i, name := range []string{"0a/one", "0b/two"} {
			uid := fmt.Sprintf("1.2.%d", i)
			s.Instances = append(s.Instances, uid)
			i := &queue.Instance{Instance: study.Instance{Path: "objects/" + name + ".dcm", Header: study.Header{SOPInstanceUID: uid, StudyInstanceUID: "1.2"}}}
			if err := tx.PutInstance(i); err != nil {
				return err
			}
		}
		return tx.PutStudy(s)
	})
	if err != nil {
		t.Fatal(err)
	}
	return folder, db
}

// write writes an archive of the state as it is.
func write(ctx context.Context, w io.Writer, folder string, db *queue.DB) (Header, error) {
	m, err := Take(folder, db)
	if err != nil {
		return Header{}, err
	}
	defer m.Release(folder)
	return m.Write(ctx, w, folder, "test")
}

// written is an archive of the small state.
func written(t testing.TB) []byte {
	t.Helper()
	folder, db := state(t)
	var buf bytes.Buffer
	header, err := write(t.Context(), &buf, folder, db)
	if err != nil {
		t.Fatal(err)
	}
	if header.Studies != 1 || header.Instances != 2 {
		t.Errorf("described as %+v", header)
	}
	if left, _ := filepath.Glob(filepath.Join(folder, stagePattern)); len(left) != 1 {
		t.Errorf("stages are left: %v", left)
	}
	if err := Tidy(folder); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(folder, stagePattern)); len(left) != 0 {
		t.Errorf("after tidying: %v", left)
	}
	return buf.Bytes()
}

// TestArchiveByTar: tar and sha256sum read an archive and find it whole; it holds what it should and nothing else.
func TestArchiveByTar(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "b.tar"), written(t), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-ec", "tar xf b.tar; rm b.tar; sha256sum --strict -c SHA256SUMS; find . -type f | sort")
	cmd.Dir = folder
	out, err := cmd.CombinedOutput()
	want := "./SHA256SUMS ./audit.log ./drafts/x/1/draft.json ./llamaxr-backup.json ./llamaxr.db ./objects/0a/one.dcm ./objects/0b/two.dcm"
	if lines := strings.Fields(string(out[max(bytes.Index(out, []byte("./SHA256SUMS")), 0):])); err != nil || strings.Join(lines, " ") != want {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestRestore: what was there is there again, byte for byte, and the database opens; on a disk of its own too.
func TestRestore(t *testing.T) {
	data := written(t)
	to := filepath.Join(t.TempDir(), "new", "state")
	if err := os.MkdirAll(filepath.Join(to, LostAndFound), 0o700); err != nil {
		t.Fatal(err)
	}
	calls := 0
	header, err := Restore(bytes.NewReader(data), to, func(done, total int64) { calls++ })
	if err != nil || header.Files != 5 || calls == 0 {
		t.Fatalf("%v, %+v, %d calls", err, header, calls)
	}
	if got, err := os.ReadFile(filepath.Join(to, "objects", "0b", "two.dcm")); err != nil || string(got) != strings.Repeat("two", 5000) {
		t.Errorf("%v, %d bytes", err, len(got))
	}
	if info, err := os.Stat(filepath.Join(to, "objects", "0b", "two.dcm")); err != nil || !info.ModTime().Equal(came) {
		t.Errorf("%v: it came %s, its file says %s", err, came, info.ModTime())
	}
	db, err := queue.Open(filepath.Join(to, database), queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View((*queue.Tx).Check); err != nil {
		t.Error(err)
	}
	if _, err := Restore(bytes.NewReader(data), to, nil); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("over another state: %v", err)
	}
}

// TestDamagedArchives: whatever bit is changed and wherever it is cut off, nothing is restored and the reason is told.
func TestDamagedArchives(t *testing.T) {
	data := written(t)
	attempt := func(what string, data []byte) {
		t.Helper()
		to := filepath.Join(t.TempDir(), "state")
		if _, err := Restore(bytes.NewReader(data), to, nil); err == nil {
			t.Errorf("%s: restored", what)
		}
		if left, _ := os.ReadDir(to); len(left) > 0 {
			t.Errorf("%s: %v is left", what, left)
		}
	}
	// The tail of zeros that ends a tar, and the padding and times of entries, are not part of any file.
	in := tar.NewReader(bytes.NewReader(data))
	for at := 0; ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		at = bytes.Index(data, []byte(h.Name+"\x00"))
		for _, offset := range []int64{0, 124, 512, 512 + h.Size/2, 512 + h.Size - 1} { // name, size, contents
			bad := bytes.Clone(data)
			bad[int64(at)+offset] ^= 0x01
			attempt(fmt.Sprintf("bit at %d of %s", offset, h.Name), bad)
		}
		attempt("cut before "+h.Name, data[:at])
		attempt("cut in "+h.Name, data[:int64(at)+512+h.Size/2])
	}
}

// TestForeignArchives: names that lead elsewhere and entries that are no files are not followed.
func TestForeignArchives(t *testing.T) {
	header := `{"format":1,"bytes":1000}`
	for what, entries := range map[string][]tar.Header{
		"no backup":      {{Name: "readme"}},
		"a later format": {{Name: headerName, Size: int64(len(`{"format":9}`)), Uname: `{"format":9}`}},
		"upwards":        {{Name: headerName}, {Name: "../evil"}},
		"absolute":       {{Name: headerName}, {Name: "/tmp/evil"}},
		"not clean":      {{Name: headerName}, {Name: "a//b"}},
		"a link":         {{Name: headerName}, {Name: "a", Typeflag: tar.TypeSymlink, Linkname: "/etc"}},
		"too much":       {{Name: headerName}, {Name: "a", Size: 1001}},
		"twice":          {{Name: headerName}, {Name: "a"}, {Name: "a"}},
		"file as folder": {{Name: headerName}, {Name: "a"}, {Name: "a/b"}},
		"no sums":        {{Name: headerName}, {Name: "a"}},
		"empty sums":     {{Name: headerName}, {Name: "a"}, {Name: sumsName}},
	} {
		var buf bytes.Buffer
		out := tar.NewWriter(&buf)
		for _, h := range entries {
			body := h.Uname
			if h.Name == headerName && body == "" {
				body = header
			}
			h.Uname, h.Size = "", max(h.Size, int64(len(body)))
			if err := out.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(out, body+strings.Repeat("x", int(h.Size)-len(body))); err != nil {
				t.Fatal(err)
			}
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		to := t.TempDir()
		if _, err := Restore(&buf, to, nil); err == nil {
			t.Errorf("%s: restored", what)
		}
		if left, _ := os.ReadDir(to); len(left) > 0 {
			t.Errorf("%s: %v is left", what, left)
		}
	}
}

// TestWhatIsRemovedMeanwhile: a file that is removed, replaced or written on after the moment is kept as it was.
func TestWhatIsRemovedMeanwhile(t *testing.T) {
	folder, db := state(t)
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := write(t.Context(), w, folder, db)
		done <- errors.Join(err, w.CloseWithError(err))
	}()
	first := make([]byte, 1) // the moment is over when the first byte comes
	if _, err := io.ReadFull(r, first); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(folder, "objects", "0a", "one.dcm")); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(folder, "other")
	if err := errors.Join(os.WriteFile(other, []byte("newer"), 0o600), os.Rename(other, filepath.Join(folder, "drafts", "x", "1", "draft.json"))); err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(folder, "audit.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.WriteString("later\n"); err != nil {
		t.Fatal(err)
	}
	log.Close()
	if err := db.Update(func(tx *queue.Tx) error { return tx.PutStudy(&queue.Study{UID: "1.3"}) }); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "state")
	header, err := Restore(io.MultiReader(bytes.NewReader(first), r), to, nil)
	if err != nil || header.Studies != 1 {
		t.Fatalf("%v, %+v", err, header)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{"objects/0a/one.dcm": "one", "drafts/x/1/draft.json": "{}", "audit.log": "line\n"} {
		if got, err := fs.ReadFile(os.DirFS(to), name); err != nil || string(got) != want {
			t.Errorf("%s: %v, %q", name, err, got)
		}
	}
}

// TestNoRoomForTheCopy: a database whose copy would fill the disk is not copied, and nothing is left of the try.
func TestNoRoomForTheCopy(t *testing.T) {
	folder, db := state(t)
	free, err := durable.Free(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(folder, database), free); err != nil { // a hole takes no space
		t.Skipf("no file that large here: %v", err)
	}
	if _, err := write(t.Context(), io.Discard, folder, db); err == nil || !strings.Contains(err.Error(), "bytes are free") {
		t.Errorf("%v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(folder, stagePattern)); len(left) != 1 { // the one of the small state
		t.Errorf("stages are left: %v", left)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(written(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = Verify(bytes.NewReader(data), nil)
	})
}
