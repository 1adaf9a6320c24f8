package pixel

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/suyashkumar/dicom/pkg/tag"

	"llamaxr/ingest/dicomfile"
	"llamaxr/internal/dicomwrite"
	"llamaxr/internal/peertest"
)

// withUS is a file of the shared data set with the first value of an element of VR US changed.
func withUS(t *testing.T, name string, group, element, value uint16) *dicomfile.File {
	t.Helper()
	raw := readShared(t, name)
	head := append(binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, group), element), "US\x02\x00"...)
	at := bytes.Index(raw, head)
	if at < 0 {
		t.Fatalf("%s has no (%04X,%04X)", name, group, element)
	}
	binary.LittleEndian.PutUint16(raw[at+len(head):], value)
	f, err := dicomfile.Read(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestWideCells: a codestream of 16 bits in an object that allocates 32 gives the values of one that allocates 16.
func TestWideCells(t *testing.T) {
	const name = "transfer_syntaxes/693_J2KR.dcm"
	narrow, err := decodeBytes(t, readShared(t, name))
	if err != nil {
		t.Fatal(err)
	}
	wide, err := Decode(t.Context(), withUS(t, name, 0x0028, 0x0100, 32))
	if err != nil {
		t.Fatal(err)
	}
	if wide.DType() != "int32" && wide.DType() != "uint32" || len(wide.Data) != 2*len(narrow.Data) {
		t.Fatalf("%s, %d bytes", wide.DType(), len(wide.Data))
	}
	for i := range narrow.values() {
		if n, w := narrow.stored(narrow.word(i)), wide.stored(wide.word(i)); n != w {
			t.Fatalf("value %d is %d, %d where 32 bits are allocated", i, n, w)
		}
	}
}

// TestDecodingEnds: a decoder that takes too long is stopped, and that is a limit; one whose caller stops is told so.
func TestDecodingEnds(t *testing.T) {
	f, err := dicomfile.Open(peertest.SharedData(t, "dicom/radiographs/RG2_JPLL.dcm"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := decodeWithin(t.Context(), time.Nanosecond, f); !errors.Is(err, ErrLimit) {
		t.Errorf("out of time: %v", err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := Decode(stopped, f); !errors.Is(err, context.Canceled) || errors.Is(err, ErrLimit) {
		t.Errorf("stopped: %v", err)
	}
}

// TestFirstOfManyFrames: the bound is that of a frame; how many others stand behind it costs nothing.
func TestFirstOfManyFrames(t *testing.T) {
	const rows, columns = 64, 96
	pixels := make([]byte, 2*rows*columns)
	for i := range pixels {
		pixels[i] = byte(i)
	}
	for _, frames := range []string{"2", "40000", "2147483647"} {
		var b bytes.Buffer
		err := dicomwrite.New().Text(tag.SOPClassUID, "1.2.840.10008.5.1.4.1.1.7.3").Text(tag.SOPInstanceUID, "1.2.3").
			Text(tag.NumberOfFrames, frames).Ints(tag.Rows, rows).Ints(tag.Columns, columns).Ints(tag.SamplesPerPixel, 1).Ints(tag.BitsAllocated, 16).
			Ints(tag.BitsStored, 16).Ints(tag.HighBit, 15).Ints(tag.PixelRepresentation, 0).Text(tag.PhotometricInterpretation, "MONOCHROME2").
			Pixels(slices.Concat(pixels, make([]byte, len(pixels)))).Write(&b, "1.2.3", "TEST")
		if err != nil {
			t.Fatal(err)
		}
		frame, err := decodeBytes(t, b.Bytes())
		if err != nil {
			t.Errorf("%s frames: %v", frames, err)
		} else if !bytes.Equal(frame.Data, pixels) {
			t.Errorf("%s frames: not the first", frames)
		}
	}
}

// TestUnreadableSpacing: an image whose pixel spacing is no number is shown with square pixels, or with the shape that another attribute tells: its grey levels
// were read, and a draft of them must not fail for it.
func TestUnreadableSpacing(t *testing.T) {
	for spacing, want := range map[string][2]float64{"0,143": {0.2, 0.1}, "nan": {0.2, 0.1}, "1": {0.2, 0.1}, "0.3": {0.3, 0.3}} {
		var b bytes.Buffer
		values := []string{spacing, spacing}
		err := dicomwrite.New().Text(tag.SOPClassUID, "1.2.840.10008.5.1.4.1.1.1").Text(tag.SOPInstanceUID, "1.2.3").Text(tag.PixelSpacing, values[:1+len(spacing)/3]...).
			Text(tag.ImagerPixelSpacing, "0.2", "0.1").Ints(tag.Rows, 4).Ints(tag.Columns, 4).Ints(tag.SamplesPerPixel, 1).Ints(tag.BitsAllocated, 16).
			Ints(tag.BitsStored, 16).Ints(tag.HighBit, 15).Ints(tag.PixelRepresentation, 0).Text(tag.PhotometricInterpretation, "MONOCHROME2").
			Pixels(make([]byte, 32)).Write(&b, "1.2.3", "TEST")
		if err != nil {
			t.Fatal(err)
		}
		f, err := dicomfile.Read(bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil {
			t.Fatal(err)
		}
		frame, err := Decode(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := DisplayOf(f, frame); err != nil || d.Aspect != want {
			t.Errorf("%s: %v %+v, want %v", spacing, err, d, want)
		}
	}
}
