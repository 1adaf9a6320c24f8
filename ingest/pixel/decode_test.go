package pixel

import (
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"os"
	"testing"
	"time"

	"llamaxr/ingest/dicomfile"
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

// twelveBits are JPEG extended files whose SHA-256 comes from one decoder alone, pylibjpeg: it rounds some 2 % of the values
// to the other side than DCMTK and we do.
var twelveBits = map[string]bool{"radiographs/RG2_JPLY_fixed.dcm": true, "transfer_syntaxes/JPGExtended.dcm": true}

// Every file of a supported encoding decodes to the raw values that pydicom's decoders agree on; every other one says that
// it is unsupported; broken ones do neither harm nor hang.
func TestManifest(t *testing.T) {
	equal, unsupported, unknown, refused := 0, 0, 0, 0
	for _, row := range manifest(t) {
		f, err := dicomfile.Open(peertest.SharedData(t, "dicom/"+row["file"]))
		if err != nil {
			continue // dicomfile's own tests say which
		}
		start := time.Now()
		frame, err := Decode(context.Background(), f)
		f.Close()
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s took %v", row["file"], took)
		}
		broken := row["folder"] == "malformed"
		switch {
		case errors.Is(err, ErrUnsupported):
			unsupported++
			t.Logf("%s: %v", row["file"], err)
		case errors.Is(err, ErrNoPixels):
		case err != nil:
			refused++
			if !broken && row["pixel_sha256"] != "" {
				t.Errorf("%s: %v", row["file"], err)
			} else {
				t.Logf("%s refused: %v", row["file"], err)
			}
		case row["pixel_sha256"] == "":
			unknown++
			t.Logf("%s: decoded, no agreed value: %s", row["file"], row["note"])
		default:
			sum := sha256.Sum256(frame.Data)
			if got := hex.EncodeToString(sum[:]); got != row["pixel_sha256"] {
				if twelveBits[row["file"]] {
					t.Logf("%s: held to DCMTK by TestJPEGAgainstDCMTK", row["file"])
					continue
				}
				if broken {
					t.Logf("%s: other values than pydicom", row["file"])
					continue
				}
				t.Errorf("%s (%s, %s): %s, want %s", row["file"], row["transfer_syntax_uid"], frame.DType(), got[:8], row["pixel_sha256"][:8])
				continue
			}
			want := row["pixel_dtype"]
			if bigEndian := map[string]string{">i2": "int16", ">u2": "uint16", ">u4": "uint32"}[want]; bigEndian != "" {
				want = bigEndian
			}
			if frame.DType() != want {
				t.Errorf("%s: %s, pydicom has %s", row["file"], frame.DType(), want)
			}
			equal++
		}
	}
	t.Logf("%d equal to their SHA-256, %d decoded without an agreed value, %d unsupported, %d refused", equal, unknown, unsupported, refused)
	if equal < 101 {
		t.Errorf("only %d files equal to their SHA-256", equal)
	}
}
