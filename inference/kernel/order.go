package kernel

// Where a weight's rounded activation lies in its group: each code wants them as it decodes the weights. Bytes hold two weights, the first in
// the high nibble.
var (
	inOrder = orderOf(func(i int) int { return i })
	// byWord is for vectors of 32 words of the whole group: word w holds weights 4 w to 4 w + 3, and the vector of a nibble, counted from the low
	// end, follows the one before.
	byWord = orderOf(func(i int) int { return (i%4^1)*words + i/4 })
	// byByte is for vectors of 16 words, in each half of a group first two of the bytes' low nibbles, then two of the high ones: of the bytes in
	// each lane of 16 the first 8, then the others.
	byByte = orderOf(func(i int) int {
		b := i % Block / 2
		return i/Block*Block + (i+1)%2*words + b%16/8*16 + b/16*8 + b%8
	})
)

func orderOf(place func(i int) int) (out [group]uint8) {
	for i := range out {
		out[i] = uint8(place(i))
	}
	return out
}
