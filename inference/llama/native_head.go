package llama

import (
	"encoding/binary"
	"fmt"
	"math"
)

// state implements headKeeper: for each layer and head the keys, then the values, of n tokens in float32, little endian.
func (m *native) state(slot, n int) []byte {
	out := make([]byte, 0, m.stateSize(n))
	m.eachKept(slot, n, func(values []float32) {
		for _, v := range values {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
		}
	})
	return out
}

// restore implements headKeeper.
func (m *native) restore(slot, n int, state []byte) error {
	if n+m.prefix.Tokens > m.context || len(state) != m.stateSize(n) {
		return fmt.Errorf("%w: %d bytes for %d tokens, not %d", errHead, len(state), n, m.stateSize(n))
	}
	m.grow(slot, m.prefix.Tokens+n)
	m.eachKept(slot, n, func(values []float32) {
		for i := range values {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(state[4*i:]))
		}
		state = state[4*len(values):]
	})
	return nil
}

func (m *native) stateSize(n int) int {
	return 2 * 4 * len(m.layers) * m.config.KVHeads * m.config.HeadDim * n
}

// eachKept goes over the keys and values of the first n tokens in a slot; an adapter's prefix comes with the adapter.
func (m *native) eachKept(slot, n int, do func(values []float32)) {
	c, d := &m.caches[slot], m.config.HeadDim
	for i := range m.layers {
		for h := range m.config.KVHeads {
			at := (h*c.room + m.prefix.Tokens) * d
			do(c.keys[i][at : at+n*d])
			do(c.values[i][at : at+n*d])
		}
	}
}
