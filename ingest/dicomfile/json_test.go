package dicomfile

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
)

// pydicomJSON prints each file's data set in the DICOM JSON model, without what our reading leaves out: pixel data, values above 1 MiB,
// group lengths, padding. Person names lose empty groups at their end, text its padding and control characters.
const pydicomJSON = `
import base64, json, sys, warnings
import pydicom
from pydicom import config
config.settings.reading_validation_mode = config.IGNORE
warnings.simplefilter("ignore")

def clean(ds):
    for e in list(ds):
        if e.tag.element == 0 and e.tag.group != 2 or e.tag in (0x7fe00010, 0x7fe00008, 0x7fe00009, 0xfffcfffc, 0x00080005):
            del ds[e.tag]
        elif e.VR == "SQ":
            for item in e.value:
                clean(item)

for path in sys.argv[1:]:
    try:
        ds = pydicom.dcmread(path)
        ds.decode()
        clean(ds)
        print(json.dumps({"path": path, "set": ds.to_json_dict(1 << 20, lambda e: "bulk")}))
    except Exception as e:
        print(json.dumps({"path": path, "error": repr(e)}))
`

// TestJSONAgainstPydicom: what we say of a file in the DICOM JSON model is what pydicom says, for every character set, transfer syntax,
// document and oddity of the shared data.
func TestJSONAgainstPydicom(t *testing.T) {
	root := peertest.SharedData(t, "dicom")
	var files []string
	for _, folder := range []string{"charsets", "transfer_syntaxes", "sr", "radiographs"} {
		found, _ := filepath.Glob(filepath.Join(root, folder, "*.dcm"))
		files = append(files, found...)
	}
	out, err := exec.Command(peertest.Python(t), append([]string{"-c", pydicomJSON}, files...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for line := range strings.Lines(string(out)) {
		var want struct {
			Path, Error string
			Set         map[string]any
		}
		if err := json.Unmarshal([]byte(line), &want); err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(want.Path)
		if want.Error != "" {
			t.Logf("%s: pydicom: %s", name, want.Error)
			continue
		}
		f, err := Open(want.Path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text, err := json.Marshal(f.JSON())
		f.Close()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got map[string]any
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		delete(got, "00080005")
		compare(t, name, got, want.Set)
		compared++
	}
	t.Logf("%d files compared", compared)
	if compared < 30 {
		t.Errorf("only %d files compared", compared)
	}
}

// compare tells where two data sets differ.
func compare(t *testing.T, where string, got, want map[string]any) {
	t.Helper()
	for key := range got {
		if want[key] == nil {
			t.Errorf("%s %s: %v, which pydicom does not have", where, key, got[key])
		}
	}
	for key, w := range want {
		g, _ := got[key].(map[string]any)
		w := w.(map[string]any)
		switch {
		case g == nil:
			t.Errorf("%s %s is missing: %v", where, key, w)
		case g["vr"] == "UN" && odd(key): // pydicom knows the elements of some vendors
		case g["vr"] != w["vr"]:
			t.Errorf("%s %s: VR %v, want %v", where, key, g["vr"], w["vr"])
		case w["vr"] == "SQ":
			gi, _ := g["Value"].([]any)
			wi, _ := w["Value"].([]any)
			if len(gi) != len(wi) {
				t.Errorf("%s %s: %d items, want %d", where, key, len(gi), len(wi))
				continue
			}
			for i := range gi {
				compare(t, where+" "+key, gi[i].(map[string]any), wi[i].(map[string]any))
			}
		case !reflect.DeepEqual(plain(g), plain(w)):
			t.Errorf("%s %s %v: %q, want %q", where, key, g["vr"], g["Value"], w["Value"])
		case g["InlineBinary"] != w["InlineBinary"] && !bigEndian(where): // pydicom leaves its bytes as they are, F.2.7 does not
			t.Errorf("%s %s: InlineBinary differs", where, key)
		}
	}
}

// odd reports whether a key is of a private group.
func odd(key string) bool { return strings.ContainsRune("13579BDF", rune(key[3])) }

// bigEndian reports whether a file of the shared data is in Explicit VR Big Endian.
func bigEndian(where string) bool {
	return strings.Contains(where, "expb") || strings.Contains(where, "_big")
}

// plain evens out what the standard lets both write: an empty value among others is null, not "" (F.2.5); padding says nothing; a number
// of 32 bits may be written with the digits that it needs.
func plain(e map[string]any) []any {
	values, _ := e["Value"].([]any)
	out := make([]any, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case string:
			if v = strings.Trim(v, " "); v != "" {
				out[i] = v
			}
		case float64:
			out[i] = v
			if e["vr"] == "FL" {
				out[i] = float32(v)
			}
		default:
			out[i] = v
		}
	}
	return out
}
