package kernel

import (
	"llamaxr/inference/quant"

	"golang.org/x/sys/cpu"
)

// vectorCodes are AVX-512 (F, BW, DQ, VL and VNNI) and AVX2 with FMA and F16C, where the processor and the system have them.
func vectorCodes() (out []*code) {
	if x := cpu.X86; x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL && x.HasAVX512VNNI && x.HasF16C {
		out = append(out, avx512)
	}
	if x := cpu.X86; x.HasAVX2 && x.HasFMA && x.HasF16C {
		out = append(out, avx2)
	}
	return out
}

var avx512 = &code{
	name: "avx512", order: &byWord,
	nf4Exact: exactBy(nf4ExactAVX512), nf4Exactx4: exactx4By(nf4Exactx4AVX512),
	nf4Int16: portableNF4Int16(&byWord), nf4Int16x4: fourTimes(portableNF4Int16(&byWord)), // of what is no whole tile
	tiles:  &tiles{one: nf4TilesAVX512, four: nf4Tilex4AVX512},
	panels: &panels{rows: 12, decode: nf4PanelAVX512, multiply: nf4RowsAVX512},
	round:  roundAVX512,
	pack: func(values []float32, packed []byte, halves []uint16, sums *errorSums) {
		packAVX512(&values[0], &packed[0], &halves[0], len(halves), &packing, sums)
	},
	dot: dotBy(dotAVX512), addScaled: addBy(addScaledAVX512),
	widenF16: widenBy(widenF16AVX2), widenBF16: widenBy(widenBF16AVX2), largest: largestBy(largestAVX2),
	scores: scoresAt(scoresAVX512), softmax: softmaxBy(softmaxAVX512), mix: mixAt(mixAVX512),
	gate: gateBy(gateAVX512), weigh: weighBy(weighAVX512),
	convolving: &convolving{rows: 14, multiply: multiplyAVX512, norm: normAVX512, most: mostAVX512, spread: spreadAVX512, gather: gatherAVX512},
}

var avx2 = &code{
	name: "avx2", order: &byByte,
	nf4Exact: exactBy(nf4ExactAVX2), nf4Exactx4: oneByOne(exactBy(nf4ExactAVX2)),
	nf4Int16: int16By(nf4Int16AVX2), nf4Int16x4: int16x4By(nf4Int16x4AVX2),
	panels: &panels{rows: 4, decode: nf4PanelAVX2, multiply: nf4RowsAVX2},
	dot:    dotBy(dotAVX2), addScaled: addBy(addScaledAVX2),
	widenF16: widenBy(widenF16AVX2), widenBF16: widenBy(widenBF16AVX2), largest: largestBy(largestAVX2),
	scores: scoresAt(scoresAVX2), softmax: softmaxBy(softmaxAVX2), mix: mixAt(mixAVX2),
	gate: gateBy(gateAVX2), weigh: weighBy(weighAVX2),
	convolving: &convolving{rows: 6, multiply: multiplyAVX2, norm: normAVX2, most: mostAVX2, spread: spreadAVX2, gather: gatherAVX2},
}

func largestBy(f func(values *float32, n int) float32) func([]float32) float32 {
	return func(values []float32) float32 { return f(&values[0], len(values)) }
}

func softmaxBy(f func(weights *float32, n int) float32) func([]float32) float32 {
	return func(weights []float32) float32 { return f(&weights[0], len(weights)) }
}

func gateBy(f func(gate, up *float32, n int)) func(gate, up []float32) {
	return func(gate, up []float32) { f(&gate[0], &up[0], len(gate)) }
}

func weighBy(f func(out, x, weights *float32, scale float32, n int)) func(out, x, weights []float32, scale float32) {
	return func(out, x, weights []float32, scale float32) { f(&out[0], &x[0], &weights[0], scale, len(out)) }
}

func scoresAt(f func(query, keys *float32, vectors, count int, scale float32, scores *float32)) func(query, keys []float32, scale float32, scores []float32) {
	return func(query, keys []float32, scale float32, scores []float32) {
		f(&query[0], &keys[0], len(query)/lanes, len(scores), scale, &scores[0])
	}
}

func mixAt(f func(out, values, weights *float32, n, vectors int)) func(out, values, weights []float32) {
	return func(out, values, weights []float32) {
		f(&out[0], &values[0], &weights[0], len(values)/len(out), len(out)/lanes)
	}
}

//go:noescape
func nf4ExactAVX512(packed *byte, scales, x *float32, whole, half int) float32

//go:noescape
func nf4Exactx4AVX512(packed *byte, scales, x *float32, stride, whole, half int, sums *[4]float32)

//go:noescape
func nf4TilesAVX512(packed *byte, stride int, scales *uint16, x *int16, xScales *float32, whole, half int, y *float32, scratch *tileScratch, tiles int)

//go:noescape
func nf4Tilex4AVX512(packed *byte, stride int, scales *uint16, x *int16, xScales *float32, groups, whole, half int, sums *[4][tileRows]float32)

//go:noescape
func nf4PanelAVX512(packed *byte, stride, blocks int, panel, words *int16)

//go:noescape
func nf4RowsAVX512(panel *int16, scales *uint16, x *int16, xScales *float32, groups, blocks int, sums *[mostRows][tileRows]float32)

//go:noescape
func dotAVX512(a, b *float32, n int) float32

//go:noescape
func addScaledAVX512(y, x *float32, a float32, n int)

//go:noescape
func nf4ExactAVX2(packed *byte, scales, x *float32, whole, half int) float32

//go:noescape
func nf4Int16AVX2(packed *byte, scales *uint16, x *int16, xScales *float32, whole, half int) float32

//go:noescape
func nf4Int16x4AVX2(packed *byte, scales *uint16, x *int16, xScales *float32, stride, whole, half int, sums *[4]float32)

//go:noescape
func dotAVX2(a, b *float32, n int) float32

//go:noescape
func addScaledAVX2(y, x *float32, a float32, n int)

//go:noescape
func widenF16AVX2(data *byte, values *float32, n int)

//go:noescape
func widenBF16AVX2(data *byte, values *float32, n int)

//go:noescape
func largestAVX2(values *float32, n int) float32

//go:noescape
func scoresAVX512(query, keys *float32, vectors, count int, scale float32, scores *float32)

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
func packAVX512(values *float32, packed *byte, halves *uint16, blocks int, tables *packTables, sums *errorSums)

//go:noescape
func roundAVX512(row *float32, out *int16) float32

//go:noescape
func nf4PanelAVX2(packed *byte, stride, blocks int, panel, words *int16)

//go:noescape
func nf4RowsAVX2(panel *int16, scales *uint16, x *int16, xScales *float32, groups, blocks int, sums *[mostRows][tileRows]float32)

//go:noescape
func scoresAVX2(query, keys *float32, vectors, count int, scale float32, scores *float32)

//go:noescape
func mixAVX2(out, values, weights *float32, n, vectors int)

//go:noescape
func multiplyAVX512(y *float32, yStride int, x *float32, xStride int, weights *float32, k int, shift *float32, floor float32)

//go:noescape
func normAVX512(y, x, scale, shift *float32, n int)

//go:noescape
func mostAVX512(y, x *float32, n int)

//go:noescape
func spreadAVX512(at *[winogradPoints]*float32, y *float32, stride, n int)

//go:noescape
func gatherAVX512(x *float32, stride int, at *[winogradOutputs]*float32, n int)

//go:noescape
func multiplyAVX2(y *float32, yStride int, x *float32, xStride int, weights *float32, k int, shift *float32, floor float32)

//go:noescape
func normAVX2(y, x, scale, shift *float32, n int)

//go:noescape
func mostAVX2(y, x *float32, n int)

//go:noescape
func spreadAVX2(at *[winogradPoints]*float32, y *float32, stride, n int)

//go:noescape
func gatherAVX2(x *float32, stride int, at *[winogradOutputs]*float32, n int)

// packTables are what packAVX512 looks up. Buckets divide [-1, 1] so finely that none holds two of the half-way points between levels.
type packTables struct {
	below       [2 * lanes]int32 // of each bucket, the level of what lies just below it
	halfway     [lanes]float32   // between a level and the next
	rounded     [lanes]float32
	toHalf      float32 // scales of rounded levels in 16 bits, of magnitudes
	fromHalf    float32
	halfBuckets float32
}

// packBuckets is a little less than the lanes of below, so that 1 is in the last bucket and not past it.
const packBuckets = 2*lanes - 0.02

var packing = func() packTables {
	t := packTables{halfway: quant.Halfway, toHalf: unit / halfUnit, fromHalf: halfUnit, halfBuckets: packBuckets / 2}
	for i := range t.rounded {
		t.rounded[i] = float32(rounded[i])
	}
	for b := range t.below {
		t.below[b] = int32(quant.LevelBelow(float32(b)*2/packBuckets - 1))
	}
	return t
}()
