package dimse

import (
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// FuzzDecode decodes whatever comes as a command set. What is understood is written and read back as the same.
func FuzzDecode(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		data = data[:min(len(data), MaxCommandLength)]
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c, err := Decode(data)
		runtime.ReadMemStats(&after)
		if grown, most := after.TotalAlloc-before.TotalAlloc, uint64(64<<10+40*len(data)); grown > most {
			t.Errorf("%d bytes allocated for a command set of %d, at most %d were expected", grown, len(data), most)
		}
		if err != nil {
			if !strings.HasPrefix(err.Error(), "dimse: ") {
				t.Errorf("error %q does not say where it comes from", err)
			}
			return
		}
		// Encode writes the elements that its command has; a second pass shows that it loses none of them.
		first, err := Decode(c.Encode())
		if err != nil {
			t.Fatalf("%+v does not read back: %v", c, err)
		}
		second, err := Decode(first.Encode())
		if err != nil || !reflect.DeepEqual(first, second) {
			t.Errorf("wrote %+v, read %+v (%v)", first, second, err)
		}
		if first.Field != c.Field || first.DataSetType != c.DataSetType || first.AffectedSOPClassUID != c.AffectedSOPClassUID ||
			first.AffectedSOPInstanceUID != c.AffectedSOPInstanceUID || c.IsResponse() && first.Status != c.Status ||
			(c.IsResponse() || c.Field == CancelRQ) && first.RespondedTo != c.RespondedTo ||
			!c.IsResponse() && c.Field != CancelRQ && first.MessageID != c.MessageID {
			t.Errorf("read %+v, wrote and read %+v", c, first)
		}
	})
}
