package kernel

import "golang.org/x/sys/cpu"

// vectorCodes are AVX-512 (F, BW, DQ, VL and VNNI) and AVX2 with FMA, where the processor and the system have them.
func vectorCodes() (out []*code) {
	if x := cpu.X86; x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL && x.HasAVX512VNNI {
		out = append(out, &code{
			"avx512", &byWord, exactBy(nf4ExactAVX512), exactx4By(nf4Exactx4AVX512), portableNF4Int16(&byWord), fourTimes(portableNF4Int16(&byWord)),
			&tiles{nf4TilesAVX512, nf4Tilex4AVX512, nf4PanelAVX512, nf4RowsAVX512}, roundAVX512, func(weights []int8, scales []float32, x []int16, xScales []float32, groups int, y []float32) {
				quantisedAVX512(&weights[0], &scales[0], &x[0], &xScales[0], groups, &y[0], len(y))
			},
			dotBy(dotAVX512), addBy(addScaledAVX512),
			layer{
				func(query, keys []float32, scale float32, scores []float32) {
					scoresAVX512(&query[0], &keys[0], len(query)/lanes, len(scores)/lanes, scale, &scores[0])
				},
				softmaxBy(softmaxAVX512),
				func(out, values, weights []float32) {
					mixAVX512(&out[0], &values[0], &weights[0], len(values)/len(out), len(out)/lanes)
				},
				gateBy(gateAVX512), weighBy(weighAVX512),
			},
		})
	}
	if x := cpu.X86; x.HasAVX2 && x.HasFMA {
		out = append(out, &code{
			"avx2", &byByte, exactBy(nf4ExactAVX2), oneByOne(exactBy(nf4ExactAVX2)), int16By(nf4Int16AVX2), int16x4By(nf4Int16x4AVX2), nil, nil, rowByRow(quantisedBy(quantisedAVX2)),
			dotBy(dotAVX2), addBy(addScaledAVX2),
			layer{scoresBy(dotBy(dotAVX2)), softmaxBy(softmaxAVX2), mixBy(addBy(addScaledAVX2)), gateBy(gateAVX2), weighBy(weighAVX2)},
		})
	}
	return out
}

//go:noescape
func nf4ExactAVX512(packed *byte, scales, x *float32, whole, half int) float32

//go:noescape
func nf4Exactx4AVX512(packed *byte, scales, x *float32, stride, whole, half int, sums *[4]float32)

//go:noescape
func nf4TilesAVX512(packed *byte, stride int, scales *float32, x *int16, xScales *float32, whole, half int, y *float32, scratch *tileScratch, tiles int)

//go:noescape
func nf4Tilex4AVX512(packed *byte, stride int, scales *float32, x *int16, xScales *float32, groups, whole, half int, sums *[4][tileRows]float32)

//go:noescape
func nf4PanelAVX512(packed *byte, stride, blocks int, panel *int16)

//go:noescape
func nf4RowsAVX512(panel *int16, scales *float32, x *int16, xScales *float32, groups, blocks int, sums *[manyRows][tileRows]float32)

//go:noescape
func quantisedAVX512(weights *int8, scales *float32, x *int16, xScales *float32, groups int, y *float32, rows int)

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

//go:noescape
func scoresAVX512(query, keys *float32, vectors, tiles int, scale float32, scores *float32)

//go:noescape
func mixAVX512(out, values, weights *float32, n, vectors int)

//go:noescape
func softmaxAVX512(weights *float32, n int) float32

//go:noescape
func gateAVX512(gate, up *float32, n int)

//go:noescape
func weighAVX512(out, x, weights *float32, scale float32, n int)

//go:noescape
func softmaxAVX2(weights *float32, n int) float32

//go:noescape
func gateAVX2(gate, up *float32, n int)

//go:noescape
func weighAVX2(out, x, weights *float32, scale float32, n int)

//go:noescape
func roundAVX512(row *float32, out *int16) float32
