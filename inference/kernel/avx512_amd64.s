#include "textflag.h"

// Which of two scales a lane takes: the first for 8 lanes, then the second.
DATA halves<>+0(SB)/8, $0x0000000000000000
DATA halves<>+8(SB)/8, $0x0000000000000000
DATA halves<>+16(SB)/8, $0x0000000000000000
DATA halves<>+24(SB)/8, $0x0000000000000000
DATA halves<>+32(SB)/8, $0x0000000100000001
DATA halves<>+40(SB)/8, $0x0000000100000001
DATA halves<>+48(SB)/8, $0x0000000100000001
DATA halves<>+56(SB)/8, $0x0000000100000001
GLOBL halves<>(SB), RODATA|NOPTR, $64

// TOTAL adds up the lanes of Z0 into X0, halving the vector; Z1 is spent.
#define TOTAL \
	VEXTRACTF64X4 $1, Z0, Y1 \
	VADDPS        Y1, Y0, Y0 \
	VEXTRACTF128  $1, Y0, X1 \
	VADDPS        X1, X0, X0 \
	VPERMILPS     $0x0E, X0, X1 \
	VADDPS        X1, X0, X0 \
	VPERMILPS     $0x01, X0, X1 \
	VADDPS        X1, X0, X0

// PART multiplies the 128 weights in Z1 by the activations at DX into Z3; Z4 and Z5 are spent.
#define PART \
	VPERMPS     Z30, Z1, Z2 \
	VMULPS      (DX), Z2, Z3 \
	VPSRLD      $4, Z1, Z4 \
	VPERMPS     Z30, Z4, Z5 \
	VFMADD231PS 64(DX), Z5, Z3 \
	VPSRLD      $8, Z1, Z4 \
	VPERMPS     Z30, Z4, Z5 \
	VFMADD231PS 128(DX), Z5, Z3 \
	VPSRLD      $12, Z1, Z4 \
	VPERMPS     Z30, Z4, Z5 \
	VFMADD231PS 192(DX), Z5, Z3 \
	VPSRLD      $16, Z1, Z4 \
	VPERMPS     Z30, Z4, Z5 \
	VFMADD231PS 256(DX), Z5, Z3 \
	VPSRLD      $20, Z1, Z4 \
	VPERMPS     Z30, Z4, Z5 \
	VFMADD231PS 320(DX), Z5, Z3 \
	VPSRLD      $24, Z1, Z4 \
	VPERMPS     Z30, Z4, Z5 \
	VFMADD231PS 384(DX), Z5, Z3 \
	VPSRLD      $28, Z1, Z4 \
	VPERMPS     Z30, Z4, Z5 \
	VFMADD231PS 448(DX), Z5, Z3

// func nf4ExactAVX512(packed *byte, scales, x *float32, whole, half int) float32
TEXT ·nf4ExactAVX512(SB), NOSPLIT, $0-44
	MOVQ      packed+0(FP), SI
	MOVQ      scales+8(FP), DI
	MOVQ      x+16(FP), DX
	MOVQ      whole+24(FP), CX
	VMOVUPS   ·levels(SB), Z30
	VMOVDQU32 halves<>(SB), Z29
	VPXORD    Z0, Z0, Z0
	TESTQ     CX, CX
	JZ        rest

groups:
	VMOVDQU32    (SI), Z1
	PART
	VBROADCASTSD (DI), Z6
	VPERMPS      Z6, Z29, Z6
	VFMADD231PS  Z6, Z3, Z0
	ADDQ         $64, SI
	ADDQ         $8, DI
	ADDQ         $512, DX
	DECQ         CX
	JNZ          groups

rest:
	MOVQ         half+32(FP), CX
	TESTQ        CX, CX
	JZ           done
	VMOVDQU      (SI), Y1
	PART
	VBROADCASTSS (DI), Y6
	VFMADD231PS  Z6, Z3, Z0

done:
	TOTAL
	VMOVSS     X0, ret+40(FP)
	VZEROUPPER
	RET

// EACH adds the products of the weights in Z5 with four rows of activations to Z20 to Z23.
#define EACH(at) \
	VFMADD231PS at(DX), Z5, Z20 \
	VFMADD231PS at(R9), Z5, Z21 \
	VFMADD231PS at(R10), Z5, Z22 \
	VFMADD231PS at(R11), Z5, Z23

// PARTS is PART for four rows, into Z20 to Z23.
#define PARTS \
	VPERMPS     Z30, Z1, Z5 \
	VMULPS      (DX), Z5, Z20 \
	VMULPS      (R9), Z5, Z21 \
	VMULPS      (R10), Z5, Z22 \
	VMULPS      (R11), Z5, Z23 \
	VPSRLD $4, Z1, Z4 \
	VPERMPS Z30, Z4, Z5 \
	EACH(64) \
	VPSRLD $8, Z1, Z4 \
	VPERMPS Z30, Z4, Z5 \
	EACH(128) \
	VPSRLD $12, Z1, Z4 \
	VPERMPS Z30, Z4, Z5 \
	EACH(192) \
	VPSRLD $16, Z1, Z4 \
	VPERMPS Z30, Z4, Z5 \
	EACH(256) \
	VPSRLD $20, Z1, Z4 \
	VPERMPS Z30, Z4, Z5 \
	EACH(320) \
	VPSRLD $24, Z1, Z4 \
	VPERMPS Z30, Z4, Z5 \
	EACH(384) \
	VPSRLD $28, Z1, Z4 \
	VPERMPS Z30, Z4, Z5 \
	EACH(448)

#define ADDPARTS \
	VFMADD231PS Z6, Z20, Z0 \
	VFMADD231PS Z6, Z21, Z10 \
	VFMADD231PS Z6, Z22, Z11 \
	VFMADD231PS Z6, Z23, Z12

// func nf4Exactx4AVX512(packed *byte, scales, x *float32, stride, whole, half int, sums *[4]float32)
TEXT ·nf4Exactx4AVX512(SB), NOSPLIT, $0-56
	MOVQ      packed+0(FP), SI
	MOVQ      scales+8(FP), DI
	MOVQ      x+16(FP), DX
	MOVQ      stride+24(FP), AX
	SHLQ      $9, AX
	LEAQ      (DX)(AX*1), R9
	LEAQ      (DX)(AX*2), R10
	LEAQ      (R9)(AX*2), R11
	MOVQ      whole+32(FP), CX
	VMOVUPS   ·levels(SB), Z30
	VMOVDQU32 halves<>(SB), Z29
	VPXORD    Z0, Z0, Z0
	VPXORD    Z10, Z10, Z10
	VPXORD    Z11, Z11, Z11
	VPXORD    Z12, Z12, Z12
	TESTQ     CX, CX
	JZ        rest

groups:
	VMOVDQU32    (SI), Z1
	PARTS
	VBROADCASTSD (DI), Z6
	VPERMPS      Z6, Z29, Z6
	ADDPARTS
	ADDQ         $64, SI
	ADDQ         $8, DI
	ADDQ         $512, DX
	ADDQ         $512, R9
	ADDQ         $512, R10
	ADDQ         $512, R11
	DECQ         CX
	JNZ          groups

rest:
	MOVQ         half+40(FP), CX
	TESTQ        CX, CX
	JZ           done
	VMOVDQU      (SI), Y1
	PARTS
	VBROADCASTSS (DI), Y6
	ADDPARTS

done:
	MOVQ    sums+48(FP), AX
	TOTAL
	VMOVSS  X0, 0(AX)
	VMOVAPS Z10, Z0
	TOTAL
	VMOVSS  X0, 4(AX)
	VMOVAPS Z11, Z0
	TOTAL
	VMOVSS  X0, 8(AX)
	VMOVAPS Z12, Z0
	TOTAL
	VMOVSS  X0, 12(AX)
	VZEROUPPER
	RET

// DECODE makes words of the nibbles in Z1, which is spent: Z16 to Z19, by their place from the low end.
#define DECODE \
	VPERMW Z30, Z1, Z16 \
	VPSRLW $4, Z1, Z2 \
	VPERMW Z30, Z2, Z17 \
	VPSRLW $8, Z1, Z2 \
	VPERMW Z30, Z2, Z18 \
	VPSRLW $12, Z1, Z1 \
	VPERMW Z30, Z1, Z19

// SUM adds to acc the products of the weights in Z16 to Z19 with the activations at x, times the scales of weights in Z4 and of
// activations at s; Z5 and Z6 are spent.
#define SUM(x, s, acc) \
	VPMADDWD    (x), Z16, Z5 \
	VPDPWSSD    64(x), Z17, Z5 \
	VPDPWSSD    128(x), Z18, Z5 \
	VPDPWSSD    192(x), Z19, Z5 \
	VCVTDQ2PS   Z5, Z5 \
	VMULPS.BCST (s), Z4, Z6 \
	VFMADD231PS Z6, Z5, acc

// func nf4Int16AVX512(packed *byte, scales *float32, x *int16, xScales *float32, whole, half int) float32
TEXT ·nf4Int16AVX512(SB), NOSPLIT, $0-52
	MOVQ      packed+0(FP), SI
	MOVQ      scales+8(FP), DI
	MOVQ      x+16(FP), DX
	MOVQ      xScales+24(FP), BX
	MOVQ      whole+32(FP), CX
	VMOVDQU32 ·rounded(SB), Z30
	VMOVDQU32 halves<>(SB), Z29
	VPXORD    Z0, Z0, Z0
	TESTQ     CX, CX
	JZ        rest

groups:
	VMOVDQU64    (SI), Z1
	DECODE
	VBROADCASTSD (DI), Z4
	VPERMPS      Z4, Z29, Z4
	SUM(DX, BX, Z0)
	ADDQ         $64, SI
	ADDQ         $8, DI
	ADDQ         $256, DX
	ADDQ         $4, BX
	DECQ         CX
	JNZ          groups

rest:
	MOVQ         half+40(FP), CX
	TESTQ        CX, CX
	JZ           done
	VMOVDQU      (SI), Y1
	DECODE
	VBROADCASTSS (DI), Y4
	SUM(DX, BX, Z0)

done:
	TOTAL
	VMOVSS     X0, ret+48(FP)
	VZEROUPPER
	RET

// func nf4Int16x4AVX512(packed *byte, scales *float32, x *int16, xScales *float32, stride, whole, half int, sums *[4]float32)
TEXT ·nf4Int16x4AVX512(SB), NOSPLIT, $0-64
	MOVQ      packed+0(FP), SI
	MOVQ      scales+8(FP), DI
	MOVQ      x+16(FP), DX
	MOVQ      xScales+24(FP), BX
	MOVQ      stride+32(FP), R8
	MOVQ      R8, AX
	SHLQ      $8, AX
	LEAQ      (DX)(AX*1), R9
	LEAQ      (DX)(AX*2), R10
	LEAQ      (R9)(AX*2), R11
	LEAQ      (BX)(R8*4), R12
	LEAQ      (BX)(R8*8), R13
	LEAQ      (R12)(R8*8), R8
	MOVQ      whole+40(FP), CX
	VMOVDQU32 ·rounded(SB), Z30
	VMOVDQU32 halves<>(SB), Z29
	VPXORD    Z0, Z0, Z0
	VPXORD    Z10, Z10, Z10
	VPXORD    Z11, Z11, Z11
	VPXORD    Z12, Z12, Z12
	TESTQ     CX, CX
	JZ        rest

groups:
	VMOVDQU64    (SI), Z1
	DECODE
	VBROADCASTSD (DI), Z4
	VPERMPS      Z4, Z29, Z4
	SUM(DX, BX, Z0)
	SUM(R9, R12, Z10)
	SUM(R10, R13, Z11)
	SUM(R11, R8, Z12)
	ADDQ         $64, SI
	ADDQ         $8, DI
	ADDQ         $256, DX
	ADDQ         $256, R9
	ADDQ         $256, R10
	ADDQ         $256, R11
	ADDQ         $4, BX
	ADDQ         $4, R12
	ADDQ         $4, R13
	ADDQ         $4, R8
	DECQ         CX
	JNZ          groups

rest:
	MOVQ         half+48(FP), CX
	TESTQ        CX, CX
	JZ           done
	VMOVDQU      (SI), Y1
	DECODE
	VBROADCASTSS (DI), Y4
	SUM(DX, BX, Z0)
	SUM(R9, R12, Z10)
	SUM(R10, R13, Z11)
	SUM(R11, R8, Z12)

done:
	MOVQ    sums+56(FP), AX
	TOTAL
	VMOVSS  X0, 0(AX)
	VMOVAPS Z10, Z0
	TOTAL
	VMOVSS  X0, 4(AX)
	VMOVAPS Z11, Z0
	TOTAL
	VMOVSS  X0, 8(AX)
	VMOVAPS Z12, Z0
	TOTAL
	VMOVSS  X0, 12(AX)
	VZEROUPPER
	RET

// func quantisedAVX512(weights *int8, scales *float32, x *int16, xScales *float32, groups int) float32
TEXT ·quantisedAVX512(SB), NOSPLIT, $0-44
	MOVQ      weights+0(FP), SI
	MOVQ      scales+8(FP), DI
	MOVQ      x+16(FP), DX
	MOVQ      xScales+24(FP), BX
	MOVQ      groups+32(FP), CX
	VMOVDQU32 halves<>(SB), Z29
	VPXORD    Z0, Z0, Z0
	TESTQ     CX, CX
	JZ        done

groups:
	VPMOVSXBW    (SI), Z16
	VPMOVSXBW    32(SI), Z17
	VPMOVSXBW    64(SI), Z18
	VPMOVSXBW    96(SI), Z19
	VBROADCASTSD (DI), Z4
	VPERMPS      Z4, Z29, Z4
	SUM(DX, BX, Z0)
	ADDQ         $128, SI
	ADDQ         $8, DI
	ADDQ         $256, DX
	ADDQ         $4, BX
	DECQ         CX
	JNZ          groups

done:
	TOTAL
	VMOVSS     X0, ret+40(FP)
	VZEROUPPER
	RET

// func dotAVX512(a, b *float32, n int) float32
TEXT ·dotAVX512(SB), NOSPLIT, $0-28
	MOVQ   a+0(FP), SI
	MOVQ   b+8(FP), DI
	MOVQ   n+16(FP), CX
	VPXORD Z0, Z0, Z0

loop:
	VMOVUPS     (SI), Z1
	VFMADD231PS (DI), Z1, Z0
	ADDQ        $64, SI
	ADDQ        $64, DI
	SUBQ        $16, CX
	JNZ         loop
	TOTAL
	VMOVSS      X0, ret+24(FP)
	VZEROUPPER
	RET

// func addScaledAVX512(y, x *float32, a float32, n int)
TEXT ·addScaledAVX512(SB), NOSPLIT, $0-32
	MOVQ         y+0(FP), DI
	MOVQ         x+8(FP), SI
	VBROADCASTSS a+16(FP), Z2
	MOVQ         n+24(FP), CX

loop:
	VMOVUPS     (DI), Z0
	VFMADD231PS (SI), Z2, Z0
	VMOVUPS     Z0, (DI)
	ADDQ        $64, SI
	ADDQ        $64, DI
	SUBQ        $16, CX
	JNZ         loop
	VZEROUPPER
	RET
