package pixel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"testing"

	"llamaxr/ingest/dicomfile"
	"llamaxr/internal/peertest"
)

// delimiter is Sequence Delimitation Item with its length as it ends encapsulated pixel data (PS3.5 A.4).
var delimiter = []byte{0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0}

// TestDelimiterInsideAFragment: the bytes of a sequence delimiter inside an item end nothing: items go by their lengths. pydicom's file
// for this is its JPEG2000.dcm with the delimiter's tag written over bytes 6 to 9 of the codestream. Those are its Rsiz and Xsiz, so that
// the picture cannot be decoded, by OpenJPEG neither: what can be checked is that each byte of the item is there. With the four bytes put
// right, and with the delimiter where it does no harm, the values are pydicom's.
func TestDelimiterInsideAFragment(t *testing.T) {
	const at, of = 6, 4 // bytes that were written over
	whole := readShared(t, "transfer_syntaxes/JPEG2000.dcm")
	want := sharedSHA256(t, "transfer_syntaxes/JPEG2000.dcm")
	codestream := firstFrame(t, whole)

	odd := readShared(t, "odd/JPEG2000-embedded-sequence-delimiter.dcm")
	cut := firstFrame(t, odd)
	expected := bytes.Clone(codestream)
	copy(expected[at:at+of], delimiter)
	if !bytes.Equal(cut, expected) {
		t.Fatalf("the item has %d bytes, %x..., pydicom's %d", len(cut), cut[:16], len(expected))
	}
	if _, err := decodeBytes(t, odd); !errors.Is(err, ErrLimit) {
		t.Errorf("a codestream 3722445056 wide: %v", err)
	}
	start := bytes.Index(odd, cut)
	copy(odd[start+at:start+at+of], codestream[at:])
	if got := frameSHA256(t, odd); got != want {
		t.Errorf("with the codestream put right: %s, pydicom has %s", got, want)
	}

	// A comment (T.800 A.9.2) behind SIZ, which is there to be passed over.
	comment := []byte{0xFF, 0x64, 0, byte(4 + 2*len(delimiter)), 0, 0}
	comment = append(append(comment, delimiter...), delimiter...)
	behind := 4 + int(binary.BigEndian.Uint16(codestream[4:]))
	longer := bytes.Join([][]byte{codestream[:behind], comment, codestream[behind:]}, nil)
	start = bytes.Index(whole, codestream)
	file := bytes.Join([][]byte{whole[:start], longer, whole[start+len(codestream):]}, nil)
	binary.LittleEndian.PutUint32(file[start-4:], uint32(len(longer)))
	if got := frameSHA256(t, file); got != want {
		t.Errorf("with delimiters in a comment: %s, pydicom has %s", got, want)
	}
}

// readShared reads a file of the shared data set.
func readShared(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(peertest.SharedData(t, "dicom/"+name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sharedSHA256 is the SHA-256 that pydicom's values of a shared file have.
func sharedSHA256(t *testing.T, name string) string {
	t.Helper()
	for _, row := range manifest(t) {
		if row["file"] == name {
			return row["pixel_sha256"]
		}
	}
	t.Fatalf("%s is not in the manifest", name)
	return ""
}

// firstFrame is the codestream of a file's first frame.
func firstFrame(t *testing.T, b []byte) []byte {
	t.Helper()
	f, err := dicomfile.Read(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	codestream, err := new(Frame).gather(f)
	if err != nil {
		t.Fatal(err)
	}
	return codestream
}

func decodeBytes(t *testing.T, b []byte) (*Frame, error) {
	t.Helper()
	f, err := dicomfile.Read(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return Decode(context.Background(), f)
}

func frameSHA256(t *testing.T, b []byte) string {
	t.Helper()
	frame, err := decodeBytes(t, b)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(frame.Data)
	return hex.EncodeToString(sum[:])
}
