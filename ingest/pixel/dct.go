package pixel

// Constants of the inverse DCT of Loeffler, Ligtenberg and Moschytz in 13-bit fixed point, as libjpeg's jidctint has them:
// bit for bit the same result is what makes decoders comparable.
const (
	dctBits  = 13
	fix0_298 = 2446
	fix0_390 = 3196
	fix0_541 = 4433
	fix0_765 = 6270
	fix0_899 = 7373
	fix1_175 = 9633
	fix1_501 = 12299
	fix1_847 = 15137
	fix1_961 = 16069
	fix2_053 = 16819
	fix2_562 = 20995
	fix3_072 = 25172
)

// zigzag is the order of coefficients in a codestream (T.81 figure A.6).
var zigzag = [64]int{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}

// inverseDCT turns a block of dequantised coefficients into samples of a precision, level shift and clamping included.
func inverseDCT(block *[64]int, precision int) {
	pass1 := 2 // more bits between the passes would overflow 32 bits in libjpeg with 12-bit samples
	if precision > 8 {
		pass1 = 1
	}
	for x := range 8 {
		butterfly(block, x, 8, dctBits-pass1)
	}
	for y := range 8 {
		butterfly(block, 8*y, 1, dctBits+pass1+3)
	}
	center, top := 1<<(precision-1), 1<<precision-1
	for i, v := range block {
		block[i] = min(max(v+center, 0), top)
	}
}

// butterfly is the one-dimensional transform of eight values, step apart, rounded off by shift bits.
func butterfly(block *[64]int, first, step, shift int) {
	in := func(k int) int { return block[first+k*step] }
	z1 := (in(2) + in(6)) * fix0_541
	even2, even3 := z1-in(6)*fix1_847, z1+in(2)*fix0_765
	even0, even1 := (in(0)+in(4))<<dctBits, (in(0)-in(4))<<dctBits
	t10, t13, t11, t12 := even0+even3, even0-even3, even1+even2, even1-even2

	odd0, odd1, odd2, odd3 := in(7), in(5), in(3), in(1)
	z5 := (odd0 + odd2 + odd1 + odd3) * fix1_175
	a, b := -(odd0+odd3)*fix0_899, -(odd1+odd2)*fix2_562
	c, d := z5-(odd0+odd2)*fix1_961, z5-(odd1+odd3)*fix0_390
	odd0 = odd0*fix0_298 + a + c
	odd1 = odd1*fix2_053 + b + d
	odd2 = odd2*fix3_072 + b + c
	odd3 = odd3*fix1_501 + a + d

	round := 1 << (shift - 1)
	out := func(k, v int) { block[first+k*step] = (v + round) >> shift }
	out(0, t10+odd3)
	out(7, t10-odd3)
	out(1, t11+odd2)
	out(6, t11-odd2)
	out(2, t12+odd1)
	out(5, t12-odd1)
	out(3, t13+odd0)
	out(4, t13-odd0)
}
