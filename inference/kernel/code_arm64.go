package kernel

// byChunk is for vectors of 16 bytes: the low nibbles of each, then the high ones.
var byChunk = orderOf(func(i int) int { return i/words*words + (i+1)%2*16 + i%words/2 })

// vectorCodes is NEON, which every arm64 processor has.
func vectorCodes() []*code {
	return []*code{{
		name: "neon", order: &byChunk,
		nf4Exact: exactBy(nf4ExactNEON), nf4Exactx4: oneByOne(exactBy(nf4ExactNEON)),
		nf4Int16: int16By(nf4Int16NEON), nf4Int16x4: int16x4By(nf4Int16x4NEON),
		quantised: rowByRow(quantisedBy(quantisedNEON)),
		dot:       dotBy(dotNEON), addScaled: addBy(addScaledNEON),
		scores: scoresBy(dotBy(dotNEON)), softmax: portableSoftmax, mix: mixBy(addBy(addScaledNEON)),
		gate: portableGate, weigh: portableWeigh,
	}}
}

//go:noescape
func nf4ExactNEON(packed *byte, scales, x *float32, whole, half int) float32

//go:noescape
func nf4Int16NEON(packed *byte, scales *float32, x *int16, xScales *float32, whole, half int) float32

//go:noescape
func nf4Int16x4NEON(packed *byte, scales *float32, x *int16, xScales *float32, stride, whole, half int, sums *[4]float32)

//go:noescape
func quantisedNEON(weights *int8, scales *float32, x *int16, xScales *float32, groups int) float32

//go:noescape
func dotNEON(a, b *float32, n int) float32

//go:noescape
func addScaledNEON(y, x *float32, a float32, n int)
