#include "textflag.h"
#include "avx2_amd64.h"

// A vector is half a group: 64 weights in 32 bytes, eight of sixteen lanes. Each function goes over the first halves of all groups, then
// over the second ones, and adds up at the end: the same sums in the same order as with vectors of the whole.

DATA nibble<>+0(SB)/8, $0x0F0F0F0F0F0F0F0F
GLOBL nibble<>(SB), RODATA|NOPTR, $8

// LEVEL puts into Y6 the levels of nibbles that lie right bits up in the words of Y2; left brings their upper bit to the sign, which chooses
// between the two halves of the table. Y4 and Y5 are spent.
#define LEVEL(right, left) \
	VPSRLD    $right, Y2, Y4 \
	VPSLLD    $left, Y2, Y5 \
	VPERMPS   Y14, Y4, Y6 \
	VPERMPS   Y15, Y4, Y4 \
	VBLENDVPS Y5, Y4, Y6, Y6

// func nf4ExactAVX2(packed *byte, scales, x *float32, whole, half int) float32
TEXT ·nf4ExactAVX2(SB), NOSPLIT, $0-44
	MOVQ    packed+0(FP), SI
	MOVQ    scales+8(FP), DI
	MOVQ    x+16(FP), DX
	MOVQ    whole+24(FP), CX
	ADDQ    half+32(FP), CX
	VMOVUPS ·levels(SB), Y14
	VMOVUPS ·levels+32(SB), Y15
	VXORPS  Y0, Y0, Y0
	VXORPS  Y1, Y1, Y1
	MOVQ    $2, BX

halves:
	TESTQ CX, CX
	JZ    next

groups:
	VMOVDQU      (SI), Y2
	LEVEL(0, 28)
	VMULPS       (DX), Y6, Y3
	LEVEL(4, 24)
	VFMADD231PS  64(DX), Y6, Y3
	LEVEL(8, 20)
	VFMADD231PS  128(DX), Y6, Y3
	LEVEL(12, 16)
	VFMADD231PS  192(DX), Y6, Y3
	LEVEL(16, 12)
	VFMADD231PS  256(DX), Y6, Y3
	LEVEL(20, 8)
	VFMADD231PS  320(DX), Y6, Y3
	LEVEL(24, 4)
	VFMADD231PS  384(DX), Y6, Y3
	LEVEL(28, 0)
	VFMADD231PS  448(DX), Y6, Y3
	VBROADCASTSS (DI), Y4
	VFMADD231PS  Y4, Y3, Y0
	ADDQ         $64, SI
	ADDQ         $8, DI
	ADDQ         $512, DX
	DECQ         CX
	JNZ          groups

next:
	// The sum of the first halves is kept in Y1 while the second ones are summed.
	DECQ    BX
	JZ      done
	VMOVAPS Y0, Y1
	VXORPS  Y0, Y0, Y0
	MOVQ    packed+0(FP), SI
	MOVQ    scales+8(FP), DI
	MOVQ    x+16(FP), DX
	MOVQ    whole+24(FP), CX
	ADDQ    $32, SI
	ADDQ    $4, DI
	ADDQ    $32, DX
	JMP     halves

done:
	TOTAL8
	VMOVSS X0, ret+40(FP)
	VZEROUPPER
	RET

// DECODE makes words of the 64 nibbles at SI: Y1 and Y2 the low ones of the bytes, Y3 and Y4 the high ones, bytes 0 to 7 of each 16 first. Y5
// and Y6 are spent; Y13 to Y15 hold the mask and the levels' lower and upper bytes.
#define DECODE \
	VMOVDQU    (SI), Y4 \
	VPAND      Y13, Y4, Y3 \
	VPSRLW     $4, Y4, Y4 \
	VPAND      Y13, Y4, Y4 \
	VPSHUFB    Y3, Y14, Y5 \
	VPSHUFB    Y3, Y15, Y6 \
	VPUNPCKLBW Y6, Y5, Y1 \
	VPUNPCKHBW Y6, Y5, Y2 \
	VPSHUFB    Y4, Y14, Y5 \
	VPSHUFB    Y4, Y15, Y6 \
	VPUNPCKLBW Y6, Y5, Y3 \
	VPUNPCKHBW Y6, Y5, Y4

// PRODUCTS puts into z eight sums of the products of the weights in Y1 to Y4 with the activations at x; Y6 and Y7 are spent.
#define PRODUCTS(x, z) \
	VPMADDWD (x), Y1, z \
	VPMADDWD 32(x), Y2, Y6 \
	VPADDD   Y6, z, z \
	VPMADDWD 64(x), Y3, Y6 \
	VPMADDWD 96(x), Y4, Y7 \
	VPADDD   Y7, Y6, Y6 \
	VPADDD   Y6, z, z

// ONE adds the products of the next 64 weights with the activations at DX, times the scale of weights at w, to X0.
#define ONE(w) \
	DECODE \
	PRODUCTS(DX, Y5) \
	VEXTRACTI128 $1, Y5, X6 \
	VPADDD       X6, X5, X5 \
	VPHADDD      X5, X5, X5 \
	VPHADDD      X5, X5, X5 \
	VCVTDQ2PS    X5, X5 \
	VPBROADCASTW w(DI), X6 \
	VCVTPH2PS    X6, X6 \
	VMULSS       (BX), X6, X6 \
	VFMADD231SS  X6, X5, X0 \
	ADDQ         $32, SI \
	ADDQ         $128, DX

#define TABLES \
	VPBROADCASTQ   nibble<>(SB), Y13 \
	VBROADCASTI128 ·roundedBytes(SB), Y14 \
	VBROADCASTI128 ·roundedBytes+16(SB), Y15

// func nf4Int16AVX2(packed *byte, scales *uint16, x *int16, xScales *float32, whole, half int) float32
TEXT ·nf4Int16AVX2(SB), NOSPLIT, $0-52
	MOVQ   packed+0(FP), SI
	MOVQ   scales+8(FP), DI
	MOVQ   x+16(FP), DX
	MOVQ   xScales+24(FP), BX
	MOVQ   whole+32(FP), CX
	TABLES
	VXORPS X0, X0, X0
	TESTQ  CX, CX
	JZ     rest

groups:
	ONE(0)
	ONE(2)
	ADDQ $4, DI
	ADDQ $4, BX
	DECQ CX
	JNZ  groups

rest:
	CMPQ half+40(FP), $0
	JEQ  done
	ONE(0)

done:
	VMOVSS X0, ret+48(FP)
	VZEROUPPER
	RET

// FOUR is ONE for the rows at DX, R9, R10 and R11, into the four lanes of X0.
#define FOUR(w) \
	DECODE \
	PRODUCTS(DX, Y8) \
	PRODUCTS(R9, Y9) \
	PRODUCTS(R10, Y10) \
	PRODUCTS(R11, Y11) \
	VPHADDD      Y9, Y8, Y8 \
	VPHADDD      Y11, Y10, Y10 \
	VPHADDD      Y10, Y8, Y8 \
	VEXTRACTI128 $1, Y8, X9 \
	VPADDD       X9, X8, X8 \
	VCVTDQ2PS    X8, X8 \
	VMOVSS       (BX), X6 \
	VINSERTPS    $0x10, (R12), X6, X6 \
	VINSERTPS    $0x20, (R13), X6, X6 \
	VINSERTPS    $0x30, (R8), X6, X6 \
	VPBROADCASTW w(DI), X7 \
	VCVTPH2PS    X7, X7 \
	VMULPS       X6, X7, X6 \
	VFMADD231PS  X6, X8, X0 \
	ADDQ         $32, SI \
	ADDQ         $128, DX \
	ADDQ         $128, R9 \
	ADDQ         $128, R10 \
	ADDQ         $128, R11

// func nf4Int16x4AVX2(packed *byte, scales *uint16, x *int16, xScales *float32, stride, whole, half int, sums *[4]float32)
TEXT ·nf4Int16x4AVX2(SB), NOSPLIT, $0-64
	MOVQ   packed+0(FP), SI
	MOVQ   scales+8(FP), DI
	MOVQ   x+16(FP), DX
	MOVQ   xScales+24(FP), BX
	MOVQ   stride+32(FP), R8
	MOVQ   R8, AX
	SHLQ   $8, AX
	LEAQ   (DX)(AX*1), R9
	LEAQ   (DX)(AX*2), R10
	LEAQ   (R9)(AX*2), R11
	LEAQ   (BX)(R8*4), R12
	LEAQ   (BX)(R8*8), R13
	LEAQ   (R12)(R8*8), R8
	MOVQ   whole+40(FP), CX
	TABLES
	VXORPS X0, X0, X0
	TESTQ  CX, CX
	JZ     rest

groups:
	FOUR(0)
	FOUR(2)
	ADDQ $4, DI
	ADDQ $4, BX
	ADDQ $4, R12
	ADDQ $4, R13
	ADDQ $4, R8
	DECQ CX
	JNZ  groups

rest:
	CMPQ half+48(FP), $0
	JEQ  done
	FOUR(0)

done:
	MOVQ    sums+56(FP), AX
	VMOVUPS X0, (AX)
	VZEROUPPER
	RET

// EIGHT turns eight words of two weights of eight rows, at R10 and R9 bytes apart, into vectors of the rows 64 bytes apart at R11.
#define EIGHT \
	MOVQ       R10, R12 \
	VMOVDQU    (R12), Y0 \
	VMOVDQU    (R12)(R9*1), Y1 \
	LEAQ       (R12)(R9*2), R12 \
	VMOVDQU    (R12), Y2 \
	VMOVDQU    (R12)(R9*1), Y3 \
	LEAQ       (R12)(R9*2), R12 \
	VMOVDQU    (R12), Y4 \
	VMOVDQU    (R12)(R9*1), Y5 \
	LEAQ       (R12)(R9*2), R12 \
	VMOVDQU    (R12), Y6 \
	VMOVDQU    (R12)(R9*1), Y7 \
	VPUNPCKLDQ Y1, Y0, Y8 \
	VPUNPCKHDQ Y1, Y0, Y9 \
	VPUNPCKLDQ Y3, Y2, Y10 \
	VPUNPCKHDQ Y3, Y2, Y11 \
	VPUNPCKLDQ Y5, Y4, Y0 \
	VPUNPCKHDQ Y5, Y4, Y1 \
	VPUNPCKLDQ Y7, Y6, Y2 \
	VPUNPCKHDQ Y7, Y6, Y3 \
	QUAD(Y8, Y10, Y0, Y2, VPUNPCKLQDQ, 0) \
	QUAD(Y8, Y10, Y0, Y2, VPUNPCKHQDQ, 64) \
	QUAD(Y9, Y11, Y1, Y3, VPUNPCKLQDQ, 128) \
	QUAD(Y9, Y11, Y1, Y3, VPUNPCKHQDQ, 192)

// QUAD keeps one word of four rows and of four more, and the word four later.
#define QUAD(a, b, c, d, unpack, at) \
	unpack     b, a, Y4 \
	unpack     d, c, Y5 \
	VPERM2I128 $0x20, Y5, Y4, Y6 \
	VPERM2I128 $0x31, Y5, Y4, Y7 \
	VMOVDQU    Y6, at(R11) \
	VMOVDQU    Y7, 256+at(R11)

// func nf4PanelAVX2(packed *byte, stride, blocks int, panel, words *int16)
// Decodes the rows one by one, then turns eight words of eight rows at a time.
TEXT ·nf4PanelAVX2(SB), NOSPLIT, $0-40
	MOVQ packed+0(FP), R8
	MOVQ words+32(FP), DI
	MOVQ $16, DX
	TABLES

rows:
	MOVQ R8, SI
	MOVQ blocks+16(FP), CX

blocks:
	DECODE
	VMOVDQU Y1, (DI)
	VMOVDQU Y2, 32(DI)
	VMOVDQU Y3, 64(DI)
	VMOVDQU Y4, 96(DI)
	ADDQ    $32, SI
	ADDQ    $128, DI
	DECQ    CX
	JNZ     blocks
	ADDQ    stride+8(FP), R8
	DECQ    DX
	JNZ     rows

	MOVQ blocks+16(FP), CX
	MOVQ CX, R9
	SHLQ $7, R9 // bytes of a row's words
	SHLQ $2, CX // times eight words
	MOVQ words+32(FP), R10
	MOVQ panel+24(FP), R11

turn:
	EIGHT
	LEAQ (R10)(R9*8), R10
	ADDQ $32, R11
	EIGHT
	LEAQ (R9*8), AX
	SUBQ AX, R10
	ADDQ $32, R10
	ADDQ $480, R11
	DECQ CX
	JNZ  turn
	VZEROUPPER
	RET

// EACH adds the products of the weights in Y8 and Y9 with those of one row of activations to two sums; Y10 and Y11 are spent.
#define EACH(x, a, b) \
	VPBROADCASTD x, Y10 \
	VPMADDWD     Y8, Y10, Y11 \
	VPADDD       Y11, a, a \
	VPMADDWD     Y9, Y10, Y11 \
	VPADDD       Y11, b, b

// STEP is a word of two weights of all rows.
#define STEP(w, x) \
	VMOVDQU w(SI), Y8 \
	VMOVDQU 32+w(SI), Y9 \
	EACH(x(DX), Y0, Y1) \
	EACH(x(R9), Y2, Y3) \
	EACH(x(R10), Y4, Y5) \
	EACH(x(R11), Y6, Y7)

// ADDSUM adds a block's sums times the scales in w and at s to what is at to(AX), and clears them.
#define ADDSUM(z, w, s, to) \
	VBROADCASTSS s(BX), Y10 \
	VMULPS       w, Y10, Y10 \
	VCVTDQ2PS    z, z \
	VMOVUPS      to(AX), Y11 \
	VFMADD231PS  Y10, z, Y11 \
	VMOVUPS      Y11, to(AX) \
	VPXOR        z, z, z

// func nf4RowsAVX2(panel *int16, scales *uint16, x *int16, xScales *float32, groups, blocks int, sums *[12][16]float32)
// Four rows of activations times the panel.
TEXT ·nf4RowsAVX2(SB), NOSPLIT, $0-56
	MOVQ  panel+0(FP), SI
	MOVQ  scales+8(FP), DI
	MOVQ  x+16(FP), DX
	MOVQ  xScales+24(FP), BX
	MOVQ  groups+32(FP), R8
	SHLQ  $8, R8
	LEAQ  (DX)(R8*1), R9
	LEAQ  (DX)(R8*2), R10
	LEAQ  (R9)(R8*2), R11
	MOVQ  blocks+40(FP), CX
	MOVQ  sums+48(FP), AX
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
	VPXOR Y4, Y4, Y4
	VPXOR Y5, Y5, Y5
	VPXOR Y6, Y6, Y6
	VPXOR Y7, Y7, Y7
	VMOVDQU Y0, (AX)
	VMOVDQU Y0, 32(AX)
	VMOVDQU Y0, 64(AX)
	VMOVDQU Y0, 96(AX)
	VMOVDQU Y0, 128(AX)
	VMOVDQU Y0, 160(AX)
	VMOVDQU Y0, 192(AX)
	VMOVDQU Y0, 224(AX)
	XORQ  R13, R13

blocks:
	MOVQ $8, R12

steps:
	STEP(0, 0)
	STEP(64, 4)
	STEP(128, 8)
	STEP(192, 12)
	ADDQ $256, SI
	ADDQ $16, DX
	ADDQ $16, R9
	ADDQ $16, R10
	ADDQ $16, R11
	DECQ R12
	JNZ  steps
	VCVTPH2PS (DI), Y12
	VCVTPH2PS 16(DI), Y13
	ADDSUM(Y0, Y12, 0, 0)
	ADDSUM(Y1, Y13, 0, 32)
	ADDSUM(Y2, Y12, 4, 64)
	ADDSUM(Y3, Y13, 4, 96)
	ADDSUM(Y4, Y12, 8, 128)
	ADDSUM(Y5, Y13, 8, 160)
	ADDSUM(Y6, Y12, 12, 192)
	ADDSUM(Y7, Y13, 12, 224)
	ADDQ $32, DI
	MOVQ R13, R12
	SHLQ $4, R12
	ADDQ R12, BX // sixteen bytes after every second block
	XORQ $1, R13
	DECQ CX
	JNZ  blocks
	VZEROUPPER
	RET

// func dotAVX2(a, b *float32, n int) float32
TEXT ·dotAVX2(SB), NOSPLIT, $0-28
	MOVQ   a+0(FP), SI
	MOVQ   b+8(FP), DI
	MOVQ   n+16(FP), CX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1

loop:
	VMOVUPS     (SI), Y2
	VMOVUPS     32(SI), Y3
	VFMADD231PS (DI), Y2, Y0
	VFMADD231PS 32(DI), Y3, Y1
	ADDQ        $64, SI
	ADDQ        $64, DI
	SUBQ        $16, CX
	JNZ         loop
	TOTAL8
	VMOVSS      X0, ret+24(FP)
	VZEROUPPER
	RET

// func addScaledAVX2(y, x *float32, a float32, n int)
TEXT ·addScaledAVX2(SB), NOSPLIT, $0-32
	MOVQ         y+0(FP), DI
	MOVQ         x+8(FP), SI
	VBROADCASTSS a+16(FP), Y2
	MOVQ         n+24(FP), CX

loop:
	VMOVUPS     (DI), Y0
	VMOVUPS     32(DI), Y1
	VFMADD231PS (SI), Y2, Y0
	VFMADD231PS 32(SI), Y2, Y1
	VMOVUPS     Y0, (DI)
	VMOVUPS     Y1, 32(DI)
	ADDQ        $64, SI
	ADDQ        $64, DI
	SUBQ        $16, CX
	JNZ         loop
	VZEROUPPER
	RET

// func widenF16AVX2(data *byte, values *float32, n int)
TEXT ·widenF16AVX2(SB), NOSPLIT, $0-24
	MOVQ data+0(FP), SI
	MOVQ values+8(FP), DI
	MOVQ n+16(FP), CX

loop:
	VCVTPH2PS (SI), Y0
	VCVTPH2PS 16(SI), Y1
	VMOVUPS   Y0, (DI)
	VMOVUPS   Y1, 32(DI)
	ADDQ      $32, SI
	ADDQ      $64, DI
	SUBQ      $16, CX
	JNZ       loop
	VZEROUPPER
	RET

// func widenBF16AVX2(data *byte, values *float32, n int)
TEXT ·widenBF16AVX2(SB), NOSPLIT, $0-24
	MOVQ data+0(FP), SI
	MOVQ values+8(FP), DI
	MOVQ n+16(FP), CX

loop:
	VPMOVZXWD (SI), Y0
	VPMOVZXWD 16(SI), Y1
	VPSLLD    $16, Y0, Y0
	VPSLLD    $16, Y1, Y1
	VMOVDQU   Y0, (DI)
	VMOVDQU   Y1, 32(DI)
	ADDQ      $32, SI
	ADDQ      $64, DI
	SUBQ      $16, CX
	JNZ       loop
	VZEROUPPER
	RET

// func largestAVX2(values *float32, n int) float32
TEXT ·largestAVX2(SB), NOSPLIT, $0-20
	MOVQ    values+0(FP), SI
	MOVQ    n+8(FP), CX
	VMOVUPS (SI), Y0
	VMOVUPS 32(SI), Y1

loop:
	VMAXPS (SI), Y0, Y0
	VMAXPS 32(SI), Y1, Y1
	ADDQ   $64, SI
	SUBQ   $16, CX
	JNZ    loop
	VMAXPS       Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VMAXPS       X1, X0, X0
	VPERMILPS    $0x0E, X0, X1
	VMAXPS       X1, X0, X0
	VPERMILPS    $0x01, X0, X1
	VMAXPS       X1, X0, X0
	VMOVSS       X0, ret+16(FP)
	VZEROUPPER
	RET
