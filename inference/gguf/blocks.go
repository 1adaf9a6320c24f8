package gguf

import (
	"encoding/binary"
	"fmt"
	"math"

	"llamaxr/inference/safetensors"
)

// Dequantise turns the bytes of whole blocks into values; their numbers must fit.
func Dequantise(t Type, data []byte, out []float32) error {
	f, err := t.format()
	if err != nil {
		return fmt.Errorf("gguf: %w", err)
	}
	if len(out)%f.values != 0 || len(data) != len(out)/f.values*f.bytes {
		return fmt.Errorf("gguf: %d bytes of %s do not hold %d values", len(data), f.name, len(out))
	}
	for i := 0; i < len(out)/f.values; i++ {
		f.decode(data[i*f.bytes:(i+1)*f.bytes], out[i*f.values:(i+1)*f.values])
	}
	return nil
}

func decodeF32(b []byte, out []float32) {
	out[0] = math.Float32frombits(binary.LittleEndian.Uint32(b))
}

func decodeF16(b []byte, out []float32) { out[0] = half(b) }

func decodeBF16(b []byte, out []float32) {
	out[0] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16)
}

func half(b []byte) float32 { return safetensors.FromF16(binary.LittleEndian.Uint16(b)) }

// In what follows float32() around a product keeps a compiler from fusing it into the sum, which would change the last bit.

// decodeQ40: a scale, 16 bytes whose low nibbles are the first half of the block and whose high nibbles are the second.
func decodeQ40(b []byte, out []float32) {
	d := half(b)
	for i, q := range b[2:] {
		out[i] = d * float32(int(q&15)-8)
		out[i+16] = d * float32(int(q>>4)-8)
	}
}

// decodeQ41: as Q4_0, with a minimum instead of the offset of 8.
func decodeQ41(b []byte, out []float32) {
	d, m := half(b), half(b[2:])
	for i, q := range b[4:] {
		out[i] = float32(d*float32(q&15)) + m
		out[i+16] = float32(d*float32(q>>4)) + m
	}
}

func decodeQ80(b []byte, out []float32) {
	d := half(b)
	for i, q := range b[2:] {
		out[i] = float32(int8(q)) * d
	}
}

// scaleMin unpacks the i-th of eight 6-bit scales and minima from 12 bytes: the last four of each have their low bits in the last
// four bytes and their high bits on top of the first four.
func scaleMin(b []byte, i int) (scale, minimum byte) {
	if i < 4 {
		return b[i] & 63, b[i+4] & 63
	}
	return b[i+4]&15 | b[i-4]>>6<<4, b[i+4]>>4 | b[i]>>6<<4
}

// decodeQ4K: two scales of scales, eight groups of 32 nibbles; a group pair shares 32 bytes.
func decodeQ4K(b []byte, out []float32) {
	d, dmin := half(b), half(b[2:])
	scales, quants := b[4:16], b[16:]
	for g := range 8 {
		s, m := scaleMin(scales, g)
		scale, minimum := d*float32(s), dmin*float32(m)
		for i := range 32 {
			q := quants[g/2*32+i] >> (g % 2 * 4) & 15
			out[g*32+i] = float32(scale*float32(q)) - minimum
		}
	}
}

// decodeQ5K: as Q4_K, with the fifth bit of group g in bit g of 32 bytes more.
func decodeQ5K(b []byte, out []float32) {
	d, dmin := half(b), half(b[2:])
	scales, high, quants := b[4:16], b[16:48], b[48:]
	for g := range 8 {
		s, m := scaleMin(scales, g)
		scale, minimum := d*float32(s), dmin*float32(m)
		for i := range 32 {
			q := quants[g/2*32+i]>>(g%2*4)&15 | high[i]>>g&1<<4
			out[g*32+i] = float32(scale*float32(q)) - minimum
		}
	}
}

// decodeQ6K: two halves of 128 values: 64 bytes of low nibbles, 32 of high bit pairs; a signed scale for every 16 values.
func decodeQ6K(b []byte, out []float32) {
	low, high, scales, d := b[:128], b[128:192], b[192:208], half(b[208:])
	for g := range 8 { // 32 values each, four groups a half
		h, k := g/4, g%4
		for i := range 32 {
			q := low[h*64+k%2*32+i]>>(k/2*4)&15 | high[h*32+i]>>(k*2)&3<<4
			scale := d * float32(int8(scales[g*2+i/16]))
			out[g*32+i] = scale * float32(int(q)-32)
		}
	}
}
