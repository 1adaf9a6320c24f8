package pixel

import (
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"os"
	"testing"
	"time"

	"llamaxr/internal/peertest"
)

// manifest returns the rows of the shared files' table by column name.
func manifest(t testing.TB) []map[string]string {
	t.Helper()
	file, err := os.Open(peertest.SharedData(t, "dicom/manifest.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]string
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, name := range lines[0] {
			row[name] = line[i]
		}
		rows = append(rows, row)
	}
	return rows
}

// exceptions are the files that do not decode to their SHA-256, or do not decode, each with its reason. JPEG extended of 12 bits is one that
// chest images come in; the others are not.
var exceptions = map[string]string{
	// The SHA-256 comes from one decoder alone, pylibjpeg, which rounds some 2 % of the values one grey level to the other side.
	"radiographs/RG2_JPLY_fixed.dcm":    "JPEG extended, 12 bits: held to DCMTK by TestJPEGAgainstDCMTK",
	"transfer_syntaxes/JPGExtended.dcm": "JPEG extended, 12 bits: held to DCMTK by TestJPEGAgainstDCMTK",
	// These have no SHA-256: pydicom does not decode them either.
	"transfer_syntaxes/liver_rle.dcm":                     "single bits in RLE",
	"transfer_syntaxes/liver_deflate.dcm":                 "deflated image frames, which only segmentations use",
	"transfer_syntaxes/liver_nonbyte_aligned_deflate.dcm": "deflated image frames, which only segmentations use",
	"transfer_syntaxes/parametric_map_float.dcm":          "floating point pixel data",
	"transfer_syntaxes/parametric_map_double_float.dcm":   "floating point pixel data",
}

// Every file with agreed values decodes to them, whatever its encoding; what does not is named with its reason; broken ones do
// neither harm nor hang.
func TestManifest(t *testing.T) {
	equal, excepted := 0, 0
	for _, row := range manifest(t) {
		file, broken := row["file"], row["folder"] == "malformed"
		start := time.Now()
		frame, err := decodeFile(peertest.SharedData(t, "dicom/"+file))
		if took := time.Since(start); took > 10*time.Second && !peertest.Race {
			t.Errorf("%s took %v", file, took)
		}
		mustDecode := row["folder"] == "transfer_syntaxes" || row["folder"] == "radiographs" || row["pixel_sha256"] != ""
		switch {
		case broken && err != nil:
			t.Logf("%s refused: %v", file, err)
		case err != nil && exceptions[file] != "":
			excepted++
			if !errors.Is(err, ErrUnsupported) {
				t.Errorf("%s (%s): %v", file, exceptions[file], err)
			}
		case err != nil && mustDecode:
			t.Errorf("%s: %v", file, err)
		case err != nil:
			t.Logf("%s: %v", file, err)
		case row["pixel_sha256"] == "":
			t.Logf("%s: decoded, no agreed value: %s", file, row["note"])
		default:
			sum := sha256.Sum256(frame.Data)
			same := hex.EncodeToString(sum[:]) == row["pixel_sha256"]
			switch {
			case same && exceptions[file] != "":
				t.Errorf("%s is no exception any more", file)
			case same:
				equal++
			case exceptions[file] != "":
				excepted++
			case broken:
				t.Logf("%s: other values than pydicom", file)
			default:
				t.Errorf("%s (%s, %s): other values than pydicom", file, row["transfer_syntax_uid"], frame.DType())
			}
			want := row["pixel_dtype"]
			if bigEndian := map[string]string{">i2": "int16", ">u2": "uint16", ">u4": "uint32"}[want]; bigEndian != "" {
				want = bigEndian
			}
			if same && frame.DType() != want {
				t.Errorf("%s: %s, pydicom has %s", file, frame.DType(), want)
			}
		}
	}
	t.Logf("%d equal to their SHA-256, %d exceptions", equal, excepted)
	if equal < 138 || excepted != len(exceptions) {
		t.Errorf("%d files equal to their SHA-256, %d exceptions", equal, excepted)
	}
}
