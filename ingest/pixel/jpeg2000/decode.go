package jpeg2000

import (
	"context"
	"encoding/binary"
)

// Sink takes a run of decoded samples, which belong to row y of a component from column x on and are valid during the call.
type Sink func(component, x, y int, samples []int32)

// Decode decodes a codestream, which may lie in a JP2 file. Samples are within the precision and sign of the header.
func Decode(ctx context.Context, b []byte, sink Sink) error {
	b, err := codestream(b)
	if err != nil {
		return err
	}
	s, b, err := readSize(b)
	if err != nil {
		return err
	}
	main, b, err := readMainHeader(&s, b)
	if err != nil {
		return err
	}
	tiles, err := readTileParts(&s, main, b)
	if err != nil {
		return err
	}
	for index := range s.tilesX * s.tilesY {
		part := tiles[index]
		if part == nil {
			return fail(ErrTruncated, "no tile %d of %d", index, s.tilesX*s.tilesY)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := decodeTile(ctx, &s, part, s.tileRect(index), sink); err != nil {
			return err
		}
		delete(tiles, index)
	}
	return nil
}

// readMainHeader reads the segments up to the first tile-part (A.3).
func readMainHeader(s *size, b []byte) (*parameters, []byte, error) {
	p := newParameters(s.Components)
	for range maxSegments {
		marker, body, rest, err := segment(b)
		if err != nil {
			return nil, nil, err
		}
		if marker == markerSOT {
			return p, b, nil
		}
		if marker == markerSOD || marker == markerEOC {
			return nil, nil, fail(ErrMalformed, "marker %04X in the main header", marker)
		}
		if err := p.apply(marker, body, false); err != nil {
			return nil, nil, err
		}
		b = rest
	}
	return nil, nil, fail(ErrLimit, "more than %d segments", maxSegments)
}

// tilePart is what the parts of a tile say together.
type tilePart struct {
	*parameters
	data []byte // packets
}

// readTileParts gathers the tile-parts (A.4.2), which may lie in any order.
func readTileParts(s *size, main *parameters, b []byte) (map[int]*tilePart, error) {
	tiles := map[int]*tilePart{}
	for range maxSegments {
		if len(b) < 2 {
			return tiles, nil // no EOC; whether everything is there, the tiles tell
		}
		marker, body, rest, err := segment(b)
		if marker != markerSOT {
			return tiles, nil // EOC or what may follow it
		}
		if err != nil {
			return nil, err
		}
		if len(body) != 8 {
			return nil, fail(ErrMalformed, "SOT of %d bytes", len(body))
		}
		index, length := int(binary.BigEndian.Uint16(body)), int(binary.BigEndian.Uint32(body[2:]))
		if length == 0 { // the last one, up to EOC
			length = len(b)
		}
		if index >= s.tilesX*s.tilesY || length < 14 {
			return nil, fail(ErrMalformed, "tile-part of %d bytes of tile %d", length, index)
		}
		if length > len(b) {
			return nil, fail(ErrTruncated, "tile-part of %d bytes, %d are there", length, len(b))
		}
		t := tiles[index]
		if t == nil {
			t = &tilePart{parameters: main}
			tiles[index] = t
		}
		if err := t.readPart(rest[:length-12]); err != nil {
			return nil, err
		}
		b = b[length:]
	}
	return nil, fail(ErrLimit, "more than %d tile-parts", maxSegments)
}

// readPart reads a tile-part from behind its SOT.
func (t *tilePart) readPart(b []byte) error {
	first := true
	for range maxSegments {
		marker, body, rest, err := segment(b)
		if err != nil {
			return err
		}
		if marker == markerSOD {
			if t.data == nil {
				t.data = rest[:len(rest):len(rest)]
			} else {
				t.data = append(t.data, rest...)
			}
			return nil
		}
		if marker == markerSOT || marker == markerEOC {
			return fail(ErrMalformed, "marker %04X in a tile-part header", marker)
		}
		if first {
			t.parameters, first = t.parameters.clone(), false
			if marker == markerPOC && t.data == nil {
				t.changes = nil // those of the main header hold for tiles without their own
			}
		}
		if err := t.apply(marker, body, true); err != nil {
			return err
		}
		b = rest
	}
	return fail(ErrLimit, "more than %d segments", maxSegments)
}
