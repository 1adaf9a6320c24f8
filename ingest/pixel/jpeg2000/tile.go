package jpeg2000

import (
	"context"
	"math"
)

// decodeTile decodes the part of the image in a tile.
func decodeTile(ctx context.Context, s *size, t *tilePart, area rect, sink Sink) error {
	if err := t.check(); err != nil {
		return err
	}
	var components []*tileComponent
	most := len(t.data)
	for c := range s.Components {
		tc, err := newTileComponent(t, area, c, s.Precision, &most)
		if err != nil {
			return err
		}
		components = append(components, tc)
	}
	p := &packets{tilePart: t, data: t.data, components: components, budget: maxBlocks}
	err := sequence(t, components, func(next *precinct) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return p.read(next)
	})
	if err != nil {
		return err
	}
	var d blockDecoder
	for _, c := range components {
		if err := c.decodeBlocks(ctx, &d); err != nil {
			return err
		}
		c.inverse()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if t.colour {
		if components[0].reversible {
			inverseRCT(components[0].integers, components[1].integers, components[2].integers)
		} else {
			inverseICT(components[0].floats, components[1].floats, components[2].floats)
		}
	}
	deliver(s, components, sink)
	return nil
}

// decodeBlocks decodes all code-blocks of a component into its coefficients, dequantised (T.800 E.1).
func (c *tileComponent) decodeBlocks(ctx context.Context, d *blockDecoder) error {
	if n := c.width() * c.height(); c.reversible {
		c.integers = make([]int32, n)
	} else {
		c.floats = make([]float32, n)
	}
	for r := range c.resolutions {
		for i := range c.resolutions[r].precincts {
			for k := range c.resolutions[r].precincts[i].bands {
				pb := &c.resolutions[r].precincts[i].bands[k]
				for n := range pb.blocks {
					b := &pb.blocks[n]
					if len(b.segments) == 0 {
						continue
					}
					if err := ctx.Err(); err != nil { // a precinct may be the whole band, and a block take a hundred passes
						return err
					}
					if err := d.decode(b, pb, c.style); err != nil {
						return err
					}
					c.place(d, b, pb)
				}
				pb.blocks = nil
			}
		}
	}
	return nil
}

// place puts the values of a block, which have half a bit, where they belong.
func (c *tileComponent) place(d *blockDecoder, b *block, pb *precinctBand) {
	for y := range d.height {
		at := (pb.originY+b.y0-pb.y0+y)*c.width() + pb.originX + b.x0 - pb.x0
		values := d.values[y*d.width : (y+1)*d.width]
		if c.reversible {
			to := c.integers[at : at+d.width]
			for x, v := range values {
				to[x] = v / 2
			}
			continue
		}
		to := c.floats[at : at+d.width]
		for x, v := range values {
			to[x] = float32(v) * pb.half
		}
	}
}

// inverseRCT undoes the reversible component transformation (G.2.2).
func inverseRCT(c0, c1, c2 []int32) {
	for i, y := range c0 {
		u, v := c1[i], c2[i]
		g := y - (u+v)>>2
		c0[i], c1[i], c2[i] = v+g, g, u+g
	}
}

// inverseICT undoes the irreversible component transformation (G.3.2).
func inverseICT(c0, c1, c2 []float32) {
	for i, y := range c0 {
		u, v := c1[i], c2[i]
		c0[i] = y + float32(v*1.402)
		c1[i] = y - float32(u*0.34413) - float32(v*0.71414)
		c2[i] = y + float32(u*1.772)
	}
}

// deliver shifts the samples to their range, cuts them to it (G.1.2), and hands them on row by row.
func deliver(s *size, components []*tileComponent, sink Sink) {
	low, high, shift := 0, 1<<s.Precision-1, 1<<(s.Precision-1)
	if s.Signed {
		low, high, shift = -shift, shift-1, 0
	}
	row := make([]int32, components[0].width())
	for n, c := range components {
		for y := range c.height() {
			if c.reversible {
				for x, v := range c.integers[y*c.width() : (y+1)*c.width()] {
					row[x] = int32(min(max(int(v)+shift, low), high))
				}
			} else {
				for x, v := range c.floats[y*c.width() : (y+1)*c.width()] {
					row[x] = int32(min(max(round(v)+shift, low), high))
				}
			}
			sink(n, c.x0-s.image.x0, c.y0-s.image.y0+y, row)
		}
	}
}

// round is the nearest integer, the even one of two; far out and not a number it is any that is far out.
func round(v float32) int {
	return int(math.RoundToEven(float64(min(max(v, -1<<30), 1<<30))))
}
