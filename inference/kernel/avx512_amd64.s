#include "textflag.h"
#include "avx512_amd64.h"

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
	CLEAR(Z0, Z10, Z11, Z12)
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

// COLUMN puts 16 bytes of rows i, 4 + i, 8 + i and 12 + i of a tile into the four quarters of a vector, from the addresses of the first four.
#define COLUMN(a, b, c, d, z) \
	VBROADCASTI32X4 a, z \
	VBROADCASTI32X4 b, K1, z \
	VBROADCASTI32X4 c, K2, z \
	VBROADCASTI32X4 d, K3, z

// CHUNK loads 16 bytes from at on of each of 16 rows and turns them: Z10 to Z13 hold 8 weights of every row. Z14, Z15, Z28 and Z29 are spent.
// SI, R10, R11 and R12 are rows 0, 4, 8 and 12; R8 and R9 are the bytes of one row and of three.
#define CHUNK(at) \
	COLUMN(at(SI), at(R10), at(R11), at(R12), Z10) \
	COLUMN(at(SI)(R8*1), at(R10)(R8*1), at(R11)(R8*1), at(R12)(R8*1), Z11) \
	COLUMN(at(SI)(R8*2), at(R10)(R8*2), at(R11)(R8*2), at(R12)(R8*2), Z12) \
	COLUMN(at(SI)(R9*1), at(R10)(R9*1), at(R11)(R9*1), at(R12)(R9*1), Z13) \
	VPUNPCKLDQ  Z11, Z10, Z14 \
	VPUNPCKHDQ  Z11, Z10, Z15 \
	VPUNPCKLDQ  Z13, Z12, Z28 \
	VPUNPCKHDQ  Z13, Z12, Z29 \
	VPUNPCKLQDQ Z28, Z14, Z10 \
	VPUNPCKHQDQ Z28, Z14, Z11 \
	VPUNPCKLQDQ Z29, Z15, Z12 \
	VPUNPCKHQDQ Z29, Z15, Z13

// TILE makes ready for CHUNK and DECODE with SI and R8: where rows are, which quarters are filled, the levels.
#define TILE \
	LEAQ      (R8)(R8*2), R9 \
	LEAQ      (SI)(R8*4), R10 \
	LEAQ      (SI)(R8*8), R11 \
	LEAQ      (R10)(R8*8), R12 \
	MOVL      $0x00F0, AX \
	KMOVW     AX, K1 \
	MOVL      $0x0F00, AX \
	KMOVW     AX, K2 \
	MOVL      $0xF000, AX \
	KMOVW     AX, K3 \
	VMOVDQU32 ·rounded(SB), Z30

#define STEP \
	ADDQ $32, SI \
	ADDQ $32, R10 \
	ADDQ $32, R11 \
	ADDQ $32, R12

// DECODE makes words of the nibbles in z, which is spent: Z16 to Z19, by their place from the low end.
#define DECODE(z) \
	VPERMW Z30, z, Z16 \
	VPSRLW $4, z, Z2 \
	VPERMW Z30, Z2, Z17 \
	VPSRLW $8, z, Z2 \
	VPERMW Z30, Z2, Z18 \
	VPSRLW $12, z, z \
	VPERMW Z30, z, Z19

// DISTANCE is how many bytes ahead weights are asked for: a tile of rows of R8 bytes, at least eight KB. AX is spent.
#define DISTANCE(bytes) \
	MOVQ    R8, bytes \
	SHLQ    $4, bytes \
	MOVQ    $8192, AX \
	CMPQ    bytes, AX \
	CMOVQLT AX, bytes

// PRODUCTS keeps at AX the products of the weights in Z1 with the activations at R15. What comes R9 bytes later is asked for: the
// processor does not see by itself where rows go on.
#define PRODUCTS \
	PREFETCHT1 (R14)(R9*1) \
	DECODE(Z1) \
	VPMADDWD   (R15), Z16, Z5 \
	VPDPWSSD   64(R15), Z17, Z5 \
	VPDPWSSD   128(R15), Z18, Z5 \
	VPDPWSSD   192(R15), Z19, Z5 \
	VMOVDQU32  Z5, (AX)

// QUARTERS, HALVES and SINGLES add up lanes of two vectors into the second: of each block of two rows four lanes are left, of four rows two,
// of eight rows one. Z28 is spent.
#define QUARTERS(b, a) \
	VSHUFI32X4 $0xDD, b, a, Z28 \
	VSHUFI32X4 $0x88, b, a, a \
	VPADDD     Z28, a, a

#define HALVES(b, a) \
	VPUNPCKHQDQ b, a, Z28 \
	VPUNPCKLQDQ b, a, a \
	VPADDD      Z28, a, a

#define SINGLES(b, a) \
	VSHUFPS $0xDD, b, a, Z28 \
	VSHUFPS $0x88, b, a, a \
	VPADDD  Z28, a, a

// BLOCKS adds up the products of a group of all sixteen rows, at AX: Z14 those of its first block, Z15 of its second.
#define BLOCKS \
	VMOVDQU32 0(AX), Z6 \
	VMOVDQU32 256(AX), Z5 \
	QUARTERS(Z5, Z6) \
	VMOVDQU32 64(AX), Z7 \
	VMOVDQU32 320(AX), Z5 \
	QUARTERS(Z5, Z7) \
	HALVES(Z7, Z6) \
	VMOVDQU32 128(AX), Z8 \
	VMOVDQU32 384(AX), Z5 \
	QUARTERS(Z5, Z8) \
	VMOVDQU32 192(AX), Z9 \
	VMOVDQU32 448(AX), Z5 \
	QUARTERS(Z5, Z9) \
	HALVES(Z9, Z8) \
	SINGLES(Z8, Z6) \
	VMOVDQU32 512(AX), Z10 \
	VMOVDQU32 768(AX), Z5 \
	QUARTERS(Z5, Z10) \
	VMOVDQU32 576(AX), Z11 \
	VMOVDQU32 832(AX), Z5 \
	QUARTERS(Z5, Z11) \
	HALVES(Z11, Z10) \
	VMOVDQU32 640(AX), Z12 \
	VMOVDQU32 896(AX), Z5 \
	QUARTERS(Z5, Z12) \
	VMOVDQU32 704(AX), Z13 \
	VMOVDQU32 960(AX), Z5 \
	QUARTERS(Z5, Z13) \
	HALVES(Z13, Z12) \
	SINGLES(Z12, Z10) \
	VSHUFI32X4 $0x88, Z10, Z6, Z14 \
	VSHUFI32X4 $0xDD, Z10, Z6, Z15

// ADDBLOCK adds the products in z times the scales at w and BX to Z0.
#define ADDBLOCK(z, w) \
	VCVTDQ2PS   z, z \
	VCVTPH2PS   w(DI), Z4 \
	VMULPS.BCST (BX), Z4, Z4 \
	VFMADD231PS Z4, z, Z0

// func nf4TilesAVX512(packed *byte, stride int, scales *uint16, x *int16, xScales *float32, whole, half int, y *float32, scratch *[9][16][16]int32, tiles int)
// Row after row, as they lie in memory, for eight groups at a time; then lanes of all rows are added up together.
TEXT ·nf4TilesAVX512(SB), NOSPLIT, $8-80
	MOVQ      packed+0(FP), SI
	MOVQ      stride+8(FP), R8
	MOVQ      scales+16(FP), DI
	VMOVDQU32 ·rounded(SB), Z30

	DISTANCE(R9)

tiles:
	MOVQ   x+24(FP), DX
	MOVQ   xScales+32(FP), BX
	MOVQ   whole+40(FP), CX
	VPXORD Z0, Z0, Z0

segments:
	MOVQ    $8, R10
	CMPQ    R10, CX
	CMOVQGT CX, R10
	XORQ    AX, AX
	CMPQ    R10, CX
	CMOVQEQ half+48(FP), AX
	MOVQ    AX, halves-8(SP)
	MOVQ    SI, R11
	MOVQ    scratch+64(FP), R12

rows:
	MOVQ  R11, R14
	MOVQ  DX, R15
	MOVQ  R12, AX
	MOVQ  R10, R13
	TESTQ R13, R13
	JZ    half

groups:
	VMOVDQU64 (R14), Z1
	PRODUCTS
	ADDQ      $64, R14
	ADDQ      $256, R15
	ADDQ      $1024, AX
	DECQ      R13
	JNZ       groups

half:
	CMPQ    halves-8(SP), $0
	JEQ     next
	VMOVDQU (R14), Y1
	PRODUCTS

next:
	ADDQ  R8, R11
	ADDQ  $64, R12
	MOVQ  scratch+64(FP), AX
	LEAQ  1024(AX), R13
	CMPQ  R12, R13
	JNE   rows
	MOVQ  R10, R13
	TESTQ R13, R13
	JZ    last

sums:
	BLOCKS
	ADDBLOCK(Z14, 0)
	ADDBLOCK(Z15, 32)
	ADDQ $1024, AX
	ADDQ $64, DI
	ADDQ $4, BX
	DECQ R13
	JNZ  sums

last:
	CMPQ halves-8(SP), $0
	JEQ  more
	BLOCKS
	ADDBLOCK(Z14, 0)
	ADDQ $32, DI
	ADDQ $32, SI

more:
	SUBQ    R10, CX
	SHLQ    $6, R10
	ADDQ    R10, SI
	LEAQ    (DX)(R10*4), DX
	TESTQ   CX, CX
	JNZ     segments
	MOVQ    y+56(FP), AX
	VMOVUPS Z0, (AX)
	ADDQ    $64, y+56(FP)

	// SI is at the end of the tile's first row.
	MOVQ R8, AX
	SHLQ $4, AX
	SUBQ R8, AX
	ADDQ AX, SI
	DECQ tiles+72(FP)
	JNZ  tiles
	VZEROUPPER
	RET

// EACH16 adds the products of two weights a row, in z, with those of four rows of activations, at DX and three strides R13 on, to Z20 to Z23.
#define EACH16(x, z) \
	VPDPWSSD.BCST x(DX), z, Z20 \
	VPDPWSSD.BCST x(DX)(R13*1), z, Z21 \
	VPDPWSSD.BCST x(DX)(R13*2), z, Z22 \
	VPDPWSSD.BCST x(AX), z, Z23

// FOUR does so for 8 weights a row.
#define FOUR(z, x) \
	DECODE(z) \
	EACH16(x, Z16) \
	EACH16(64+x, Z17) \
	EACH16(128+x, Z18) \
	EACH16(192+x, Z19)

#define SCALED(s, z, acc) \
	VCVTDQ2PS   z, z \
	VMULPS.BCST s, Z4, Z5 \
	VFMADD231PS Z5, z, acc

// BLOCK4 adds the products of the next 64 weights of every row to Z0, Z1, Z6 and Z7, for each row of activations.
#define BLOCK4 \
	CLEAR(Z20, Z21, Z22, Z23) \
	CHUNK(0) \
	FOUR(Z10, 0) \
	FOUR(Z11, 4) \
	FOUR(Z12, 8) \
	FOUR(Z13, 12) \
	CHUNK(16) \
	FOUR(Z10, 16) \
	FOUR(Z11, 20) \
	FOUR(Z12, 24) \
	FOUR(Z13, 28) \
	VCVTPH2PS   (DI), Z4 \
	SCALED((BX), Z20, Z0) \
	SCALED((BX)(R14*1), Z21, Z1) \
	SCALED((BX)(R14*2), Z22, Z6) \
	SCALED((R15), Z23, Z7) \
	ADDQ        $32, DI \
	STEP

// AHEAD asks for the next 1024 bytes at CX.
#define AHEAD \
	PREFETCHT1 0(CX) \
	PREFETCHT1 64(CX) \
	PREFETCHT1 128(CX) \
	PREFETCHT1 192(CX) \
	PREFETCHT1 256(CX) \
	PREFETCHT1 320(CX) \
	PREFETCHT1 384(CX) \
	PREFETCHT1 448(CX) \
	PREFETCHT1 512(CX) \
	PREFETCHT1 576(CX) \
	PREFETCHT1 640(CX) \
	PREFETCHT1 704(CX) \
	PREFETCHT1 768(CX) \
	PREFETCHT1 832(CX) \
	PREFETCHT1 896(CX) \
	PREFETCHT1 960(CX) \
	ADDQ $1024, CX

// func nf4Tilex4AVX512(packed *byte, stride int, scales *uint16, x *int16, xScales *float32, groups, whole, half int, sums *[4][16]float32)
TEXT ·nf4Tilex4AVX512(SB), NOSPLIT, $8-72
	MOVQ    packed+0(FP), SI
	MOVQ    stride+8(FP), R8
	DISTANCE(CX)
	ADDQ    SI, CX
	TILE
	MOVQ   scales+16(FP), DI
	MOVQ   x+24(FP), DX
	MOVQ   xScales+32(FP), BX
	MOVQ   groups+40(FP), R13
	LEAQ   (R13*4), R14
	SHLQ   $8, R13
	LEAQ   (DX)(R13*2), AX
	ADDQ   R13, AX
	LEAQ   (BX)(R14*2), R15
	ADDQ   R14, R15
	MOVQ   whole+48(FP), R9
	MOVQ   R9, left-8(SP)
	LEAQ   (R8)(R8*2), R9
	CLEAR(Z0, Z1, Z6, Z7)
	CMPQ   left-8(SP), $0
	JEQ    rest

groups:
	AHEAD
	BLOCK4
	ADDQ $32, DX
	ADDQ $32, AX
	BLOCK4
	ADDQ $224, DX
	ADDQ $224, AX
	ADDQ $4, BX
	ADDQ $4, R15
	DECQ left-8(SP)
	JNZ  groups

rest:
	CMPQ half+56(FP), $0
	JEQ  done
	BLOCK4

done:
	MOVQ    sums+64(FP), AX
	VMOVUPS Z0, (AX)
	VMOVUPS Z1, 64(AX)
	VMOVUPS Z6, 128(AX)
	VMOVUPS Z7, 192(AX)
	VZEROUPPER
	RET

#define KEEP(z, at) \
	DECODE(z) \
	VMOVDQU32 Z16, at(DI) \
	VMOVDQU32 Z17, at+64(DI) \
	VMOVDQU32 Z18, at+128(DI) \
	VMOVDQU32 Z19, at+192(DI)

// func nf4PanelAVX512(packed *byte, stride, blocks int, panel, words *int16)
// Writes the words of 16 rows: for each block and 8 weights of a row four vectors, by the nibbles' place from the low end.
TEXT ·nf4PanelAVX512(SB), NOSPLIT, $0-40
	MOVQ packed+0(FP), SI
	MOVQ stride+8(FP), R8
	TILE
	MOVQ blocks+16(FP), CX
	MOVQ panel+24(FP), DI

blocks:
	CHUNK(0)
	KEEP(Z10, 0)
	KEEP(Z11, 256)
	KEEP(Z12, 512)
	KEEP(Z13, 768)
	CHUNK(16)
	KEEP(Z10, 1024)
	KEEP(Z11, 1280)
	KEEP(Z12, 1536)
	KEEP(Z13, 1792)
	STEP
	ADDQ $2048, DI
	DECQ CX
	JNZ  blocks
	VZEROUPPER
	RET

// TWELVE adds the products of the weights at w with twelve rows of activations to Z0 to Z11.
#define TWELVE(w, x) \
	VMOVDQU32     w(SI), Z24 \
	VPDPWSSD.BCST x(R8), Z24, Z0 \
	VPDPWSSD.BCST x(R8)(R12*1), Z24, Z1 \
	VPDPWSSD.BCST x(R8)(R12*2), Z24, Z2 \
	VPDPWSSD.BCST x(R9), Z24, Z3 \
	VPDPWSSD.BCST x(R9)(R12*1), Z24, Z4 \
	VPDPWSSD.BCST x(R9)(R12*2), Z24, Z5 \
	VPDPWSSD.BCST x(R10), Z24, Z6 \
	VPDPWSSD.BCST x(R10)(R12*1), Z24, Z7 \
	VPDPWSSD.BCST x(R10)(R12*2), Z24, Z8 \
	VPDPWSSD.BCST x(R11), Z24, Z9 \
	VPDPWSSD.BCST x(R11)(R12*1), Z24, Z10 \
	VPDPWSSD.BCST x(R11)(R12*2), Z24, Z11

// SCALE adds a block's sums in z to acc and clears them.
#define SCALE(s, z, acc) \
	VCVTDQ2PS   z, z \
	VMULPS.BCST s(BX), Z25, Z26 \
	VFMADD231PS Z26, z, acc \
	VPXORD      z, z, z

#define MOVEX(by) \
	ADDQ $by, R8 \
	ADDQ $by, R9 \
	ADDQ $by, R10 \
	ADDQ $by, R11

// func nf4RowsAVX512(panel *int16, scales *uint16, x *int16, xScales *float32, groups, blocks int, sums *[12][16]float32)
// Twelve rows of activations times the panel; the scales of a group of each row lie together.
TEXT ·nf4RowsAVX512(SB), NOSPLIT, $0-56
	MOVQ   panel+0(FP), SI
	MOVQ   scales+8(FP), DI
	MOVQ   x+16(FP), R8
	MOVQ   xScales+24(FP), BX
	MOVQ   groups+32(FP), R12
	SHLQ   $8, R12
	LEAQ   (R12)(R12*2), AX
	LEAQ   (R8)(AX*1), R9
	LEAQ   (R8)(AX*2), R10
	LEAQ   (R9)(AX*2), R11
	MOVQ   blocks+40(FP), CX
	XORQ   R13, R13
	CLEAR(Z0, Z1, Z2, Z3)
	CLEAR(Z4, Z5, Z6, Z7)
	CLEAR(Z8, Z9, Z10, Z11)
	CLEAR(Z12, Z13, Z14, Z15)
	CLEAR(Z16, Z17, Z18, Z19)
	CLEAR(Z20, Z21, Z22, Z23)

blocks:
	MOVQ $8, DX

columns:
	TWELVE(0, 0)
	TWELVE(64, 64)
	TWELVE(128, 128)
	TWELVE(192, 192)
	ADDQ    $256, SI
	MOVEX(4)
	DECQ    DX
	JNZ     columns
	VCVTPH2PS (DI), Z25
	ADDQ    $32, DI
	SCALE(0, Z0, Z12)
	SCALE(4, Z1, Z13)
	SCALE(8, Z2, Z14)
	SCALE(12, Z3, Z15)
	SCALE(16, Z4, Z16)
	SCALE(20, Z5, Z17)
	SCALE(24, Z6, Z18)
	SCALE(28, Z7, Z19)
	SCALE(32, Z8, Z20)
	SCALE(36, Z9, Z21)
	SCALE(40, Z10, Z22)
	SCALE(44, Z11, Z23)
	XORQ    $1, R13
	JNZ     next
	MOVEX(192)
	ADDQ    $48, BX

next:
	DECQ CX
	JNZ  blocks
	MOVQ sums+48(FP), AX
	VMOVUPS Z12, 0(AX)
	VMOVUPS Z13, 64(AX)
	VMOVUPS Z14, 128(AX)
	VMOVUPS Z15, 192(AX)
	VMOVUPS Z16, 256(AX)
	VMOVUPS Z17, 320(AX)
	VMOVUPS Z18, 384(AX)
	VMOVUPS Z19, 448(AX)
	VMOVUPS Z20, 512(AX)
	VMOVUPS Z21, 576(AX)
	VMOVUPS Z22, 640(AX)
	VMOVUPS Z23, 704(AX)
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

// What packs, beside packTables: a mask of all but the sign, the smallest magnitude that is divided by, and ones.
DATA packing512<>+0(SB)/4, $0x7fffffff
DATA packing512<>+4(SB)/4, $0x006ce3ee // 1e-38
DATA packing512<>+8(SB)/4, $0x3f800000 // 1
DATA packing512<>+12(SB)/4, $1
GLOBL packing512<>(SB), RODATA|NOPTR, $16

// PACKED packs sixteen values to eight bytes at (DI) and adds to the sums. Z2 is the inverse magnitude, Z3 the scale; Z20 to Z25 are spent.
#define PACKED(values, at) \
	VMULPS      Z2, values, Z20 \
	VADDPS      Z30, Z20, Z21 \
	VMULPS      Z29, Z21, Z21 \
	VCVTTPS2DQ  Z21, Z21 \
	VPERMI2D    Z9, Z8, Z21 \
	VPERMPS     Z10, Z21, Z22 \
	VCMPPS      $30, Z22, Z20, K1 \
	VPADDD      Z28, Z21, K1, Z21 \
	VPERMPS     Z11, Z21, Z22 \
	VMULPS      Z3, Z22, Z22 \
	VSUBPS      Z22, values, Z22 \
	VMULPS      Z22, Z22, Z22 \
	VADDPS      Z22, Z13, Z13 \
	VMULPS      values, values, Z23 \
	VADDPS      Z23, Z12, Z12 \
	VPSLLQ      $4, Z21, Z24 \
	VPSRLQ      $32, Z21, Z25 \
	VPORQ       Z24, Z25, Z24 \
	VPMOVQB     Z24, at(DI)

// func packAVX512(values *float32, packed *byte, halves *uint16, blocks int, tables *packTables, sums *errorSums)
TEXT ·packAVX512(SB), NOSPLIT, $0-48
	MOVQ         values+0(FP), SI
	MOVQ         packed+8(FP), DI
	MOVQ         halves+16(FP), R8
	MOVQ         blocks+24(FP), CX
	MOVQ         tables+32(FP), AX
	VMOVDQU32    (AX), Z8
	VMOVDQU32    64(AX), Z9
	VMOVUPS      128(AX), Z10
	VMOVUPS      192(AX), Z11
	VPXORD       Z12, Z12, Z12
	VPXORD       Z13, Z13, Z13
	VPBROADCASTD packing512<>+0(SB), Z31
	VBROADCASTSS packing512<>+8(SB), Z30
	VBROADCASTSS 264(AX), Z29
	VPBROADCASTD packing512<>+12(SB), Z28
	VMOVSS       packing512<>+4(SB), X27
	VMOVSS       256(AX), X26
	VMOVSS       260(AX), X15

blocks:
	VMOVUPS       (SI), Z16
	VMOVUPS       64(SI), Z17
	VMOVUPS       128(SI), Z18
	VMOVUPS       192(SI), Z19
	VPANDD        Z16, Z31, Z0
	VPANDD        Z17, Z31, Z1
	VPMAXUD       Z1, Z0, Z0
	VPANDD        Z18, Z31, Z1
	VPMAXUD       Z1, Z0, Z0
	VPANDD        Z19, Z31, Z1
	VPMAXUD       Z1, Z0, Z0
	VEXTRACTI64X4 $1, Z0, Y1
	VPMAXUD       Y1, Y0, Y0
	VEXTRACTI128  $1, Y0, X1
	VPMAXUD       X1, X0, X0
	VPSHUFD       $0x0E, X0, X1
	VPMAXUD       X1, X0, X0
	VPSHUFD       $0x01, X0, X1
	VPMAXUD       X1, X0, X0
	VMULSS        X26, X0, X3
	VCVTPS2PH     $0, X3, X3
	VPEXTRW       $0, X3, AX
	MOVW          AX, (R8)
	VCVTPH2PS     X3, X3
	VMULSS        X15, X3, X3
	VBROADCASTSS  X3, Z3
	VMAXSS        X27, X0, X1
	VMOVSS        packing512<>+8(SB), X2
	VDIVSS        X1, X2, X2
	VBROADCASTSS  X2, Z2
	PACKED(Z16, 0)
	PACKED(Z17, 8)
	PACKED(Z18, 16)
	PACKED(Z19, 24)
	ADDQ          $256, SI
	ADDQ          $32, DI
	ADDQ          $2, R8
	DECQ          CX
	JNZ           blocks
	MOVQ          sums+40(FP), AX
	VMOVUPS       Z12, (AX)
	VMOVUPS       Z13, 64(AX)
	VZEROUPPER
	RET
