#include "textflag.h"
#include "avx2_amd64.h"

// EXP makes the exponential function of x, 0 where that is below the least; n, p, z and keep are spent.
#define EXP(x, n, p, z, keep) \
	VCMPPS      $0x15, ·expConstants+0(SB), x, keep \
	VMULPS      ·expConstants+64(SB), x, n \
	VROUNDPS    $0, n, n \
	VFMADD231PS ·expConstants+96(SB), n, x \
	VFMADD231PS ·expConstants+128(SB), n, x \
	VMOVUPS     ·expConstants+224(SB), p \
	VFMADD213PS ·expConstants+256(SB), x, p \
	VFMADD213PS ·expConstants+288(SB), x, p \
	VFMADD213PS ·expConstants+320(SB), x, p \
	VFMADD213PS ·expConstants+352(SB), x, p \
	VFMADD213PS ·expConstants+384(SB), x, p \
	VMULPS      x, x, z \
	VFMADD231PS z, p, x \
	VADDPS      ·expConstants+192(SB), x, x \
	VCVTPS2DQ   n, n \
	VPADDD      ·expConstants+160(SB), n, n \
	VPSLLD      $23, n, n \
	VMULPS      n, x, x \
	VANDPS      keep, x, x

// func softmaxAVX2(weights *float32, n int) float32
TEXT ·softmaxAVX2(SB), NOSPLIT, $0-20
	MOVQ    weights+0(FP), SI
	MOVQ    n+8(FP), CX
	MOVQ    SI, DI
	MOVQ    CX, DX
	VMOVUPS (SI), Y5

most:
	VMAXPS (DI), Y5, Y5
	VMAXPS 32(DI), Y5, Y5
	ADDQ   $64, DI
	SUBQ   $16, DX
	JNZ    most

	VEXTRACTF128 $1, Y5, X1
	VMAXPS       X1, X5, X5
	VPERMILPS    $0x0E, X5, X1
	VMAXPS       X1, X5, X5
	VPERMILPS    $0x01, X5, X1
	VMAXPS       X1, X5, X5
	VBROADCASTSS X5, Y5
	VXORPS       Y0, Y0, Y0
	VXORPS       Y1, Y1, Y1

exponents:
	VMOVUPS (SI), Y6
	VMOVUPS 32(SI), Y7
	VSUBPS  Y5, Y6, Y6
	VSUBPS  Y5, Y7, Y7
	EXP(Y6, Y8, Y9, Y10, Y11)
	EXP(Y7, Y12, Y13, Y14, Y15)
	VMOVUPS Y6, (SI)
	VMOVUPS Y7, 32(SI)
	VADDPS  Y6, Y0, Y0
	VADDPS  Y7, Y1, Y1
	ADDQ    $64, SI
	SUBQ    $16, CX
	JNZ     exponents

	TOTAL8
	VMOVSS X0, ret+16(FP)
	VZEROUPPER
	RET

// func gateAVX2(gate, up *float32, n int)
TEXT ·gateAVX2(SB), NOSPLIT, $0-24
	MOVQ    gate+0(FP), DI
	MOVQ    up+8(FP), SI
	MOVQ    n+16(FP), CX
	VXORPS  Y5, Y5, Y5
	VMOVUPS ·expConstants+32(SB), Y6

loop:
	VMOVUPS (DI), Y0
	VSUBPS  Y0, Y5, Y1
	VMINPS  Y1, Y6, Y1
	EXP(Y1, Y8, Y9, Y10, Y11)
	VADDPS  ·expConstants+192(SB), Y1, Y1
	VDIVPS  Y1, Y0, Y0
	VMULPS  (SI), Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ    $32, DI
	ADDQ    $32, SI
	SUBQ    $8, CX
	JNZ     loop
	VZEROUPPER
	RET

// func weighAVX2(out, x, weights *float32, scale float32, n int)
TEXT ·weighAVX2(SB), NOSPLIT, $0-40
	MOVQ         out+0(FP), DI
	MOVQ         x+8(FP), SI
	MOVQ         weights+16(FP), DX
	VBROADCASTSS scale+24(FP), Y2
	MOVQ         n+32(FP), CX

loop:
	VMULPS  (SI), Y2, Y0
	VMULPS  (DX), Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ    $32, DI
	ADDQ    $32, SI
	ADDQ    $32, DX
	SUBQ    $8, CX
	JNZ     loop
	VZEROUPPER
	RET

// func scoresAVX2(query, keys *float32, vectors, count int, scale float32, scores *float32)
// Key after key, each of so many vectors of 16.
TEXT ·scoresAVX2(SB), NOSPLIT, $0-48
	MOVQ   keys+8(FP), SI
	MOVQ   count+24(FP), CX
	MOVSS  scale+32(FP), X5
	MOVQ   scores+40(FP), DI

keys:
	MOVQ   query+0(FP), DX
	MOVQ   vectors+16(FP), BX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1

vectors:
	VMOVUPS     (DX), Y2
	VMOVUPS     32(DX), Y3
	VFMADD231PS (SI), Y2, Y0
	VFMADD231PS 32(SI), Y3, Y1
	ADDQ        $64, DX
	ADDQ        $64, SI
	DECQ        BX
	JNZ         vectors

	TOTAL8
	VMULSS X5, X0, X0
	VMOVSS X0, (DI)
	ADDQ   $4, DI
	DECQ   CX
	JNZ    keys
	VZEROUPPER
	RET

// func mixAVX2(out, values, weights *float32, n, vectors int)
// Adds to out: four vectors of 16 of all positions, then the next; what is left one by one.
TEXT ·mixAVX2(SB), NOSPLIT, $0-40
	MOVQ out+0(FP), DI
	MOVQ values+8(FP), SI
	MOVQ vectors+32(FP), BX
	MOVQ BX, R8
	SHLQ $6, R8

next:
	MOVQ    SI, R9
	MOVQ    weights+16(FP), DX
	MOVQ    n+24(FP), CX
	VMOVUPS (DI), Y0
	VMOVUPS 32(DI), Y1
	CMPQ    BX, $4
	JLT     one
	VMOVUPS 64(DI), Y2
	VMOVUPS 96(DI), Y3
	VMOVUPS 128(DI), Y4
	VMOVUPS 160(DI), Y5
	VMOVUPS 192(DI), Y6
	VMOVUPS 224(DI), Y7

four:
	VBROADCASTSS (DX), Y8
	VFMADD231PS  (R9), Y8, Y0
	VFMADD231PS  32(R9), Y8, Y1
	VFMADD231PS  64(R9), Y8, Y2
	VFMADD231PS  96(R9), Y8, Y3
	VFMADD231PS  128(R9), Y8, Y4
	VFMADD231PS  160(R9), Y8, Y5
	VFMADD231PS  192(R9), Y8, Y6
	VFMADD231PS  224(R9), Y8, Y7
	ADDQ         R8, R9
	ADDQ         $4, DX
	DECQ         CX
	JNZ          four
	VMOVUPS      Y0, (DI)
	VMOVUPS      Y1, 32(DI)
	VMOVUPS      Y2, 64(DI)
	VMOVUPS      Y3, 96(DI)
	VMOVUPS      Y4, 128(DI)
	VMOVUPS      Y5, 160(DI)
	VMOVUPS      Y6, 192(DI)
	VMOVUPS      Y7, 224(DI)
	ADDQ         $256, DI
	ADDQ         $256, SI
	SUBQ         $4, BX
	JNZ          next
	VZEROUPPER
	RET

one:
	VBROADCASTSS (DX), Y8
	VFMADD231PS  (R9), Y8, Y0
	VFMADD231PS  32(R9), Y8, Y1
	ADDQ         R8, R9
	ADDQ         $4, DX
	DECQ         CX
	JNZ          one
	VMOVUPS      Y0, (DI)
	VMOVUPS      Y1, 32(DI)
	ADDQ         $64, DI
	ADDQ         $64, SI
	DECQ         BX
	JNZ          next
	VZEROUPPER
	RET
