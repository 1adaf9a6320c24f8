package dicomfile

import (
	"io"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// PixelData says where the top-level pixel data of a file lies.
type PixelData struct {
	// Tag is Pixel Data (7FE0,0010), Float Pixel Data (7FE0,0008) or Double Float Pixel Data (7FE0,0009).
	Tag tag.Tag
	// VR is OB, OW, OF or OD.
	VR string
	// BigEndian tells the byte order of native pixel data.
	BigEndian bool
	// Offset and Length enclose native pixel data.
	Offset, Length int64
	// Encapsulated pixel data comes in fragments (PS3.5 A.4).
	Encapsulated bool
	Fragments    []Fragment
	// OffsetTable holds where each frame starts, counted from the item tag of the first fragment: the Extended Offset Table
	// if there is one, else the Basic Offset Table; empty when neither is filled in.
	OffsetTable []uint64

	firstItem int64
}

// Fragment is the value of one item of encapsulated pixel data.
type Fragment struct {
	Offset, Length int64
}

// PixelData returns where the pixel data lies; false when the object has none.
func (f *File) PixelData() (PixelData, bool) {
	if f.pixelData == nil {
		return PixelData{}, false
	}
	return *f.pixelData, true
}

// Section reads one stretch of the bytes that PixelData's offsets count in.
func (f *File) Section(offset, length int64) *io.SectionReader {
	return io.NewSectionReader(f.src, offset, length)
}

// FirstFrame returns the fragments of the first of n frames of encapsulated pixel data. An offset table decides if there is
// one; without it, as many fragments as frames means one each, and else a new frame begins with the next fragment that
// starts a JPEG or JPEG 2000 codestream.
func (f *File) FirstFrame(n int) []Fragment {
	p := f.pixelData
	if p == nil || len(p.Fragments) <= 1 || n <= 1 {
		if p == nil {
			return nil
		}
		return p.Fragments
	}
	if len(p.OffsetTable) > 1 {
		for i, fragment := range p.Fragments {
			if i > 0 && uint64(fragment.Offset-8-p.firstItem) >= p.OffsetTable[1] {
				return p.Fragments[:i]
			}
		}
		return p.Fragments
	}
	if len(p.Fragments) <= n {
		return p.Fragments[:1]
	}
	for i, fragment := range p.Fragments[1:] {
		var start [2]byte
		if fragment.Length < 2 {
			continue
		}
		if _, err := f.src.ReadAt(start[:], fragment.Offset); err != nil {
			break
		}
		if start == [2]byte{0xFF, 0xD8} || start == [2]byte{0xFF, 0x4F} {
			return p.Fragments[:i+1]
		}
	}
	return p.Fragments
}
