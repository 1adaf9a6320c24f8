package spool

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"testing"
)

// TestFewAndManyWriters: objects of a few writers, which are hashed beside their writing, and of many have the digests and the bytes of what came,
// though the caller's buffer is another's the moment after. What is over, however it ended, is no longer counted.
func TestFewAndManyWriters(t *testing.T) {
	s, err := Open(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	const pieces, length = 50, 100_000 // past two writeBackEvery
	for _, n := range []int{1, fewWriters, fewWriters + 3} {
		writers, sums, buffer := make([]*Writer, n), make([][]byte, n), make([]byte, length)
		for i := range writers {
			if writers[i], err = s.Begin(nil); err != nil {
				t.Fatal(err)
			}
		}
		if s.quiet() != (n <= fewWriters) {
			t.Errorf("%d writers: quiet %v", n, s.quiet())
		}
		for piece := range pieces {
			for i, w := range writers {
				for k := range buffer {
					buffer[k] = byte(k*(i+3) + piece)
				}
				sums[i] = append(sums[i], buffer...)
				if _, err := w.Write(buffer); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i, w := range writers {
			want := sha256.Sum256(sums[i])
			if got := w.SHA256(); got != hex.EncodeToString(want[:]) {
				t.Errorf("%d writers, object %d: digest %s, want %x", n, i, got, want)
			}
			if i%2 == 1 {
				w.Abort()
				continue
			}
			path, err := w.Commit(fmt.Sprint(n, i))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(s.Path(path)); err != nil || !bytes.Equal(got, sums[i]) {
				t.Errorf("%d writers, object %d: %d bytes, %v", n, i, len(got), err)
			}
			w.Abort() // of no effect on the count
		}
		if left := s.writers.Load(); left != 0 {
			t.Errorf("%d writers: %d are still counted", n, left)
		}
	}
}

// FuzzSlot: a slot that was changed anywhere, or cut off, is torn or empty, never another object.
func FuzzSlot(f *testing.F) {
	raw := slotOf("objects/00/a.dcm", []byte("HEAD|data set"))
	f.Add(raw, "objects/00/a.dcm", []byte("HEAD|data set"), 3, byte(1))
	f.Add(raw[:20], "x", []byte{}, 0, byte(0))
	f.Fuzz(func(t *testing.T, raw []byte, path string, file []byte, at int, change byte) {
		if got, content, err := decodeSlot(raw); err == nil && got != "" && !bytes.Equal(slotOf(got, content), raw[:slotHead+len(got)+len(content)]) {
			t.Errorf("decoded %q and %d bytes from another slot", got, len(content))
		}
		if path == "" || len(path) > 1000 {
			return
		}
		whole := slotOf(path, file)
		if got, content, err := decodeSlot(append(bytes.Clone(whole), raw...)); err != nil || got != path || !bytes.Equal(content, file) {
			t.Fatalf("%q, %d bytes: came back as %q, %d bytes, %v", path, len(file), got, len(content), err)
		}
		if change == 0 || at < 0 || at >= len(whole) {
			return
		}
		whole[at] ^= change
		if got, _, err := decodeSlot(whole); got != "" || at >= len(journalMark) && !errors.Is(err, errTorn) {
			t.Errorf("byte %d changed: %q, %v", at, got, err)
		}
	})
}

func slotOf(path string, file []byte) []byte {
	raw := append(make([]byte, slotHead+len(path)), file...)
	encodeSlot(raw, path)
	return raw
}
