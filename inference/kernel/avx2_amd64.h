// What the files of AVX2 share, and those of AVX-512.

// TOTAL8 adds up the lanes of Y0 and Y1 into X0; Y1 is spent.
#define TOTAL8 \
	VADDPS       Y1, Y0, Y0 \
	VEXTRACTF128 $1, Y0, X1 \
	VADDPS       X1, X0, X0 \
	VPERMILPS    $0x0E, X0, X1 \
	VADDPS       X1, X0, X0 \
	VPERMILPS    $0x01, X0, X1 \
	VADDPS       X1, X0, X0
