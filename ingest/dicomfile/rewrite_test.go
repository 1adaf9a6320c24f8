package dicomfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
)

// pydicomSame prints where two files differ: elements, their VRs and bytes. Group lengths and trailing padding say nothing, nor does padding of text, and private
// elements may be UN.
const pydicomSame = `
import sys, warnings
import pydicom
from pydicom import config
from pydicom.filewriter import write_data_element
from pydicom.filebase import DicomBytesIO
config.settings.reading_validation_mode = config.settings.writing_validation_mode = config.IGNORE
config.replace_un_with_known_vr = False
warnings.simplefilter("ignore")

def flat(ds, where=""):
    for e in ds:
        if e.tag.element == 0 or e.tag == 0xfffcfffc:
            continue
        name = where + str(e.tag)
        if e.VR == "SQ":
            yield name, "SQ", len(e.value)
            for i, item in enumerate(e.value):
                yield from flat(item, f"{name}[{i}]")
            continue
        raw = DicomBytesIO()
        raw.is_little_endian, raw.is_implicit_VR = True, True
        write_data_element(raw, e, ["utf8"])
        yield name, e.VR, raw.getvalue()[8:].rstrip(b" \0")

for line in sys.stdin:
    ours, theirs = line.rstrip("\n").split("|")
    a, b = ({name: rest for name, *rest in flat(pydicom.dcmread(path))} for path in (ours, theirs))
    for name in sorted(a.keys() | b.keys()):
        unknown = name in a and name in b and a[name][0] == "UN" and int(name.split("(")[-1][:4], 16) % 2
        if a.get(name) != b.get(name) and not (unknown and a[name][1] == b[name][1]):
            print(ours, name, str(a.get(name))[:80], "want", str(b.get(name))[:80])
`

// TestWriteExplicitAgainstDCMTK: the files of the shared data, in each encoding that is rewritten, become what dcmconv makes of them.
func TestWriteExplicitAgainstDCMTK(t *testing.T) {
	const large = 64 << 10
	dcmconv, python := peertest.Program(t, "dcmconv"), peertest.Python(t)
	dir := t.TempDir()
	var pairs strings.Builder
	compared := 0
	for n, r := range manifest(t) {
		original := peertest.SharedData(t, "dicom/"+r.file)
		f, err := Open(original)
		if err != nil {
			continue
		}
		f.Close()
		encodings := []string{""}
		switch f.Header.TransferSyntaxUID {
		case ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian:
		case ExplicitVRLittleEndian:
			encodings = []string{"+ti", "+tb"}
		default:
			continue
		}
		if info, err := os.Stat(original); err != nil || info.Size() > large {
			continue
		}
		for _, encoding := range encodings {
			path, name := original, filepath.Join(dir, fmt.Sprint(n, encoding, "_", filepath.Base(r.file)))
			if encoding != "" {
				path = name + ".in"
				if exec.Command(dcmconv, encoding, original, path).Run() != nil {
					continue
				}
			}
			if exec.Command(dcmconv, "+te", path, name+".dcmtk").Run() != nil {
				continue
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var set bytes.Buffer
			if err := WriteExplicit(&set, bytes.NewReader(raw), int64(len(raw))); err != nil {
				t.Errorf("%s %s: %v", r.file, encoding, err)
				continue
			}
			if err := os.WriteFile(name, []byte(part10(ExplicitVRLittleEndian, set.String())), 0o600); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&pairs, "%s|%s\n", name, name+".dcmtk")
			compared++
		}
	}
	check := exec.Command(python, "-c", pydicomSame)
	check.Stdin = strings.NewReader(pairs.String())
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
	if t.Logf("%d files compared", compared); compared < 60 {
		t.Errorf("only %d files compared", compared)
	}
}

// TestWriteExplicitHoldsAWindow: an object of 24 MiB is rewritten with a fraction of that in memory, and what no short length holds is not cut.
func TestWriteExplicitHoldsAWindow(t *testing.T) {
	const size, most = 24 << 20, 2 << 20
	text := strings.Repeat("text", 20_000)
	implicit := func(group, element uint16, value string) string {
		return string(binary.LittleEndian.AppendUint32(head(group, element), uint32(len(value)))) + value
	}
	pixels := strings.Repeat("\x01\x02\x03\x04", size/4)
	file := part10(ImplicitVRLittleEndian, implicit(0x0008, 0x0016, "1.2\x00")+implicit(0x0010, 0x4000, text)+implicit(0x7FE0, 0x0010, pixels))
	want := sopClass + long(0x0010, 0x4000, "UN", uint32(len(text)), text) + long(0x7FE0, 0x0010, "OW", size, pixels)
	sum, written := sha256.Sum256([]byte(want)), sha256.New()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := WriteExplicit(written, strings.NewReader(file), int64(len(file))); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if !bytes.Equal(written.Sum(nil), sum[:]) {
		t.Error("other values")
	}
	if taken := after.TotalAlloc - before.TotalAlloc; taken > most {
		t.Errorf("%d bytes are taken for an object of %d", taken, size)
	}
}
