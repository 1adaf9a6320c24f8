// What the files of AVX-512 share.

#include "avx2_amd64.h"

// TOTAL adds up the lanes of Z0 into X0, halving the vector; Z1 is spent.
#define TOTAL \
	VEXTRACTF64X4 $1, Z0, Y1 \
	TOTAL8

// CLEAR sets vectors to zero.
#define CLEAR(a, b, c, d) \
	VPXORD a, a, a \
	VPXORD b, b, b \
	VPXORD c, c, c \
	VPXORD d, d, d
