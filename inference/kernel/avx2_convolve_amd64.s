#include "textflag.h"
#include "convolve_amd64.h"

// ROW multiplies one value of a row by 16 outputs' weights in Y12 and Y13.
#define ROW(value, spare, low, high) \
	VBROADCASTSS value, spare \
	VFMADD231PS  Y12, spare, low \
	VFMADD231PS  Y13, spare, high

// STEP adds the products of the value at, a number of bytes into each of six rows, with row by of the weights.
#define STEP(at, by) \
	VMOVUPS by(BX), Y12 \
	VMOVUPS by+32(BX), Y13 \
	ROW(at(R8), Y14, Y0, Y1) \
	ROW(at(R8)(CX*1), Y15, Y2, Y3) \
	ROW(at(R8)(CX*2), Y14, Y4, Y5) \
	ROW(at(R9), Y15, Y6, Y7) \
	ROW(at(R9)(CX*1), Y14, Y8, Y9) \
	ROW(at(R9)(CX*2), Y15, Y10, Y11)

// WRITE writes a row of sums and goes to the next.
#define WRITE(low, high) \
	VMAXPS  low, Y14, low \
	VMAXPS  high, Y14, high \
	VMOVUPS low, (R12) \
	VMOVUPS high, 32(R12) \
	ADDQ    SI, R12

// func multiplyAVX2(y *float32, yStride int, x *float32, xStride int, weights *float32, k int, shift *float32, floor float32)
TEXT ·multiplyAVX2(SB), NOSPLIT, $0-60
	MOVQ y+0(FP), DI
	MOVQ yStride+8(FP), SI
	MOVQ xStride+24(FP), CX
	MOVQ weights+32(FP), R10
	MOVQ shift+48(FP), AX
	SHLQ $2, SI
	SHLQ $2, CX
	LEAQ (CX)(CX*2), R13
	MOVQ $2, R11             // halves of 16 outputs

half:
	MOVQ    x+16(FP), R8
	LEAQ    (R8)(R13*1), R9
	MOVQ    R10, BX
	MOVQ    DI, R12
	MOVQ    k+40(FP), DX
	VMOVUPS (AX), Y0
	VMOVUPS 32(AX), Y1
	VMOVAPS Y0, Y2
	VMOVAPS Y1, Y3
	VMOVAPS Y0, Y4
	VMOVAPS Y1, Y5
	VMOVAPS Y0, Y6
	VMOVAPS Y1, Y7
	VMOVAPS Y0, Y8
	VMOVAPS Y1, Y9
	VMOVAPS Y0, Y10
	VMOVAPS Y1, Y11

loop:
	STEP(0, 0)
	STEP(4, 128)
	STEP(8, 256)
	STEP(12, 384)
	ADDQ $512, BX
	ADDQ $16, R8
	ADDQ $16, R9
	SUBQ $4, DX
	JNZ  loop

	VBROADCASTSS floor+56(FP), Y14
	WRITE(Y0, Y1)
	WRITE(Y2, Y3)
	WRITE(Y4, Y5)
	WRITE(Y6, Y7)
	WRITE(Y8, Y9)
	WRITE(Y10, Y11)
	ADDQ $64, DI
	ADDQ $64, R10
	ADDQ $64, AX
	DECQ R11
	JNZ  half
	VZEROUPPER
	RET

// func normAVX2(y, x, scale, shift *float32, n int)
TEXT ·normAVX2(SB), NOSPLIT, $0-40
	MOVQ  y+0(FP), DI
	MOVQ  x+8(FP), SI
	MOVQ  scale+16(FP), R8
	MOVQ  shift+24(FP), R9
	MOVQ  n+32(FP), CX
	SHLQ  $2, CX
	XORQ  DX, DX
	VXORPS Y2, Y2, Y2

loop:
	VMOVUPS     (SI)(DX*1), Y0
	VMOVUPS     (R9)(DX*1), Y1
	VFMADD231PS (R8)(DX*1), Y0, Y1
	VMAXPS      Y1, Y2, Y1
	VMOVUPS     Y1, (DI)(DX*1)
	ADDQ        $32, DX
	CMPQ        DX, CX
	JLT         loop
	VZEROUPPER
	RET

// func mostAVX2(y, x *float32, n int)
TEXT ·mostAVX2(SB), NOSPLIT, $0-24
	MOVQ y+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	SHLQ $2, CX
	XORQ DX, DX

loop:
	VMOVUPS (SI)(DX*1), Y0
	VMAXPS  (DI)(DX*1), Y0, Y0
	VMOVUPS Y0, (DI)(DX*1)
	ADDQ    $32, DX
	CMPQ    DX, CX
	JLT     loop
	VZEROUPPER
	RET

// ACROSS turns a row of the points, whose pointers lie so many bytes after SI, and keeps it.
#define ACROSS(by, kept) \
	AT(by, Y0) \
	AT(by+8, Y1) \
	AT(by+16, Y2) \
	AT(by+24, Y3) \
	TURN(Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7) \
	VMOVUPS Y4, kept+0(SP) \
	VMOVUPS Y5, kept+32(SP) \
	VMOVUPS Y6, kept+64(SP) \
	VMOVUPS Y7, kept+96(SP)

// DOWN turns a column of what was kept and writes it, four matrices apart.
#define DOWN(kept) \
	VMOVUPS kept+0(SP), Y0 \
	VMOVUPS kept+128(SP), Y1 \
	VMOVUPS kept+256(SP), Y2 \
	VMOVUPS kept+384(SP), Y3 \
	TURN(Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7) \
	MOVQ    R9, R10 \
	VMOVUPS Y4, (R10)(DX*1) \
	LEAQ    (R10)(BX*4), R10 \
	VMOVUPS Y5, (R10)(DX*1) \
	LEAQ    (R10)(BX*4), R10 \
	VMOVUPS Y6, (R10)(DX*1) \
	LEAQ    (R10)(BX*4), R10 \
	VMOVUPS Y7, (R10)(DX*1) \
	ADDQ    BX, R9

// func spreadAVX2(at *[16]*float32, y *float32, stride, n int)
TEXT ·spreadAVX2(SB), NOSPLIT, $512-32
	MOVQ at+0(FP), SI
	MOVQ y+8(FP), DI
	MOVQ stride+16(FP), BX
	MOVQ n+24(FP), CX
	SHLQ $2, BX
	SHLQ $2, CX
	XORQ DX, DX

loop:
	ACROSS(0, 0)
	ACROSS(32, 128)
	ACROSS(64, 256)
	ACROSS(96, 384)
	MOVQ DI, R9
	DOWN(0)
	DOWN(32)
	DOWN(64)
	DOWN(96)
	ADDQ $32, DX
	CMPQ DX, CX
	JLT  loop
	VZEROUPPER
	RET

// func gatherAVX2(x *float32, stride int, at *[4]*float32, n int)
TEXT ·gatherAVX2(SB), NOSPLIT, $0-32
	MOVQ x+0(FP), SI
	MOVQ stride+8(FP), BX
	MOVQ at+16(FP), DI
	MOVQ n+24(FP), CX
	SHLQ $2, BX
	SHLQ $2, CX
	XORQ DX, DX

loop:
	MOVQ SI, R9
	TAKE(Y0)
	TAKE(Y1)
	TAKE(Y2)
	TAKE(Y3)
	TAKE(Y4)
	TAKE(Y5)
	TAKE(Y6)
	TAKE(Y7)
	TAKE(Y8)
	TAKE(Y9)
	TAKE(Y10)
	TAKE(Y11)
	TAKE(Y12)
	TAKE(Y13)
	TAKE(Y14)
	TAKE(Y15)
	BACK(Y0, Y4, Y8, Y12)
	BACK(Y1, Y5, Y9, Y13)
	BACK(Y2, Y6, Y10, Y14)
	BACK(Y3, Y7, Y11, Y15)
	BACK(Y0, Y1, Y2, Y3)
	BACK(Y4, Y5, Y6, Y7)
	TO(0, Y0)
	TO(8, Y1)
	TO(16, Y4)
	TO(24, Y5)
	ADDQ $32, DX
	CMPQ DX, CX
	JLT  loop
	VZEROUPPER
	RET
