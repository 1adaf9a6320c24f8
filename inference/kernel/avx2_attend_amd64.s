#include "textflag.h"

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

	VADDPS       Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPS       X1, X0, X0
	VPERMILPS    $0x0E, X0, X1
	VADDPS       X1, X0, X0
	VPERMILPS    $0x01, X0, X1
	VADDPS       X1, X0, X0
	VMOVSS       X0, ret+16(FP)
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
