#include "textflag.h"

// Of four values each.
#define FADD(m, n, d) WORD $(0x4E20D400 | (m)<<16 | (n)<<5 | (d))
#define FSUB(m, n, d) WORD $(0x4EA0D400 | (m)<<16 | (n)<<5 | (d)) // d = n - m
#define FMAX(m, n, d) WORD $(0x4E20F400 | (m)<<16 | (n)<<5 | (d))

// SHIFT begins the sums of a row with those in V24 to V27.
#define SHIFT(a, b, c, d) \
	VMOV V24.B16, a.B16 \
	VMOV V25.B16, b.B16 \
	VMOV V26.B16, c.B16 \
	VMOV V27.B16, d.B16

// ROW multiplies the next value of a row by the weights of 16 outputs in V24 to V27.
#define ROW(row, a, b, c, d) \
	VLD1R.P 4(row), [V28.S4] \
	VFMLA   V24.S4, V28.S4, a.S4 \
	VFMLA   V25.S4, V28.S4, b.S4 \
	VFMLA   V26.S4, V28.S4, c.S4 \
	VFMLA   V27.S4, V28.S4, d.S4

// LIMIT lets no sum of a row be below V28.
#define LIMIT(a, b, c, d) \
	FMAX(28, a, a) \
	FMAX(28, b, b) \
	FMAX(28, c, c) \
	FMAX(28, d, d)

// WRITE writes a row of sums and goes to the next.
#define WRITE(a, b, c, d) \
	VST1 [a.S4, b.S4, c.S4, d.S4], (R12) \
	ADD  R1, R12

// func multiplyNEON(y *float32, yStride int, x *float32, xStride int, weights *float32, k int, shift *float32, floor float32)
TEXT ·multiplyNEON(SB), NOSPLIT, $0-60
	MOVD y+0(FP), R0
	MOVD yStride+8(FP), R1
	MOVD xStride+24(FP), R3
	MOVD weights+32(FP), R10
	MOVD shift+48(FP), R11
	LSL  $2, R1
	LSL  $2, R3
	MOVD $2, R13             // halves of 16 outputs

half:
	MOVD x+16(FP), R4
	ADD  R3, R4, R5
	ADD  R3, R5, R6
	ADD  R3, R6, R7
	ADD  R3, R7, R8
	ADD  R3, R8, R9
	MOVD R10, R14
	MOVD k+40(FP), R2
	VLD1 (R11), [V24.S4, V25.S4, V26.S4, V27.S4]
	SHIFT(V0, V1, V2, V3)
	SHIFT(V4, V5, V6, V7)
	SHIFT(V8, V9, V10, V11)
	SHIFT(V12, V13, V14, V15)
	SHIFT(V16, V17, V18, V19)
	SHIFT(V20, V21, V22, V23)

loop:
	VLD1 (R14), [V24.S4, V25.S4, V26.S4, V27.S4]
	ADD  $128, R14
	ROW(R4, V0, V1, V2, V3)
	ROW(R5, V4, V5, V6, V7)
	ROW(R6, V8, V9, V10, V11)
	ROW(R7, V12, V13, V14, V15)
	ROW(R8, V16, V17, V18, V19)
	ROW(R9, V20, V21, V22, V23)
	SUB  $1, R2
	CBNZ R2, loop

	FMOVS floor+56(FP), F28
	VDUP  V28.S[0], V28.S4
	MOVD  R0, R12
	LIMIT(0, 1, 2, 3)
	WRITE(V0, V1, V2, V3)
	LIMIT(4, 5, 6, 7)
	WRITE(V4, V5, V6, V7)
	LIMIT(8, 9, 10, 11)
	WRITE(V8, V9, V10, V11)
	LIMIT(12, 13, 14, 15)
	WRITE(V12, V13, V14, V15)
	LIMIT(16, 17, 18, 19)
	WRITE(V16, V17, V18, V19)
	LIMIT(20, 21, 22, 23)
	WRITE(V20, V21, V22, V23)
	ADD  $64, R0
	ADD  $64, R10
	ADD  $64, R11
	SUB  $1, R13
	CBNZ R13, half
	RET

// func normNEON(y, x, scale, shift *float32, n int)
TEXT ·normNEON(SB), NOSPLIT, $0-40
	MOVD y+0(FP), R0
	MOVD x+8(FP), R1
	MOVD scale+16(FP), R2
	MOVD shift+24(FP), R3
	MOVD n+32(FP), R4
	VEOR V3.B16, V3.B16, V3.B16

loop:
	VLD1.P 16(R1), [V0.S4]
	VLD1.P 16(R2), [V1.S4]
	VLD1.P 16(R3), [V2.S4]
	VFMLA  V1.S4, V0.S4, V2.S4
	FMAX(3, 2, 2)
	VST1.P [V2.S4], 16(R0)
	SUB    $4, R4
	CBNZ   R4, loop
	RET

// func mostNEON(y, x *float32, n int)
TEXT ·mostNEON(SB), NOSPLIT, $0-24
	MOVD y+0(FP), R0
	MOVD x+8(FP), R1
	MOVD n+16(FP), R2

loop:
	VLD1.P 16(R1), [V0.S4]
	VLD1   (R0), [V1.S4]
	FMAX(1, 0, 0)
	VST1.P [V0.S4], 16(R0)
	SUB    $4, R2
	CBNZ   R2, loop
	RET

// AT reads four values from the pointer that lies so many bytes after R0.
#define AT(by, v) \
	MOVD by(R0), R5 \
	ADD  R4, R5 \
	VLD1 (R5), [v.S4]

// TURN is the transform of Winograd's F(2,3) of four values into four others.
#define TURN(a, b, c, d, w, x, y, z) \
	FSUB(c, a, w) \
	FADD(c, b, x) \
	FSUB(b, c, y) \
	FSUB(d, b, z)

// PUT writes a vector and goes to the next matrix.
#define PUT(v) \
	VST1 [v.S4], (R6) \
	ADD  R2, R6

// func spreadNEON(at *[16]*float32, y *float32, stride, n int)
TEXT ·spreadNEON(SB), NOSPLIT, $0-32
	MOVD at+0(FP), R0
	MOVD y+8(FP), R1
	MOVD stride+16(FP), R2
	MOVD n+24(FP), R3
	LSL  $2, R2
	MOVD $0, R4              // bytes of each point that are done

loop:
	AT(0, V0)
	AT(8, V1)
	AT(16, V2)
	AT(24, V3)
	AT(32, V4)
	AT(40, V5)
	AT(48, V6)
	AT(56, V7)
	AT(64, V8)
	AT(72, V9)
	AT(80, V10)
	AT(88, V11)
	AT(96, V12)
	AT(104, V13)
	AT(112, V14)
	AT(120, V15)
	TURN(0, 1, 2, 3, 16, 17, 18, 19)
	TURN(4, 5, 6, 7, 20, 21, 22, 23)
	TURN(8, 9, 10, 11, 24, 25, 26, 27)
	TURN(12, 13, 14, 15, 28, 29, 30, 31)
	TURN(16, 20, 24, 28, 0, 4, 8, 12)
	TURN(17, 21, 25, 29, 1, 5, 9, 13)
	TURN(18, 22, 26, 30, 2, 6, 10, 14)
	TURN(19, 23, 27, 31, 3, 7, 11, 15)
	ADD  R4, R1, R6
	PUT(V0)
	PUT(V1)
	PUT(V2)
	PUT(V3)
	PUT(V4)
	PUT(V5)
	PUT(V6)
	PUT(V7)
	PUT(V8)
	PUT(V9)
	PUT(V10)
	PUT(V11)
	PUT(V12)
	PUT(V13)
	PUT(V14)
	PUT(V15)
	ADD  $16, R4
	SUB  $4, R3
	CBNZ R3, loop
	RET

// TAKE reads a vector and goes to the next matrix.
#define TAKE(v) \
	VLD1 (R6), [v.S4] \
	ADD  R1, R6

// BACK is the transform of four products into two outputs, in the place of the first two.
#define BACK(a, b, c, d) \
	FADD(b, a, a) \
	FADD(c, a, a) \
	FSUB(c, b, b) \
	FSUB(d, b, b)

// TO writes four values to the pointer that lies so many bytes after R2.
#define TO(by, v) \
	MOVD by(R2), R5 \
	ADD  R4, R5 \
	VST1 [v.S4], (R5)

// func gatherNEON(x *float32, stride int, at *[4]*float32, n int)
TEXT ·gatherNEON(SB), NOSPLIT, $0-32
	MOVD x+0(FP), R0
	MOVD stride+8(FP), R1
	MOVD at+16(FP), R2
	MOVD n+24(FP), R3
	LSL  $2, R1
	MOVD $0, R4

loop:
	ADD R4, R0, R6
	TAKE(V0)
	TAKE(V1)
	TAKE(V2)
	TAKE(V3)
	TAKE(V4)
	TAKE(V5)
	TAKE(V6)
	TAKE(V7)
	TAKE(V8)
	TAKE(V9)
	TAKE(V10)
	TAKE(V11)
	TAKE(V12)
	TAKE(V13)
	TAKE(V14)
	TAKE(V15)
	BACK(0, 4, 8, 12)
	BACK(1, 5, 9, 13)
	BACK(2, 6, 10, 14)
	BACK(3, 7, 11, 15)
	BACK(0, 1, 2, 3)
	BACK(4, 5, 6, 7)
	TO(0, V0)
	TO(8, V1)
	TO(16, V4)
	TO(24, V5)
	ADD  $16, R4
	SUB  $4, R3
	CBNZ R3, loop
	RET
