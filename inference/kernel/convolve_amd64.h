// What the convolutions of AVX2 and AVX-512 share; vectors are of either.

// AT reads a vector from the pointer that lies so many bytes after SI.
#define AT(by, v) \
	MOVQ    by(SI), R8 \
	VMOVUPS (R8)(DX*1), v

// TURN is the transform of Winograd's F(2,3) of four values into four others.
#define TURN(a, b, c, d, w, x, y, z) \
	VSUBPS c, a, w \
	VADDPS c, b, x \
	VSUBPS b, c, y \
	VSUBPS d, b, z

// TAKE reads a vector and goes to the next matrix.
#define TAKE(v) \
	VMOVUPS (R9)(DX*1), v \
	ADDQ    BX, R9

// BACK is the transform of four products into two outputs, in the place of the first two.
#define BACK(a, b, c, d) \
	VADDPS b, a, a \
	VADDPS c, a, a \
	VSUBPS c, b, b \
	VSUBPS d, b, b

// TO writes a vector to the pointer that lies so many bytes after DI.
#define TO(by, v) \
	MOVQ    by(DI), R8 \
	VMOVUPS v, (R8)(DX*1)
