package phantom

import (
	"math"
	"math/rand/v2"

	"llamaxr/study"
)

// Linear attenuation relative to soft tissue, at chest energies. Bone counts as what it adds to the tissue it replaces.
const (
	lungDensity = 0.26
	boneExtra   = 1.05
)

// body is the chest as solids: tissue is the union of its parts, air the lungs less what fills them, extras add their chords
// with a weight (negative for gas and lucency).
type body struct {
	tissue []ellipsoid
	lungs  []ellipsoid
	filled []ellipsoid // solids inside the lungs: heart, mediastinum, diaphragm, fluid
	extras []extra
	// free are parts of the lungs without any tissue (pneumothorax): air of density 0.
	free      []ellipsoid
	collapsed []ellipsoid // the lung that is left inside free
	vessels   [2]int      // the range of extras that are vessels
	lung      float64     // density of lung tissue
}

type extra struct {
	ellipsoid
	weight float64
	// view restricts what only one projection shows (arms); zero means both.
	view study.Projection
}

func (b *body) add(weight float64, parts ...ellipsoid) {
	for _, p := range parts {
		b.extras = append(b.extras, extra{ellipsoid: p, weight: weight})
	}
}

// dropVessels takes away the vessels that lie in outer but not in inner.
func (b *body) dropVessels(outer, inner ellipsoid) {
	for i := b.vessels[0]; i < b.vessels[1]; i++ {
		if at := b.extras[i].centre; outer.holds(at) && !inner.holds(at) {
			b.extras[i].weight = 0
		}
	}
}

// frame holds the lengths that the parts are placed by.
type frame struct {
	halfWidth, halfDepth float64 // of the lungs' outer border
	apex, base           float64 // z of the lungs' top and of the costophrenic angle
	dome                 [2]float64
}

func (f frame) side(right bool) float64 {
	if right {
		return -1
	}
	return 1
}

func (c *Case) build(rng *rand.Rand) {
	a := &c.Anatomy
	emphysema := c.Labels[study.Emphysema]
	f := frame{
		halfWidth: a.Width/2 - 6,
		halfDepth: a.Depth / 2,
		apex:      -a.LungHeight / 2,
		base:      a.LungHeight/2 + a.Inspiration,
	}
	f.dome = [2]float64{f.base - 58 - 8*rng.Float64(), f.base - 46 - 8*rng.Float64()} // right higher than left
	c.body.lung = lungDensity * (0.92 + 0.16*rng.Float64())
	if emphysema {
		f.halfDepth *= 1.2
		f.base += 26
		f.apex -= 8
		f.dome = [2]float64{f.base - 22, f.base - 18}
		c.body.lung *= 0.55
	}
	if c.Labels[study.Atelectasis] && !emphysema {
		f.dome[rng.IntN(2)] -= 16 // volume loss lifts a dome
	}
	c.tissue(f, rng)
	c.lungs(f)
	c.mediastinum(f, rng)
	c.diaphragm(f, rng)
	c.bones(f, rng)
	c.vessels(f, rng)
	c.lesions(f, rng)
	c.turn()
}

func (c *Case) tissue(f frame, rng *rand.Rand) {
	b := &c.body
	thick := 12 + 11*(c.Anatomy.Habitus+1)
	wall := f.halfWidth + thick
	deep := f.halfDepth + thick*0.8
	b.tissue = append(b.tissue,
		ball(vec{0, 0, 60}, wall, deep, 420),                                                             // trunk
		ball(vec{0, 8, f.apex - 5}, wall*1.12, deep*0.72, 62),                                            // shoulders
		ball(vec{0, 0, f.apex - 120}, 58, 60, 150),                                                       // neck
		ball(vec{0, 0, f.base + 120}, wall*1.02+12*c.Anatomy.Habitus, deep+14+18*c.Anatomy.Habitus, 210), // abdomen
	)
	if c.Anatomy.Female {
		size := 30 + 20*rng.Float64()*(1+c.Anatomy.Habitus*0.4)
		for _, right := range []bool{true, false} {
			x := f.side(right) * f.halfWidth * 0.55
			b.tissue = append(b.tissue, ball(vec{x, -deep + 20, 25 + 20*rng.Float64()}, size*1.35, size*0.72+14, size*1.2))
		}
	}
}

func (c *Case) lungs(f frame) {
	height := f.base - f.apex
	for _, right := range []bool{true, false} {
		x := f.side(right)
		b := &c.body
		mid := f.apex + height*0.56
		b.lungs = append(b.lungs,
			ball(vec{x * f.halfWidth * 0.53, 4, mid}, f.halfWidth*0.47, f.halfDepth*0.9, height*0.56),
			ball(vec{x * f.halfWidth * 0.52, 2, f.base - height*0.26}, f.halfWidth*0.48, f.halfDepth*0.96, height*0.34),
			ball(vec{x * f.halfWidth * 0.43, 8, f.apex + height*0.2}, f.halfWidth*0.33, f.halfDepth*0.62, height*0.21),
		)
	}
}

func (c *Case) mediastinum(f frame, rng *rand.Rand) {
	b := &c.body
	height := f.base - f.apex
	wide := 1.0
	if c.Labels[study.EnlargedCardiomediastinum] {
		wide = 1.75 + 0.5*rng.Float64()
	}
	upper := 25 * wide
	b.filled = append(b.filled,
		ball(vec{0, 20, f.apex + height*0.5}, 24, f.halfDepth*0.75, height*0.6),           // column with the spine
		ball(vec{2, -6, f.apex + height*0.26}, upper, f.halfDepth*0.55, height*0.24),      // great vessels
		ball(vec{14 * wide, 14, f.apex + height*0.31}, 20*math.Sqrt(wide), 20, 21),        // aortic knob
		ball(vec{-9 * wide, -14, f.apex + height*0.3}, 22*math.Sqrt(wide), 26, height*.2), // superior vena cava, ascending aorta
		ball(vec{12, 40, f.apex + height*0.62}, 15, 14, height*0.36),                      // descending aorta
	)
	big := 0.9 + 0.14*rng.Float64()
	if c.Labels[study.Cardiomegaly] {
		big = 1.38 + 0.28*rng.Float64()
	}
	if c.Labels[study.Emphysema] && !c.Labels[study.Cardiomegaly] {
		big *= 0.82
	}
	heart := vec{20 + 10*(big-1), -22, f.base - height*0.27}
	b.filled = append(b.filled,
		ball(heart.add(vec{8, 0, 4}), 66*big, 48*big, 50*big).tilted(1, 0.5),
		ball(heart.add(vec{-42 * big, 4, 0}), 30*big, 38*big, 42*big), // right atrium
		ball(heart.add(vec{2, 22 * big, -18 * big}), 34*big, 26*big, 30*big),
	)
	// Trachea and main bronchi are gas inside the mediastinum.
	carina := vec{0, 14, f.apex + height*0.33}
	b.add(-0.85, rod(vec{0, 2, f.apex - 40}, carina, 8.5))
	b.add(-0.7, rod(carina, carina.add(vec{-30, 6, 24}), 6.5), rod(carina, carina.add(vec{40, 8, 28}), 6))
}

func (c *Case) diaphragm(f frame, rng *rand.Rand) {
	b := &c.body
	flat := 1.0
	if c.Labels[study.Emphysema] {
		flat = 0.4
	}
	for i, right := range []bool{true, false} {
		x := f.side(right) * f.halfWidth * 0.5
		top := f.dome[i]
		depth := (f.base - top) * (1 + 0.1*rng.Float64())
		b.filled = append(b.filled,
			ball(vec{x, -6, top + depth}, f.halfWidth*0.56, f.halfDepth*1.08, depth),
			ball(vec{x, -12, top + depth + 60*flat}, f.halfWidth*0.5, f.halfDepth*0.98, 90*flat),
		)
		b.filled = append(b.filled, ball(vec{x, 0, f.base + 140}, f.halfWidth*0.8, f.halfDepth*1.6, 140))
	}
	// The stomach's gas under the left dome.
	size := 14 + 12*rng.Float64()
	b.add(-0.75, ball(vec{f.halfWidth * 0.45, -10, f.dome[1] + 14 + size}, size*1.5, size, size*0.8))
}

func (c *Case) bones(f frame, rng *rand.Rand) {
	b := &c.body
	height := f.base - f.apex
	// Spine: bodies with discs between, and the processes behind.
	for i := range 17 {
		z := f.apex - 70 + float64(i)*27
		y := f.halfDepth*0.62 + 10*math.Sin(float64(i)/16*math.Pi)
		b.add(boneExtra*0.45, ball(vec{0, y, z}, 17, 15, 12))
		b.add(boneExtra*0.4, ball(vec{0, y + 30, z + 6}, 5, 16, 8))
	}
	// Twelve pairs of ribs: from the spine outwards and down, round the side, forward and further down.
	for i := range 11 {
		level := f.apex + 6 + float64(i)*height/11.2
		swell := 0.6 + 0.42*math.Sin(math.Pi*clamp((float64(i)+1.2)/11, 0, 0.62)/1.24)
		rx, ry := (f.halfWidth+3)*swell, (f.halfDepth+2)*(0.55+0.45*swell)
		drop := 26 + 3.2*float64(i)
		for _, right := range []bool{true, false} {
			c.rib(f, right, i, level, rx, ry, drop, rng)
		}
	}
	// Clavicles, scapulae, sternum.
	for _, right := range []bool{true, false} {
		x := f.side(right)
		b.add(boneExtra*0.55, rod(vec{x * 18, -f.halfDepth * 0.7, f.apex + 24}, vec{x * 75, -f.halfDepth * 0.62, f.apex + 13}, 6.5))
		b.add(boneExtra*0.55, rod(vec{x * 75, -f.halfDepth * 0.62, f.apex + 13}, vec{x * (f.halfWidth + 22), -5, f.apex + 3}, 6))
		blade := ball(vec{x * (f.halfWidth * 0.98), f.halfDepth * 0.72, f.apex + height*0.3}, 30, 5, 62).tilted(2, x*0.5)
		b.add(boneExtra*0.35, blade)
		b.add(boneExtra*0.5, ball(vec{x * (f.halfWidth + 34), 2, f.apex + 10}, 25, 25, 25)) // humeral head
		b.extras = append(b.extras,
			extra{ellipsoid: rod(vec{x * (f.halfWidth + 40), 2, f.apex + 20}, vec{x * (f.halfWidth + 68), 5, f.apex + 260}, 34), weight: 0.8, view: study.Frontal},
			extra{ellipsoid: rod(vec{x * (f.halfWidth + 38), 2, f.apex + 10}, vec{x * (f.halfWidth + 62), 5, f.apex + 240}, 11), weight: boneExtra * 0.6, view: study.Frontal},
			// Arms raised in the lateral view.
			extra{ellipsoid: rod(vec{x * 60, -20, f.apex + 10}, vec{x * 60, -80, f.apex - 170}, 38), weight: 0.6, view: study.Lateral},
		)
	}
	b.add(boneExtra*0.5, ball(vec{0, -f.halfDepth - 3, f.apex + height*0.42}, 17, 5, height*0.32).tilted(0, -0.12))
}

// rib adds one rib as a chain of short rods; a fracture breaks the chain.
func (c *Case) rib(f frame, right bool, number int, level, rx, ry, drop float64, rng *rand.Rand) {
	const pieces = 26
	x := f.side(right)
	broken := -1
	if c.Labels[study.Fracture] {
		side := c.Seed&1 == 0
		first := 3 + int(c.Seed>>1%3)
		if right == side && number >= first && number < first+3 {
			broken = 9 + int((c.Seed>>4)%6)
		}
	}
	point := func(i int) vec {
		t := float64(i) / pieces
		angle := math.Pi * (0.06 + 0.8*t)
		return vec{x * rx * math.Sin(angle), ry * math.Cos(angle), level + drop*(0.15+1.75*t*t+0.35*t)}
	}
	jitter := 0.92 + 0.16*rng.Float64()
	for i := range pieces {
		from, to := point(i), point(i+1)
		if i == broken {
			c.Lesions = append(c.Lesions, Lesion{study.Fracture, right, from, 14})
			c.body.add(boneExtra*0.9, ball(from.add(vec{x * 2, 0, 3}), 11, 11, 12)) // callus
			continue
		}
		if broken >= 0 && i > broken && i < broken+8 {
			step := vec{x * 5, 0, 11 * (1 - float64(i-broken)/9)}
			from, to = from.add(step), to.add(step)
		}
		weight := boneExtra * 0.6 * jitter
		if i > pieces*3/4 {
			weight *= 0.45 // cartilage
		}
		c.body.add(weight, rod(from, to, 4.6))
	}
}

func (c *Case) vessels(f frame, rng *rand.Rand) {
	height := f.base - f.apex
	strength := 0.85
	if c.Labels[study.Emphysema] {
		strength = 0.45
	}
	if c.Labels[study.Edema] {
		strength = 1.15
	}
	c.body.vessels[0] = len(c.body.extras)
	defer func() { c.body.vessels[1] = len(c.body.extras) }()
	for _, right := range []bool{true, false} {
		x := f.side(right)
		hilum := vec{x * 36, 10, f.apex + height*0.44}
		c.body.add(0.45, ball(hilum, 13, 14, 20))
		for range 17 {
			angle := (rng.Float64()*1.5 - 0.68) * math.Pi * 0.72
			reach := f.halfWidth * (0.45 + 0.25*rng.Float64())
			end := hilum.add(vec{x * reach * math.Cos(angle), (rng.Float64() - 0.5) * f.halfDepth, reach * 1.25 * math.Sin(angle)})
			c.branch(hilum, end, 3.6, strength, 4, rng)
		}
	}
}

// branch draws a vessel that tapers and forks.
func (c *Case) branch(from, to vec, radius, weight float64, forks int, rng *rand.Rand) {
	mid := lerp(from, to, 0.5).add(vec{rng.NormFloat64() * 4, rng.NormFloat64() * 4, rng.NormFloat64() * 4})
	c.body.add(weight, rod(from, mid, radius), rod(mid, to, radius*0.75))
	if forks == 0 || radius < 1.1 {
		return
	}
	span := to.sub(from).length() * 0.55
	for range 2 {
		way := to.sub(mid).unit().add(vec{rng.NormFloat64() * 0.5, rng.NormFloat64() * 0.5, rng.NormFloat64() * 0.5}).unit()
		c.branch(mid, mid.add(way.scale(span)), radius*0.6, weight, forks-2, rng)
	}
}

// turn rotates the body about its long axis, as a patient who does not stand square.
func (c *Case) turn() {
	s, co := math.Sincos(c.Anatomy.Rotation)
	spin := func(v vec) vec { return vec{v[0]*co - v[1]*s, v[0]*s + v[1]*co, v[2]} }
	turn := func(e *ellipsoid) {
		e.centre = spin(e.centre).scale(c.Anatomy.Scale)
		for i := range e.axes {
			e.axes[i] = spin(e.axes[i])
			e.radii[i] *= c.Anatomy.Scale
		}
	}
	b := &c.body
	for _, list := range [][]ellipsoid{b.tissue, b.lungs, b.filled, b.free, b.collapsed} {
		for i := range list {
			turn(&list[i])
		}
	}
	for i := range b.extras {
		turn(&b.extras[i].ellipsoid)
	}
	for i := range c.Lesions {
		c.Lesions[i].Centre = spin(c.Lesions[i].Centre).scale(c.Anatomy.Scale)
	}
}
