#include "textflag.h"

// A vector has four of the sixteen lanes: a group of 128 weights is four chunks of 16 bytes, each with sums of its own.

// Instructions that the assembler does not know, with their registers in its order: the last is written.
#define SMULL(m, n, d) WORD $(0x0E60C000 | (m)<<16 | (n)<<5 | (d)) // 4S of the lower 4H
#define SMULL2(m, n, d) WORD $(0x4E60C000 | (m)<<16 | (n)<<5 | (d)) // 4S of the upper 4H
#define SMLAL(m, n, d) WORD $(0x0E608000 | (m)<<16 | (n)<<5 | (d))
#define SMLAL2(m, n, d) WORD $(0x4E608000 | (m)<<16 | (n)<<5 | (d))
#define ADD4(m, n, d) WORD $(0x4EA08400 | (m)<<16 | (n)<<5 | (d)) // 4S
#define SCVTF(n, d) WORD $(0x4E21D800 | (n)<<5 | (d)) // 4S
#define FADD(m, n, d) WORD $(0x4E20D400 | (m)<<16 | (n)<<5 | (d)) // 4S
#define FMUL(m, n, d) WORD $(0x6E20DC00 | (m)<<16 | (n)<<5 | (d)) // 4S
#define FCVTL(n, d) WORD $(0x0E217800 | (n)<<5 | (d)) // 4S of the lower 4H
#define FCVTL2(n, d) WORD $(0x4E217800 | (n)<<5 | (d))
#define FCVT(n, d) WORD $(0x1EE24000 | (n)<<5 | (d)) // S of H
#define MUL(m, n, d) WORD $(0x4EA09C00 | (m)<<16 | (n)<<5 | (d)) // 4S

#define CLEAR(a, b, c, d) \
	VEOR a.B16, a.B16, a.B16 \
	VEOR b.B16, b.B16, b.B16 \
	VEOR c.B16, c.B16, c.B16 \
	VEOR d.B16, d.B16, d.B16

// TOTAL adds up the lanes of the vectors of four chunks into F0, halving what is left; V0 and V1 are spent.
#define TOTAL(a, b, c, d) \
	FADD(c, a, 0) \
	FADD(d, b, 1) \
	FADD(1, 0, 0) \
	VMOV  V0.D[1], V1.D[0] \
	FADD(1, 0, 0) \
	VMOV  V0.S[1], V1.S[0] \
	FADDS F1, F0, F0

// LEVEL puts into V6 the levels of the nibbles in the lowest bits of V5's words: the index of each byte in the table of V20 to V23 is four
// times the nibble, and its place in the word.
#define LEVEL \
	VAND V16.B16, V5.B16, V5.B16 \
	MUL(17, 5, 5) \
	VADD V18.S4, V5.S4, V5.S4 \
	VTBL V5.B16, [V20.B16, V21.B16, V22.B16, V23.B16], V6.B16

#define PART(shift, x) \
	VUSHR $shift, V4.S4, V5.S4 \
	LEVEL \
	FMOVQ x(R2), F7 \
	VFMLA V7.S4, V6.S4, V8.S4

// CHUNK adds to acc the products of 32 weights at R0 with the activations from x on, times the scale at R1.
#define CHUNK(x, scale, acc) \
	VLD1.P 16(R0), [V4.B16] \
	VMOV   V4.B16, V5.B16 \
	LEVEL \
	FMOVQ  x(R2), F7 \
	FMUL(7, 6, 8) \
	PART(4, 64+x) \
	PART(8, 128+x) \
	PART(12, 192+x) \
	PART(16, 256+x) \
	PART(20, 320+x) \
	PART(24, 384+x) \
	PART(28, 448+x) \
	FMOVS  scale(R1), F5 \
	VDUP   V5.S[0], V5.S4 \
	VFMLA  V5.S4, V8.S4, acc.S4

// func nf4ExactNEON(packed *byte, scales, x *float32, whole, half int) float32
TEXT ·nf4ExactNEON(SB), NOSPLIT, $0-44
	MOVD packed+0(FP), R0
	MOVD scales+8(FP), R1
	MOVD x+16(FP), R2
	MOVD whole+24(FP), R3
	MOVD half+32(FP), R4
	MOVD $·levels(SB), R5
	VLD1 (R5), [V20.B16, V21.B16, V22.B16, V23.B16]
	MOVD $0x0F, R6
	VDUP R6, V16.S4
	MOVD $0x04040404, R6
	VDUP R6, V17.S4
	MOVD $0x03020100, R6
	VDUP R6, V18.S4
	CLEAR(V24, V25, V26, V27)
	CBZ  R3, rest

groups:
	CHUNK(0, 0, V24)
	CHUNK(16, 0, V25)
	CHUNK(32, 4, V26)
	CHUNK(48, 4, V27)
	ADD  $8, R1
	ADD  $512, R2
	SUB  $1, R3
	CBNZ R3, groups

rest:
	CBZ R4, done
	CHUNK(0, 0, V24)
	CHUNK(16, 0, V25)

done:
	TOTAL(24, 25, 26, 27)
	FMOVS F0, ret+40(FP)
	RET

// DECODE makes words of the 32 nibbles at R0: V0 and V1 the low ones of the bytes, V2 and V3 the high ones. V4 to V9 are spent; V13 to V15 hold
// the mask and the levels' lower and upper bytes.
#define DECODE \
	VLD1.P 16(R0), [V4.B16] \
	VAND   V13.B16, V4.B16, V5.B16 \
	VUSHR  $4, V4.B16, V4.B16 \
	VTBL   V5.B16, [V14.B16], V6.B16 \
	VTBL   V5.B16, [V15.B16], V7.B16 \
	VTBL   V4.B16, [V14.B16], V8.B16 \
	VTBL   V4.B16, [V15.B16], V9.B16 \
	VZIP1  V7.B16, V6.B16, V0.B16 \
	VZIP2  V7.B16, V6.B16, V1.B16 \
	VZIP1  V9.B16, V8.B16, V2.B16 \
	VZIP2  V9.B16, V8.B16, V3.B16

// FIRST puts into the vectors a and b the products of the 32 weights in V0 to V3 with the activations at x, which moves on; V4 to V7 are spent.
#define FIRST(x, a, b) \
	VLD1.P 64(x), [V4.H8, V5.H8, V6.H8, V7.H8] \
	SMULL(4, 0, a) \
	SMULL2(4, 0, b) \
	SMLAL(5, 1, a) \
	SMLAL2(5, 1, b) \
	SMLAL(6, 2, a) \
	SMLAL2(6, 2, b) \
	SMLAL(7, 3, a) \
	SMLAL2(7, 3, b)

// SECOND adds those of the next 32 weights, and with the sum of them all, times the scales at w(R1) and s, goes to acc; F28 to F30 and R13 are
// spent.
#define SECOND(x, s, w, a, b, acc) \
	VLD1.P 64(x), [V4.H8, V5.H8, V6.H8, V7.H8] \
	SMLAL(4, 0, a) \
	SMLAL2(4, 0, b) \
	SMLAL(5, 1, a) \
	SMLAL2(5, 1, b) \
	SMLAL(6, 2, a) \
	SMLAL2(6, 2, b) \
	SMLAL(7, 3, a) \
	SMLAL2(7, 3, b) \
	ADD4(b, a, 28) \
	VADDV  V28.S4, V28 \
	SCVTF(28, 28) \
	MOVHU  w(R1), R13 \
	FMOVS  R13, F29 \
	FCVT(29, 29) \
	FMOVS  (s), F30 \
	FMULS  F30, F29, F29 \
	FMADDS F29, acc, F28, acc

#define TABLES \
	MOVD $·roundedBytes(SB), R11 \
	VLD1 (R11), [V14.B16, V15.B16] \
	MOVD $0x0F, R11 \
	VDUP R11, V13.B16

#define ONE(w) \
	DECODE \
	FIRST(R2, 16, 17) \
	DECODE \
	SECOND(R2, R3, w, 16, 17, F24)

// func nf4Int16NEON(packed *byte, scales *uint16, x *int16, xScales *float32, whole, half int) float32
TEXT ·nf4Int16NEON(SB), NOSPLIT, $0-52
	MOVD  packed+0(FP), R0
	MOVD  scales+8(FP), R1
	MOVD  x+16(FP), R2
	MOVD  xScales+24(FP), R3
	MOVD  whole+32(FP), R4
	MOVD  half+40(FP), R5
	TABLES
	FMOVS ZR, F24
	CBZ   R4, rest

groups:
	ONE(0)
	ONE(2)
	ADD  $4, R1
	ADD  $4, R3
	SUB  $1, R4
	CBNZ R4, groups

rest:
	CBZ R5, done
	ONE(0)

done:
	FMOVS F24, ret+48(FP)
	RET

#define FOUR(w) \
	DECODE \
	FIRST(R2, 16, 17) \
	FIRST(R6, 18, 19) \
	FIRST(R8, 20, 21) \
	FIRST(R10, 22, 23) \
	DECODE \
	SECOND(R2, R3, w, 16, 17, F24) \
	SECOND(R6, R7, w, 18, 19, F25) \
	SECOND(R8, R9, w, 20, 21, F26) \
	SECOND(R10, R12, w, 22, 23, F27)

// func nf4Int16x4NEON(packed *byte, scales *uint16, x *int16, xScales *float32, stride, whole, half int, sums *[4]float32)
TEXT ·nf4Int16x4NEON(SB), NOSPLIT, $0-64
	MOVD  packed+0(FP), R0
	MOVD  scales+8(FP), R1
	MOVD  x+16(FP), R2
	MOVD  xScales+24(FP), R3
	MOVD  stride+32(FP), R11
	MOVD  whole+40(FP), R4
	MOVD  half+48(FP), R5
	ADD   R11<<8, R2, R6
	ADD   R11<<8, R6, R8
	ADD   R11<<8, R8, R10
	ADD   R11<<2, R3, R7
	ADD   R11<<2, R7, R9
	ADD   R11<<2, R9, R12
	TABLES
	FMOVS ZR, F24
	FMOVS ZR, F25
	FMOVS ZR, F26
	FMOVS ZR, F27
	CBZ   R4, rest

groups:
	FOUR(0)
	FOUR(2)
	ADD  $4, R1
	ADD  $4, R3
	ADD  $4, R7
	ADD  $4, R9
	ADD  $4, R12
	SUB  $1, R4
	CBNZ R4, groups

rest:
	CBZ R5, done
	FOUR(0)

done:
	MOVD  sums+56(FP), R11
	FMOVS F24, 0(R11)
	FMOVS F25, 4(R11)
	FMOVS F26, 8(R11)
	FMOVS F27, 12(R11)
	RET

// func dotNEON(a, b *float32, n int) float32
TEXT ·dotNEON(SB), NOSPLIT, $0-28
	MOVD a+0(FP), R0
	MOVD b+8(FP), R1
	MOVD n+16(FP), R2
	CLEAR(V16, V17, V18, V19)

loop:
	VLD1.P 64(R0), [V4.S4, V5.S4, V6.S4, V7.S4]
	VLD1.P 64(R1), [V8.S4, V9.S4, V10.S4, V11.S4]
	VFMLA  V8.S4, V4.S4, V16.S4
	VFMLA  V9.S4, V5.S4, V17.S4
	VFMLA  V10.S4, V6.S4, V18.S4
	VFMLA  V11.S4, V7.S4, V19.S4
	SUB    $16, R2
	CBNZ   R2, loop
	TOTAL(16, 17, 18, 19)
	FMOVS  F0, ret+24(FP)
	RET

// func addScaledNEON(y, x *float32, a float32, n int)
TEXT ·addScaledNEON(SB), NOSPLIT, $0-32
	MOVD  y+0(FP), R0
	MOVD  x+8(FP), R1
	FMOVS a+16(FP), F0
	VDUP  V0.S[0], V0.S4
	MOVD  n+24(FP), R2

loop:
	VLD1   (R0), [V4.S4, V5.S4, V6.S4, V7.S4]
	VLD1.P 64(R1), [V8.S4, V9.S4, V10.S4, V11.S4]
	VFMLA  V8.S4, V0.S4, V4.S4
	VFMLA  V9.S4, V0.S4, V5.S4
	VFMLA  V10.S4, V0.S4, V6.S4
	VFMLA  V11.S4, V0.S4, V7.S4
	VST1.P [V4.S4, V5.S4, V6.S4, V7.S4], 64(R0)
	SUB    $16, R2
	CBNZ   R2, loop
	RET

// func widenF16NEON(data *byte, values *float32, n int)
TEXT ·widenF16NEON(SB), NOSPLIT, $0-24
	MOVD data+0(FP), R0
	MOVD values+8(FP), R1
	MOVD n+16(FP), R2

loop:
	VLD1.P 32(R0), [V0.H8, V1.H8]
	FCVTL(0, 4)
	FCVTL2(0, 5)
	FCVTL(1, 6)
	FCVTL2(1, 7)
	VST1.P [V4.S4, V5.S4, V6.S4, V7.S4], 64(R1)
	SUB    $16, R2
	CBNZ   R2, loop
	RET

// func widenBF16NEON(data *byte, values *float32, n int)
TEXT ·widenBF16NEON(SB), NOSPLIT, $0-24
	MOVD data+0(FP), R0
	MOVD values+8(FP), R1
	MOVD n+16(FP), R2
	VEOR V2.B16, V2.B16, V2.B16

loop:
	VLD1.P 32(R0), [V0.H8, V1.H8]
	VZIP1  V0.H8, V2.H8, V4.H8
	VZIP2  V0.H8, V2.H8, V5.H8
	VZIP1  V1.H8, V2.H8, V6.H8
	VZIP2  V1.H8, V2.H8, V7.H8
	VST1.P [V4.S4, V5.S4, V6.S4, V7.S4], 64(R1)
	SUB    $16, R2
	CBNZ   R2, loop
	RET
