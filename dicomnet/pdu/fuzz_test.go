package pdu

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"runtime"
	"testing"
)

// FuzzRead reads whatever comes as a stream of PDUs. Each that is understood is written and read back as the same; memory is bounded by
// what was received and by the limits.
func FuzzRead(f *testing.F) {
	const limit = 16 << 10
	f.Fuzz(func(t *testing.T, data []byte) {
		in := bytes.NewReader(data)
		var buf []byte
		for {
			var before, after runtime.MemStats
			left := in.Len()
			runtime.ReadMemStats(&before)
			p, next, err := Read(in, limit, buf)
			runtime.ReadMemStats(&after)
			buf = next
			// The buffer of a PDU of the greatest length, and what each byte of it can be worth: a presentation data value of 6 bytes
			// is described in 40, with the waste of a slice that doubles.
			if grown, most := after.TotalAlloc-before.TotalAlloc, uint64(MaxAssociateLength+64<<10+40*(left-in.Len())); grown > most {
				t.Errorf("%d bytes allocated for %d read, at most %d were expected", grown, left-in.Len(), most)
			}
			if err != nil {
				var format *FormatError
				if !errors.As(err, &format) && !errors.Is(err, ErrUnrecognised) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("an error of no kind that callers know: %v", err)
				}
				return
			}
			again(t, p)
		}
	})
}

// again holds p to what its own encoding decodes to.
func again(t *testing.T, p PDU) {
	t.Helper()
	if a, ok := p.(*Associate); ok { // we write only the version and the application context that there are
		a.ProtocolVersion, a.ApplicationContext = 1, ApplicationContext
		for i := range a.Contexts {
			if a.Accept {
				a.Contexts[i].AbstractSyntax = ""
			}
		}
	}
	encoded := p.AppendTo(nil)
	got, _, err := Read(bytes.NewReader(encoded), uint32(len(encoded)), nil)
	if err != nil {
		t.Fatalf("%#v does not read back: %v", p, err)
	}
	if !reflect.DeepEqual(got, p) {
		t.Errorf("wrote %#v, read %#v", p, got)
	}
}
