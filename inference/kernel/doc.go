// Package kernel multiplies matrices on a CPU: packed ones by a few rows of activations, what decoding a language model is made of, and
// float32 ones by many, what convolutional networks are made of ([Panels], [Winograd]).
//
// An [NF4] matrix stays packed as bitsandbytes stores it (two weights a byte, the first in the high nibble; one scale for 64 weights) and
// is decoded in registers, so that a pass reads half a byte a weight. Two arithmetics are offered:
//
//   - [Exact]: activations and sums in float32, weights exactly level times scale (QLoRA, arXiv 2305.14314, section 3).
//   - [Int16]: activations rounded to 14 bits with one scale for 128 of them, levels to 13 bits, scales of weights to 16 bits of floating point,
//     products summed as integers within 64 weights and blocks one after another. Integers have the same sum in any order, so a prompt may go
//     through a matrix by tiles, twelve rows at once, and a token row by row. It costs less than half, and of 1509 greedy tokens of a real model
//     changes one.
//
// Every output is computed by the same operations in the same order however many rows are multiplied at once and however the rows of the
// matrix are shared out: batching, speculation and the number of cores change no bit.
//
//	x := kernel.NewRows(kernel.Int16, 4096)
//	x.Set(activations) // one row or several
//	matrix.Multiply(y, x, 0, out)
//
// Assembly for AVX-512 with VNNI, AVX2 and NEON is used where the processor has it, else portable code; all sum in the same lanes and give
// the same bits. The environment variable LLAMAXR_KERNEL names one of them (avx512, avx2, neon, portable).
package kernel
