#include "textflag.h"
#include "convolve_amd64.h"

// ROW multiplies one value of a row by 32 outputs' weights in Z28 and Z29.
#define ROW(value, spare, low, high) \
	VBROADCASTSS value, spare \
	VFMADD231PS  Z28, spare, low \
	VFMADD231PS  Z29, spare, high

// STEP adds the products of the value at, a number of bytes into each of fourteen rows, with row by of the weights.
#define STEP(at, by) \
	VMOVUPS by(BX), Z28 \
	VMOVUPS by+64(BX), Z29 \
	ROW(at(R8), Z30, Z0, Z1) \
	ROW(at(R8)(CX*1), Z31, Z2, Z3) \
	ROW(at(R8)(CX*2), Z30, Z4, Z5) \
	ROW(at(R9), Z31, Z6, Z7) \
	ROW(at(R9)(CX*1), Z30, Z8, Z9) \
	ROW(at(R9)(CX*2), Z31, Z10, Z11) \
	ROW(at(R10), Z30, Z12, Z13) \
	ROW(at(R10)(CX*1), Z31, Z14, Z15) \
	ROW(at(R10)(CX*2), Z30, Z16, Z17) \
	ROW(at(R11), Z31, Z18, Z19) \
	ROW(at(R11)(CX*1), Z30, Z20, Z21) \
	ROW(at(R11)(CX*2), Z31, Z22, Z23) \
	ROW(at(R12), Z30, Z24, Z25) \
	ROW(at(R12)(CX*1), Z31, Z26, Z27)

// WRITE writes a row of sums and goes to the next.
#define WRITE(low, high) \
	VMAXPS  low, Z30, low \
	VMAXPS  high, Z30, high \
	VMOVUPS low, (DI) \
	VMOVUPS high, 64(DI) \
	ADDQ    SI, DI

// func multiplyAVX512(y *float32, yStride int, x *float32, xStride int, weights *float32, k int, shift *float32, floor float32)
TEXT ·multiplyAVX512(SB), NOSPLIT, $0-60
	MOVQ    y+0(FP), DI
	MOVQ    yStride+8(FP), SI
	MOVQ    x+16(FP), R8
	MOVQ    xStride+24(FP), CX
	MOVQ    weights+32(FP), BX
	MOVQ    k+40(FP), DX
	MOVQ    shift+48(FP), AX
	SHLQ    $2, SI
	SHLQ    $2, CX
	LEAQ    (CX)(CX*2), R13
	LEAQ    (R8)(R13*1), R9
	LEAQ    (R9)(R13*1), R10
	LEAQ    (R10)(R13*1), R11
	LEAQ    (R11)(R13*1), R12
	VMOVUPS (AX), Z0
	VMOVUPS 64(AX), Z1
	VMOVAPS Z0, Z2
	VMOVAPS Z1, Z3
	VMOVAPS Z0, Z4
	VMOVAPS Z1, Z5
	VMOVAPS Z0, Z6
	VMOVAPS Z1, Z7
	VMOVAPS Z0, Z8
	VMOVAPS Z1, Z9
	VMOVAPS Z0, Z10
	VMOVAPS Z1, Z11
	VMOVAPS Z0, Z12
	VMOVAPS Z1, Z13
	VMOVAPS Z0, Z14
	VMOVAPS Z1, Z15
	VMOVAPS Z0, Z16
	VMOVAPS Z1, Z17
	VMOVAPS Z0, Z18
	VMOVAPS Z1, Z19
	VMOVAPS Z0, Z20
	VMOVAPS Z1, Z21
	VMOVAPS Z0, Z22
	VMOVAPS Z1, Z23
	VMOVAPS Z0, Z24
	VMOVAPS Z1, Z25
	VMOVAPS Z0, Z26
	VMOVAPS Z1, Z27

loop:
	STEP(0, 0)
	STEP(4, 128)
	STEP(8, 256)
	STEP(12, 384)
	ADDQ $512, BX
	ADDQ $16, R8
	ADDQ $16, R9
	ADDQ $16, R10
	ADDQ $16, R11
	ADDQ $16, R12
	SUBQ $4, DX
	JNZ  loop

	VBROADCASTSS floor+56(FP), Z30
	WRITE(Z0, Z1)
	WRITE(Z2, Z3)
	WRITE(Z4, Z5)
	WRITE(Z6, Z7)
	WRITE(Z8, Z9)
	WRITE(Z10, Z11)
	WRITE(Z12, Z13)
	WRITE(Z14, Z15)
	WRITE(Z16, Z17)
	WRITE(Z18, Z19)
	WRITE(Z20, Z21)
	WRITE(Z22, Z23)
	WRITE(Z24, Z25)
	WRITE(Z26, Z27)
	VZEROUPPER
	RET

// func normAVX512(y, x, scale, shift *float32, n int)
TEXT ·normAVX512(SB), NOSPLIT, $0-40
	MOVQ   y+0(FP), DI
	MOVQ   x+8(FP), SI
	MOVQ   scale+16(FP), R8
	MOVQ   shift+24(FP), R9
	MOVQ   n+32(FP), CX
	SHLQ   $2, CX
	XORQ   DX, DX
	VPXORD Z2, Z2, Z2

loop:
	VMOVUPS     (SI)(DX*1), Z0
	VMOVUPS     (R9)(DX*1), Z1
	VFMADD231PS (R8)(DX*1), Z0, Z1
	VMAXPS      Z1, Z2, Z1
	VMOVUPS     Z1, (DI)(DX*1)
	ADDQ        $64, DX
	CMPQ        DX, CX
	JLT         loop
	VZEROUPPER
	RET

// func mostAVX512(y, x *float32, n int)
TEXT ·mostAVX512(SB), NOSPLIT, $0-24
	MOVQ y+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	SHLQ $2, CX
	XORQ DX, DX

loop:
	VMOVUPS (SI)(DX*1), Z0
	VMAXPS  (DI)(DX*1), Z0, Z0
	VMOVUPS Z0, (DI)(DX*1)
	ADDQ    $64, DX
	CMPQ    DX, CX
	JLT     loop
	VZEROUPPER
	RET

// PUT writes a vector and goes to the next matrix.
#define PUT(z) \
	VMOVUPS z, (R9)(DX*1) \
	ADDQ    BX, R9

// func spreadAVX512(at *[16]*float32, y *float32, stride, n int)
TEXT ·spreadAVX512(SB), NOSPLIT, $0-32
	MOVQ at+0(FP), SI
	MOVQ y+8(FP), DI
	MOVQ stride+16(FP), BX
	MOVQ n+24(FP), CX
	SHLQ $2, BX
	SHLQ $2, CX
	XORQ DX, DX

loop:
	AT(0, Z0)
	AT(8, Z1)
	AT(16, Z2)
	AT(24, Z3)
	AT(32, Z4)
	AT(40, Z5)
	AT(48, Z6)
	AT(56, Z7)
	AT(64, Z8)
	AT(72, Z9)
	AT(80, Z10)
	AT(88, Z11)
	AT(96, Z12)
	AT(104, Z13)
	AT(112, Z14)
	AT(120, Z15)
	TURN(Z0, Z1, Z2, Z3, Z16, Z17, Z18, Z19)
	TURN(Z4, Z5, Z6, Z7, Z20, Z21, Z22, Z23)
	TURN(Z8, Z9, Z10, Z11, Z24, Z25, Z26, Z27)
	TURN(Z12, Z13, Z14, Z15, Z28, Z29, Z30, Z31)
	TURN(Z16, Z20, Z24, Z28, Z0, Z4, Z8, Z12)
	TURN(Z17, Z21, Z25, Z29, Z1, Z5, Z9, Z13)
	TURN(Z18, Z22, Z26, Z30, Z2, Z6, Z10, Z14)
	TURN(Z19, Z23, Z27, Z31, Z3, Z7, Z11, Z15)
	MOVQ DI, R9
	PUT(Z0)
	PUT(Z1)
	PUT(Z2)
	PUT(Z3)
	PUT(Z4)
	PUT(Z5)
	PUT(Z6)
	PUT(Z7)
	PUT(Z8)
	PUT(Z9)
	PUT(Z10)
	PUT(Z11)
	PUT(Z12)
	PUT(Z13)
	PUT(Z14)
	PUT(Z15)
	ADDQ $64, DX
	CMPQ DX, CX
	JLT  loop
	VZEROUPPER
	RET

// func gatherAVX512(x *float32, stride int, at *[4]*float32, n int)
TEXT ·gatherAVX512(SB), NOSPLIT, $0-32
	MOVQ x+0(FP), SI
	MOVQ stride+8(FP), BX
	MOVQ at+16(FP), DI
	MOVQ n+24(FP), CX
	SHLQ $2, BX
	SHLQ $2, CX
	XORQ DX, DX

loop:
	MOVQ SI, R9
	TAKE(Z0)
	TAKE(Z1)
	TAKE(Z2)
	TAKE(Z3)
	TAKE(Z4)
	TAKE(Z5)
	TAKE(Z6)
	TAKE(Z7)
	TAKE(Z8)
	TAKE(Z9)
	TAKE(Z10)
	TAKE(Z11)
	TAKE(Z12)
	TAKE(Z13)
	TAKE(Z14)
	TAKE(Z15)
	BACK(Z0, Z4, Z8, Z12)
	BACK(Z1, Z5, Z9, Z13)
	BACK(Z2, Z6, Z10, Z14)
	BACK(Z3, Z7, Z11, Z15)
	BACK(Z0, Z1, Z2, Z3)
	BACK(Z4, Z5, Z6, Z7)
	TO(0, Z0)
	TO(8, Z1)
	TO(16, Z4)
	TO(24, Z5)
	ADDQ $64, DX
	CMPQ DX, CX
	JLT  loop
	VZEROUPPER
	RET
