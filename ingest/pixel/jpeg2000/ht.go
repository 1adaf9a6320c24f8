package jpeg2000

type htDecoder struct{}

func (d *blockDecoder) decodeHT(b *block, pb *precinctBand, style byte) error {
	return fail(ErrUnsupported, "HT")
}
