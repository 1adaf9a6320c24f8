package kernel

import "golang.org/x/sys/cpu"

// vectorCodes are AVX-512 (F, BW, DQ, VL and VNNI) and AVX2 with FMA, where the processor and the system have them.
func vectorCodes() (out []*code) {
	if x := cpu.X86; x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL && x.HasAVX512VNNI {
		out = append(out, &code{
			"avx512", &byWord, exactBy(nf4ExactAVX512), exactx4By(nf4Exactx4AVX512), int16By(nf4Int16AVX512), int16x4By(nf4Int16x4AVX512), quantisedBy(quantisedAVX512),
			dotBy(dotAVX512), addBy(addScaledAVX512),
		})
	}
	if x := cpu.X86; x.HasAVX2 && x.HasFMA {
		out = append(out, &code{
			"avx2", &byByte, exactBy(nf4ExactAVX2), oneByOne(exactBy(nf4ExactAVX2)), int16By(nf4Int16AVX2), int16x4By(nf4Int16x4AVX2), quantisedBy(quantisedAVX2),
			dotBy(dotAVX2), addBy(addScaledAVX2),
		})
	}
	return out
}

//go:noescape
func nf4ExactAVX512(packed *byte, scales, x *float32, whole, half int) float32

//go:noescape
func nf4Exactx4AVX512(packed *byte, scales, x *float32, stride, whole, half int, sums *[4]float32)

//go:noescape
func nf4Int16AVX512(packed *byte, scales *float32, x *int16, xScales *float32, whole, half int) float32

//go:noescape
func nf4Int16x4AVX512(packed *byte, scales *float32, x *int16, xScales *float32, stride, whole, half int, sums *[4]float32)

//go:noescape
func quantisedAVX512(weights *int8, scales *float32, x *int16, xScales *float32, groups int) float32

//go:noescape
func dotAVX512(a, b *float32, n int) float32

//go:noescape
func addScaledAVX512(y, x *float32, a float32, n int)

//go:noescape
func nf4ExactAVX2(packed *byte, scales, x *float32, whole, half int) float32

//go:noescape
func nf4Int16AVX2(packed *byte, scales *float32, x *int16, xScales *float32, whole, half int) float32

//go:noescape
func nf4Int16x4AVX2(packed *byte, scales *float32, x *int16, xScales *float32, stride, whole, half int, sums *[4]float32)

//go:noescape
func quantisedAVX2(weights *int8, scales *float32, x *int16, xScales *float32, groups int) float32

//go:noescape
func dotAVX2(a, b *float32, n int) float32

//go:noescape
func addScaledAVX2(y, x *float32, a float32, n int)
