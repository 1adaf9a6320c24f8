package safetensors

import "math"

// FromF16 widens an IEEE 754 binary16 value.
func FromF16(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10)&0x1f, uint32(h)&0x3ff
	switch exp {
	case 0:
		v := float32(frac) / (1 << 24)
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// ToF16 rounds to the nearest binary16 value, ties to even; what is too large becomes infinite.
func ToF16(v float32) uint16 {
	bits := math.Float32bits(v)
	sign := uint16(bits >> 16 & 0x8000)
	abs := bits & 0x7fffffff
	switch {
	case abs > 0x7f800000:
		return sign | 0x7e00
	case abs >= 0x477ff000: // rounds beyond 65504
		return sign | 0x7c00
	case abs < 0x38800000: // below the smallest normal: a multiple of 2^-24
		scaled := math.RoundToEven(float64(math.Float32frombits(abs)) * (1 << 24))
		return sign | uint16(scaled)
	}
	rounded := abs + 0xfff + abs>>13&1
	return sign | uint16((rounded-0x38000000)>>13)
}

// ToBF16 rounds to the nearest bfloat16 value, ties to even.
func ToBF16(v float32) uint16 {
	bits := math.Float32bits(v)
	if bits&0x7fffffff > 0x7f800000 {
		return uint16(bits>>16) | 0x40 // stays no number
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}
