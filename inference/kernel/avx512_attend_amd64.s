#include "textflag.h"
#include "avx512_amd64.h"

// CONSTANTS are those of EXP.
#define CONSTANTS \
	VBROADCASTSS ·expConstants+0(SB), Z16 \
	VBROADCASTSS ·expConstants+32(SB), Z17 \
	VBROADCASTSS ·expConstants+64(SB), Z18 \
	VBROADCASTSS ·expConstants+96(SB), Z19 \
	VBROADCASTSS ·expConstants+128(SB), Z20 \
	VBROADCASTSS ·expConstants+160(SB), Z21 \
	VBROADCASTSS ·expConstants+192(SB), Z22 \
	VBROADCASTSS ·expConstants+224(SB), Z23 \
	VBROADCASTSS ·expConstants+256(SB), Z24 \
	VBROADCASTSS ·expConstants+288(SB), Z25 \
	VBROADCASTSS ·expConstants+320(SB), Z26 \
	VBROADCASTSS ·expConstants+352(SB), Z27 \
	VBROADCASTSS ·expConstants+384(SB), Z28

// EXP makes the exponential function of Z1, 0 where that is below the least; Z2 to Z4 and K1 are spent.
#define EXP \
	VCMPPS       $0x15, Z16, Z1, K1 \
	VMULPS       Z18, Z1, Z2 \
	VRNDSCALEPS  $0, Z2, Z2 \
	VFMADD231PS  Z19, Z2, Z1 \
	VFMADD231PS  Z20, Z2, Z1 \
	VMOVAPS      Z23, Z3 \
	VFMADD213PS  Z24, Z1, Z3 \
	VFMADD213PS  Z25, Z1, Z3 \
	VFMADD213PS  Z26, Z1, Z3 \
	VFMADD213PS  Z27, Z1, Z3 \
	VFMADD213PS  Z28, Z1, Z3 \
	VMULPS       Z1, Z1, Z4 \
	VFMADD231PS  Z4, Z3, Z1 \
	VADDPS       Z22, Z1, Z1 \
	VCVTPS2DQ    Z2, Z2 \
	VPADDD       Z21, Z2, Z2 \
	VPSLLD       $23, Z2, Z2 \
	VMULPS.Z     Z2, Z1, K1, Z1

// func softmaxAVX512(weights *float32, n int) float32
TEXT ·softmaxAVX512(SB), NOSPLIT, $0-20
	MOVQ    weights+0(FP), SI
	MOVQ    n+8(FP), CX
	MOVQ    SI, DI
	MOVQ    CX, DX
	CONSTANTS
	VMOVUPS (SI), Z5

most:
	VMAXPS (DI), Z5, Z5
	ADDQ   $64, DI
	SUBQ   $16, DX
	JNZ    most

	VEXTRACTF64X4 $1, Z5, Y1
	VMAXPS        Y1, Y5, Y5
	VEXTRACTF128  $1, Y5, X1
	VMAXPS        X1, X5, X5
	VPERMILPS     $0x0E, X5, X1
	VMAXPS        X1, X5, X5
	VPERMILPS     $0x01, X5, X1
	VMAXPS        X1, X5, X5
	VBROADCASTSS  X5, Z5
	VPXORD        Z0, Z0, Z0

exponents:
	VMOVUPS (SI), Z1
	VSUBPS  Z5, Z1, Z1
	EXP
	VMOVUPS Z1, (SI)
	VADDPS  Z1, Z0, Z0
	ADDQ    $64, SI
	SUBQ    $16, CX
	JNZ     exponents

	TOTAL
	VMOVSS X0, ret+16(FP)
	VZEROUPPER
	RET

// func gateAVX512(gate, up *float32, n int)
TEXT ·gateAVX512(SB), NOSPLIT, $0-24
	MOVQ   gate+0(FP), DI
	MOVQ   up+8(FP), SI
	MOVQ   n+16(FP), CX
	CONSTANTS
	VPXORD Z6, Z6, Z6

loop:
	VMOVUPS (DI), Z0
	VSUBPS  Z0, Z6, Z1
	VMINPS  Z1, Z17, Z1
	EXP
	VADDPS  Z22, Z1, Z1
	VDIVPS  Z1, Z0, Z0
	VMULPS  (SI), Z0, Z0
	VMOVUPS Z0, (DI)
	ADDQ    $64, DI
	ADDQ    $64, SI
	SUBQ    $16, CX
	JNZ     loop
	VZEROUPPER
	RET

// func weighAVX512(out, x, weights *float32, scale float32, n int)
TEXT ·weighAVX512(SB), NOSPLIT, $0-40
	MOVQ         out+0(FP), DI
	MOVQ         x+8(FP), SI
	MOVQ         weights+16(FP), DX
	VBROADCASTSS scale+24(FP), Z2
	MOVQ         n+32(FP), CX

loop:
	VMULPS  (SI), Z2, Z0
	VMULPS  (DX), Z0, Z0
	VMOVUPS Z0, (DI)
	ADDQ    $64, DI
	ADDQ    $64, SI
	ADDQ    $64, DX
	SUBQ    $16, CX
	JNZ     loop
	VZEROUPPER
	RET

// EIGHT, FOUR, TWO and SINGLE add up lanes of two vectors into the second, as TOTAL does for one; Z28 is spent.
#define EIGHT(b, lower, a) \
	VINSERTF64X4 $1, lower, a, Z28 \
	VSHUFF64X2   $0xEE, b, a, a \
	VADDPS       Z28, a, a

#define FOUR(b, a) \
	VSHUFF32X4 $0x88, b, a, Z28 \
	VSHUFF32X4 $0xDD, b, a, a \
	VADDPS     Z28, a, a

#define TWO(b, a) \
	VUNPCKLPD b, a, Z28 \
	VUNPCKHPD b, a, a \
	VADDPS    Z28, a, a

#define SINGLE(b, a) \
	VSHUFPS $0x88, b, a, Z28 \
	VSHUFPS $0xDD, b, a, a \
	VADDPS  Z28, a, a

// NEXT asks for four keys at a and what lies 16 KB on: the next chunk of positions of a head of 64, which comes when other queries have been past
// this one.
#define NEXT(a) \
	PREFETCHT1 16384(a) \
	PREFETCHT1 16384(a)(R8*1) \
	PREFETCHT1 16384(a)(R8*2) \
	PREFETCHT1 16384(a)(R9*1)

// func scoresAVX512(query, keys *float32, vectors, count int, scale float32, scores *float32)
// Sixteen keys at a time, each of so many vectors.
TEXT ·scoresAVX512(SB), NOSPLIT, $0-48
	MOVQ         query+0(FP), DX
	MOVQ         keys+8(FP), SI
	MOVQ         vectors+16(FP), BX
	MOVQ         count+24(FP), CX
	VBROADCASTSS scale+32(FP), Z29
	MOVQ         scores+40(FP), DI
	MOVQ         BX, R8
	SHLQ         $6, R8
	LEAQ         (R8)(R8*2), R9
	LEAQ         (SI)(R8*4), R10
	LEAQ         (SI)(R8*8), R11
	LEAQ         (R10)(R8*8), R12
	LEAQ         (R9)(R8*4), R13
	LEAQ         (R13)(R8*8), R13

tiles:
	CLEAR(Z0, Z1, Z2, Z3)
	CLEAR(Z4, Z5, Z6, Z7)
	CLEAR(Z8, Z9, Z10, Z11)
	CLEAR(Z12, Z13, Z14, Z15)
	MOVQ   DX, R15
	MOVQ   BX, AX

vectors:
	NEXT(SI)
	NEXT(R10)
	NEXT(R11)
	NEXT(R12)
	VMOVUPS     (R15), Z16
	VFMADD231PS (SI), Z16, Z0
	VFMADD231PS (SI)(R8*1), Z16, Z1
	VFMADD231PS (SI)(R8*2), Z16, Z2
	VFMADD231PS (SI)(R9*1), Z16, Z3
	VFMADD231PS (R10), Z16, Z4
	VFMADD231PS (R10)(R8*1), Z16, Z5
	VFMADD231PS (R10)(R8*2), Z16, Z6
	VFMADD231PS (R10)(R9*1), Z16, Z7
	VFMADD231PS (R11), Z16, Z8
	VFMADD231PS (R11)(R8*1), Z16, Z9
	VFMADD231PS (R11)(R8*2), Z16, Z10
	VFMADD231PS (R11)(R9*1), Z16, Z11
	VFMADD231PS (R12), Z16, Z12
	VFMADD231PS (R12)(R8*1), Z16, Z13
	VFMADD231PS (R12)(R8*2), Z16, Z14
	VFMADD231PS (R12)(R9*1), Z16, Z15
	ADDQ        $64, SI
	ADDQ        $64, R10
	ADDQ        $64, R11
	ADDQ        $64, R12
	ADDQ        $64, R15
	DECQ        AX
	JNZ         vectors
	ADDQ        R13, SI
	ADDQ        R13, R10
	ADDQ        R13, R11
	ADDQ        R13, R12
	EIGHT(Z4, Y4, Z0)
	EIGHT(Z12, Y12, Z8)
	FOUR(Z8, Z0)
	EIGHT(Z5, Y5, Z1)
	EIGHT(Z13, Y13, Z9)
	FOUR(Z9, Z1)
	EIGHT(Z6, Y6, Z2)
	EIGHT(Z14, Y14, Z10)
	FOUR(Z10, Z2)
	EIGHT(Z7, Y7, Z3)
	EIGHT(Z15, Y15, Z11)
	FOUR(Z11, Z3)
	TWO(Z1, Z0)
	TWO(Z3, Z2)
	SINGLE(Z2, Z0)
	VMULPS      Z29, Z0, Z0
	VMOVUPS     Z0, (DI)
	ADDQ        $64, DI
	SUBQ        $16, CX
	JNZ         tiles
	VZEROUPPER
	RET

// func mixAVX512(out, values, weights *float32, n, vectors int)
// Adds to out: four vectors of all positions, then the next; what is left one by one.
TEXT ·mixAVX512(SB), NOSPLIT, $0-40
	MOVQ out+0(FP), DI
	MOVQ values+8(FP), SI
	MOVQ vectors+32(FP), BX
	MOVQ BX, R8
	SHLQ $6, R8

next:
	MOVQ   SI, R9
	MOVQ   weights+16(FP), DX
	MOVQ   n+24(FP), CX
	VMOVUPS (DI), Z0
	CMPQ   BX, $4
	JLT    one
	VMOVUPS 64(DI), Z1
	VMOVUPS 128(DI), Z2
	VMOVUPS 192(DI), Z3

four:
	VBROADCASTSS (DX), Z4
	VFMADD231PS  (R9), Z4, Z0
	VFMADD231PS  64(R9), Z4, Z1
	VFMADD231PS  128(R9), Z4, Z2
	VFMADD231PS  192(R9), Z4, Z3
	ADDQ         R8, R9
	ADDQ         $4, DX
	DECQ         CX
	JNZ          four
	VMOVUPS      Z0, (DI)
	VMOVUPS      Z1, 64(DI)
	VMOVUPS      Z2, 128(DI)
	VMOVUPS      Z3, 192(DI)
	ADDQ         $256, DI
	ADDQ         $256, SI
	SUBQ         $4, BX
	JNZ          next
	VZEROUPPER
	RET

one:
	VBROADCASTSS (DX), Z4
	VFMADD231PS  (R9), Z4, Z0
	ADDQ         R8, R9
	ADDQ         $4, DX
	DECQ         CX
	JNZ          one
	VMOVUPS      Z0, (DI)
	ADDQ         $64, DI
	ADDQ         $64, SI
	DECQ         BX
	JNZ          next
	VZEROUPPER
	RET

// Where every fourth of 64 words is.
DATA fourths<>+0(SB)/8, $0x000c000800040000
DATA fourths<>+8(SB)/8, $0x001c001800140010
DATA fourths<>+16(SB)/8, $0x002c002800240020
DATA fourths<>+24(SB)/8, $0x003c003800340030
GLOBL fourths<>(SB), RODATA|NOPTR, $32

DATA rounding<>+0(SB)/4, $0x7fffffff // all but the sign
DATA rounding<>+4(SB)/4, $0x45fff800 // topActivation, 8191
DATA rounding<>+8(SB)/4, $0x7f7fffff // the largest finite number
GLOBL rounding<>(SB), RODATA|NOPTR, $12

// WORDS makes words of two vectors of integers.
#define WORDS(a, b, ya, yb) \
	VPMOVDW      a, ya \
	VPMOVDW      b, yb \
	VINSERTI64X4 $1, yb, a, a

// FOURTHS keeps words at (DI): of each four in Z10, Z12, Z14 and Z16 the one that Z20 points at. Z21 and Z22 are spent.
#define FOURTHS(at) \
	VMOVDQA64    Z20, Z21 \
	VPERMI2W     Z12, Z10, Z21 \
	VMOVDQA64    Z20, Z22 \
	VPERMI2W     Z16, Z14, Z22 \
	VINSERTI64X4 $1, Y22, Z21, Z21 \
	VMOVDQU64    Z21, at(DI)

// func roundAVX512(row *float32, out *int16) float32
TEXT ·roundAVX512(SB), NOSPLIT, $0-20
	MOVQ         row+0(FP), SI
	MOVQ         out+8(FP), DI
	VPBROADCASTD rounding<>+0(SB), Z0
	VMOVUPS      (SI), Z10
	VMOVUPS      64(SI), Z11
	VMOVUPS      128(SI), Z12
	VMOVUPS      192(SI), Z13
	VMOVUPS      256(SI), Z14
	VMOVUPS      320(SI), Z15
	VMOVUPS      384(SI), Z16
	VMOVUPS      448(SI), Z17

	// As integers absolute values have their order, infinity and NaN above all.
	VPANDD        Z10, Z0, Z1
	VPANDD        Z11, Z0, Z2
	VPMAXUD       Z2, Z1, Z1
	VPANDD        Z12, Z0, Z2
	VPMAXUD       Z2, Z1, Z1
	VPANDD        Z13, Z0, Z2
	VPMAXUD       Z2, Z1, Z1
	VPANDD        Z14, Z0, Z2
	VPMAXUD       Z2, Z1, Z1
	VPANDD        Z15, Z0, Z2
	VPMAXUD       Z2, Z1, Z1
	VPANDD        Z16, Z0, Z2
	VPMAXUD       Z2, Z1, Z1
	VPANDD        Z17, Z0, Z2
	VPMAXUD       Z2, Z1, Z1
	VEXTRACTI64X4 $1, Z1, Y2
	VPMAXUD       Y2, Y1, Y1
	VEXTRACTI128  $1, Y1, X2
	VPMAXUD       X2, X1, X1
	VPSHUFD       $0x0E, X1, X2
	VPMAXUD       X2, X1, X1
	VPSHUFD       $0x01, X1, X2
	VPMAXUD       X2, X1, X1
	MOVL          X1, AX
	TESTL         AX, AX
	JZ            none
	CMPL          AX, rounding<>+8(SB)
	JHI           none

	VMOVSS       rounding<>+4(SB), X2
	VDIVSS       X2, X1, X3
	VMOVSS       X3, ret+16(FP)
	VDIVSS       X1, X2, X2
	VBROADCASTSS X2, Z2
	VMULPS       Z2, Z10, Z10
	VMULPS       Z2, Z11, Z11
	VMULPS       Z2, Z12, Z12
	VMULPS       Z2, Z13, Z13
	VMULPS       Z2, Z14, Z14
	VMULPS       Z2, Z15, Z15
	VMULPS       Z2, Z16, Z16
	VMULPS       Z2, Z17, Z17
	VCVTPS2DQ    Z10, Z10
	VCVTPS2DQ    Z11, Z11
	VCVTPS2DQ    Z12, Z12
	VCVTPS2DQ    Z13, Z13
	VCVTPS2DQ    Z14, Z14
	VCVTPS2DQ    Z15, Z15
	VCVTPS2DQ    Z16, Z16
	VCVTPS2DQ    Z17, Z17
	WORDS(Z10, Z11, Y10, Y11)
	WORDS(Z12, Z13, Y12, Y13)
	WORDS(Z14, Z15, Y14, Y15)
	WORDS(Z16, Z17, Y16, Y17)

	// The order of byWord.
	VMOVDQU32    fourths<>(SB), Y20
	FOURTHS(64)
	MOVL         $0x00010001, AX
	VPBROADCASTD AX, Z23
	VPADDW       Z23, Z20, Z20
	FOURTHS(0)
	VPADDW       Z23, Z20, Z20
	FOURTHS(192)
	VPADDW       Z23, Z20, Z20
	FOURTHS(128)
	VZEROUPPER
	RET

none:
	MOVL      AX, ret+16(FP)
	VPXORD    Z10, Z10, Z10
	VMOVDQU64 Z10, (DI)
	VMOVDQU64 Z10, 64(DI)
	VMOVDQU64 Z10, 128(DI)
	VMOVDQU64 Z10, 192(DI)
	VZEROUPPER
	RET
