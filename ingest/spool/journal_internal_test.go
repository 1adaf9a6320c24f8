package spool

import (
	"bytes"
	"errors"
	"testing"
)

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
