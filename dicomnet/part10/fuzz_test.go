package part10

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
)

// FuzzDecode reads whatever comes as the head of a file. What is understood is written and read back as the same.
func FuzzDecode(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := Decode(bytes.NewReader(data))
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 8*MaxMeta {
			t.Errorf("%d bytes allocated", grown)
		}
		if err != nil {
			if !strings.HasPrefix(err.Error(), "part10: ") {
				t.Errorf("error %q does not say where it comes from", err)
			}
			return
		}
		if m.Length < preambleLength+4 || m.Length > int64(len(data)) {
			t.Fatalf("the data set begins at %d of %d bytes", m.Length, len(data))
		}
		head := Encode(*m, "1.2.3", "FUZZ")
		got, err := Decode(bytes.NewReader(head))
		if err != nil {
			t.Fatalf("%+v does not read back: %v", m, err)
		}
		m.Length = int64(len(head))
		if *got != *m {
			t.Errorf("wrote %+v, read %+v", m, got)
		}
	})
}
