package kernel

// byChunk is for vectors of 16 bytes: the low nibbles of each, then the high ones.
var byChunk = orderOf(func(i int) int { return i/words*words + (i+1)%2*16 + i%words/2 })

// vectorCodes is NEON, which every arm64 processor has.
func vectorCodes() []*code {
	return []*code{{
		name: "neon", order: &byChunk,
		nf4Exact: exactBy(nf4ExactNEON), nf4Exactx4: oneByOne(exactBy(nf4ExactNEON)),
		nf4Int16: int16By(nf4Int16NEON), nf4Int16x4: int16x4By(nf4Int16x4NEON),
		dot: dotBy(dotNEON), addScaled: addBy(addScaledNEON),
		widenF16: widenBy(widenF16NEON), widenBF16: widenBy(widenBF16NEON), largest: portableLargest,
		scores: scoresBy(dotBy(dotNEON)), softmax: portableSoftmax, mix: mixBy(addBy(addScaledNEON)),
		gate: portableGate, weigh: portableWeigh,
		convolving: &convolving{rows: 6, multiply: multiplyNEON, norm: normNEON, most: mostNEON, spread: spreadNEON, gather: gatherNEON},
	}}
}

//go:noescape
func nf4ExactNEON(packed *byte, scales, x *float32, whole, half int) float32

//go:noescape
func nf4Int16NEON(packed *byte, scales *uint16, x *int16, xScales *float32, whole, half int) float32

//go:noescape
func nf4Int16x4NEON(packed *byte, scales *uint16, x *int16, xScales *float32, stride, whole, half int, sums *[4]float32)

//go:noescape
func dotNEON(a, b *float32, n int) float32

//go:noescape
func addScaledNEON(y, x *float32, a float32, n int)

//go:noescape
func multiplyNEON(y *float32, yStride int, x *float32, xStride int, weights *float32, k int, shift *float32, floor float32)

//go:noescape
func normNEON(y, x, scale, shift *float32, n int)

//go:noescape
func mostNEON(y, x *float32, n int)

//go:noescape
func spreadNEON(at *[winogradPoints]*float32, y *float32, stride, n int)

//go:noescape
func gatherNEON(x *float32, stride int, at *[winogradOutputs]*float32, n int)

//go:noescape
func widenF16NEON(data *byte, values *float32, n int)

//go:noescape
func widenBF16NEON(data *byte, values *float32, n int)
