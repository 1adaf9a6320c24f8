package phantom

import (
	"math"
	"math/rand/v2"

	"llamaxr/study"
)

// lesions draws every finding of the case that is not already in the anatomy (cardiomegaly, enlarged cardiomediastinum,
// emphysema and fracture are). No label stands without a visible sign on at least one view.
func (c *Case) lesions(f frame, rng *rand.Rand) {
	for _, finding := range c.Truth() {
		right := rng.IntN(2) == 0
		switch finding {
		case study.Effusion:
			c.effusion(f, right, rng)
		case study.Pneumothorax:
			c.pneumothorax(f, right, rng)
		case study.Nodule:
			at := c.inLung(f, right, 0.2, 0.75, rng)
			size := 9.5 + 5*rng.Float64()
			c.body.add(1.5, ball(at, size, size, size))
			c.note(finding, right, at, size)
		case study.Mass:
			c.mass(f, right, rng)
		case study.LungLesion:
			if !c.Labels[study.Mass] && !c.Labels[study.Nodule] {
				c.cavity(f, right, rng)
			}
		case study.Consolidation:
			at := c.inLung(f, right, 0.18, 0.42, rng)
			c.cloud(at, vec{30, 34, 24}, 34, 15, 0.34, rng)
			c.note(finding, right, at, 34)
		case study.Pneumonia:
			c.pneumonia(f, right, rng)
		case study.Infiltration:
			for range 3 {
				at := c.inLung(f, rng.IntN(2) == 0, 0.3, 0.8, rng)
				c.cloud(at, vec{28, 28, 30}, 34, 9, 0.5, rng)
				c.note(finding, at[0] < 0, at, 25)
			}
		case study.LungOpacity:
			if !c.Labels[study.Consolidation] && !c.Labels[study.Pneumonia] {
				at := c.inLung(f, right, 0.35, 0.65, rng)
				c.body.add(0.32, ball(at, 42, 46, 44), ball(at.add(vec{0, 0, 18}), 34, 42, 36))
				c.note(finding, right, at, 44)
			}
		case study.Atelectasis:
			c.atelectasis(f, right, rng)
		case study.Edema:
			c.edema(f, rng)
		case study.Fibrosis:
			c.fibrosis(f, rng)
		case study.PleuralThickening:
			c.pleuralThickening(f, right, rng)
		case study.Hernia:
			c.hernia(f, rng)
		case study.Cardiomegaly, study.EnlargedCardiomediastinum, study.Emphysema:
			c.note(finding, false, vec{10, -10, f.apex + (f.base-f.apex)*0.6}, 60)
		}
	}
}

func (c *Case) note(f study.Finding, right bool, at vec, size float64) {
	c.Lesions = append(c.Lesions, Lesion{Finding: f, Right: right, Centre: at, Size: size})
}

// inLung returns a point in a lung between two heights, as shares from apex to base.
func (c *Case) inLung(f frame, right bool, from, to float64, rng *rand.Rand) vec {
	t := lerpf(from, to, rng.Float64())
	return vec{
		f.side(right) * f.halfWidth * (0.45 + 0.25*rng.Float64()),
		(rng.Float64() - 0.35) * f.halfDepth * 0.9,
		lerpf(f.apex, f.base, t),
	}
}

// cloud draws a fluffy density of many small balls.
func (c *Case) cloud(at, spread vec, count int, size, weight float64, rng *rand.Rand) {
	for range count {
		offset := vec{clamp(rng.NormFloat64(), -1.8, 1.8) * spread[0] * 0.6, clamp(rng.NormFloat64(), -1.8, 1.8) * spread[1] * 0.6, clamp(rng.NormFloat64(), -1.8, 1.8) * spread[2] * 0.6}
		r := size * (0.6 + 0.7*rng.Float64())
		c.body.add(weight, ball(at.add(offset), r, r, r*0.9))
	}
}

// effusion fills a costophrenic angle; the meniscus climbs along the wall and behind.
func (c *Case) effusion(f frame, right bool, rng *rand.Rand) {
	x := f.side(right)
	high := 45 + 55*rng.Float64()
	wall := vec{x * f.halfWidth * 0.95, 25, f.base}
	c.body.filled = append(c.body.filled,
		ball(wall, f.halfWidth*0.42, f.halfDepth*1.2, high*1.3),
		ball(vec{x * f.halfWidth * 0.5, f.halfDepth * 0.75, f.base}, f.halfWidth*0.62, f.halfDepth*0.55, high*1.25),
		ball(vec{x * f.halfWidth * 0.5, 0, f.base + 20}, f.halfWidth*0.62, f.halfDepth*1.1, high*0.85+20),
	)
	c.note(study.Effusion, right, vec{x * f.halfWidth * 0.7, 20, f.base - high*0.5}, high)
}

// pneumothorax lets a lung fall from the wall: air without vessels outside a fine pleural line.
func (c *Case) pneumothorax(f frame, right bool, rng *rand.Rand) {
	x := f.side(right)
	gap := 18 + 20*rng.Float64()
	height := f.base - f.apex
	outer := ball(vec{x * f.halfWidth * 0.5, 4, f.apex + height*0.45}, f.halfWidth*0.5, f.halfDepth*0.95, height*0.47)
	inner := outer.grown(-gap)
	inner.centre = inner.centre.add(vec{-x * gap * 0.35, 4, gap * 0.55})
	c.body.free = append(c.body.free, outer)
	c.body.collapsed = append(c.body.collapsed, inner)
	c.body.dropVessels(outer, inner)
	c.body.add(0.55, inner.grown(1.2))
	c.body.add(-0.55, inner.grown(-0.6))
	c.note(study.Pneumothorax, right, vec{x * f.halfWidth * 0.75, 0, f.apex + 40}, 50)
}

func (c *Case) mass(f frame, right bool, rng *rand.Rand) {
	at := c.inLung(f, right, 0.22, 0.65, rng)
	size := 20 + 12*rng.Float64()
	c.body.add(0.55, ball(at, size, size*0.95, size*1.05))
	for range 7 {
		way := vec{rng.NormFloat64(), rng.NormFloat64(), rng.NormFloat64()}.unit()
		c.body.add(0.3, ball(at.add(way.scale(size*0.6)), size*0.55, size*0.55, size*0.5))
	}
	c.note(study.Mass, right, at, size)
}

// cavity is a thick ring with gas inside: a lung lesion that is neither a nodule nor a mass.
func (c *Case) cavity(f frame, right bool, rng *rand.Rand) {
	at := c.inLung(f, right, 0.18, 0.5, rng)
	size := 19 + 6*rng.Float64()
	c.body.add(0.85, ball(at, size, size, size))
	c.body.add(-1.0, ball(at, size*0.66, size*0.66, size*0.66))
	c.note(study.LungLesion, right, at, size)
}

// pneumonia is a wedge of dense lower lobe with bronchi that stay open.
func (c *Case) pneumonia(f frame, right bool, rng *rand.Rand) {
	x := f.side(right)
	at := vec{x * f.halfWidth * 0.55, f.halfDepth * 0.3, lerpf(f.apex, f.base, 0.63)}
	c.body.add(0.34, ball(at, 40, 48, 26).tilted(1, -x*0.35), ball(at.add(vec{x * 8, 8, 16}), 36, 42, 20))
	c.cloud(at, vec{34, 40, 24}, 14, 10, 0.22, rng)
	root := vec{x * 34, 8, at[2] - 24}
	for range 5 {
		end := at.add(vec{x * (10 + 26*rng.Float64()), (rng.Float64() - 0.5) * 50, (rng.Float64() - 0.3) * 40})
		c.body.add(-1.1, rod(root, end, 2.6))
	}
	c.note(study.Pneumonia, right, at, 44)
}

// atelectasis draws plates: thin flat bands near a base.
func (c *Case) atelectasis(f frame, right bool, rng *rand.Rand) {
	x := f.side(right)
	for i := range 3 {
		at := vec{x * f.halfWidth * (0.5 + 0.12*rng.Float64()), 10, lerpf(f.apex, f.base, 0.56) + float64(i)*13}
		c.body.add(0.5, ball(at, 42, 34, 3.4).tilted(1, x*(0.12+0.3*rng.Float64())).tilted(0, 0.15*rng.NormFloat64()))
		c.note(study.Atelectasis, right, at, 40)
	}
}

// edema is a haze around both hila with septal lines at the periphery.
func (c *Case) edema(f frame, rng *rand.Rand) {
	for _, right := range []bool{true, false} {
		x := f.side(right)
		at := vec{x * f.halfWidth * 0.42, 8, lerpf(f.apex, f.base, 0.45)}
		c.body.add(0.2, ball(at, 44, 60, 62))
		c.cloud(at, vec{30, 40, 44}, 22, 10, 0.22, rng)
		for i := range 9 {
			z := lerpf(f.apex, f.base, 0.52+0.025*float64(i))
			edge := x * f.halfWidth * 0.93
			c.body.add(0.9, rod(vec{edge, -10, z}, vec{edge - x*22, -5, z + 2*rng.NormFloat64()}, 1.2))
		}
		c.note(study.Edema, right, at, 55)
	}
}

// fibrosis is a net of fine lines over both bases.
func (c *Case) fibrosis(f frame, rng *rand.Rand) {
	for _, right := range []bool{true, false} {
		for range 150 {
			from := vec{
				f.side(right) * f.halfWidth * (0.3 + 0.6*rng.Float64()), (rng.Float64() - 0.4) * f.halfDepth * 1.4,
				lerpf(f.apex, f.base, 0.42+0.4*math.Sqrt(rng.Float64())),
			}
			way := vec{rng.NormFloat64(), 0.4 * rng.NormFloat64(), rng.NormFloat64()}.unit().scale(9 + 9*rng.Float64())
			c.body.add(2.4, rod(from, from.add(way), 1.9))
		}
		c.body.add(0.1, ball(vec{f.side(right) * f.halfWidth * 0.6, 0, lerpf(f.apex, f.base, 0.68)}, 40, 55, 50)) // the net's finest lines
		c.note(study.Fibrosis, right, vec{f.side(right) * f.halfWidth * 0.6, 0, lerpf(f.apex, f.base, 0.68)}, 50)
	}
}

// pleuralThickening is a band of tissue between the wall and the lung, over the apex and down the side.
func (c *Case) pleuralThickening(f frame, right bool, rng *rand.Rand) {
	x := f.side(right)
	thick := 8 + 5*rng.Float64()
	height := f.base - f.apex
	for i := range 12 {
		t := float64(i) / 11
		angle := math.Pi * (0.02 + 0.5*t)
		at := vec{
			x * (f.halfWidth*0.5 + f.halfWidth*0.48*math.Sin(angle)), (rng.Float64() - 0.5) * 10,
			f.apex + 8 + height*0.42*(1-math.Cos(angle)),
		}
		c.body.filled = append(c.body.filled, ball(at, thick, f.halfDepth*0.8, height*0.07))
		c.body.add(0.12, ball(at, thick, f.halfDepth*0.35, height*0.07))
	}
	c.note(study.PleuralThickening, right, vec{x * f.halfWidth * 0.9, 0, f.apex + height*0.25}, 50)
}

// hernia is the stomach behind the heart: a round density with gas over a level.
func (c *Case) hernia(f frame, rng *rand.Rand) {
	size := 30 + 8*rng.Float64()
	at := vec{12, f.halfDepth * 0.42, f.base - 62}
	c.body.filled = append(c.body.filled, ball(at, size*1.15, size*0.9, size))
	c.body.add(0.35, ball(at, size*1.15, size*0.9, size))
	c.body.add(-1.25, ball(at.add(vec{0, 0, -size * 0.32}), size*0.82, size*0.6, size*0.42))
	c.note(study.Hernia, false, at, size)
}
