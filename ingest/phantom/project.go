package phantom

import (
	"math"
	"math/rand/v2"

	"llamaxr/study"
)

// Image is a projection: Size x Size grey levels in [0, 1], row by row, bright is dense.
type Image struct {
	Size   int
	Pixels []float32
	// FieldSize is the side of the image in millimetres at the patient.
	FieldSize float64
}

// The side of the collimated field at the patient in millimetres: a 43 cm plate at most, closer about the lungs as a rule.
const (
	smallestField = 330
	largestField  = 430
)

// Project returns the case's radiograph of one view with size x size pixels. The same case and size give the same pixels.
func (c *Case) Project(view study.Projection, size int) *Image {
	a := c.Anatomy
	rng := rand.New(rand.NewPCG(c.Seed, uint64(view)*0x2545f4914f6cdd1d+1))
	img := &Image{Size: size, Pixels: make([]float32, size*size), FieldSize: lerpf(smallestField, largestField, rng.Float64())}
	depth := c.attenuation(view, img, rng)
	lo, hi := percentiles(depth, 0.06, 0.985)
	blurred := boxBlur(depth, size, size/14)
	for i, d := range depth {
		veil := lerpf(d, blurred[i], a.Scatter*0.5)
		level := clamp((veil-lo)/(hi-lo), 0, 1.08)
		level = math.Pow(level, a.Exposure)
		level += a.Noise * rng.NormFloat64() * (1.2 - level*0.6)
		img.Pixels[i] = float32(clamp(0.04+0.88*level, 0, 1))
	}
	finish(img, view, a, rng)
	return img
}

// attenuation integrates the densities along every ray.
func (c *Case) attenuation(view study.Projection, img *Image, rng *rand.Rand) []float64 {
	along, across := 1, 0
	if view == study.Lateral {
		along, across = 0, 1
	}
	b := &c.body
	shadows := func(list []ellipsoid) []shadow {
		out := make([]shadow, len(list))
		for i, e := range list {
			out[i] = e.project(along, across, 2)
		}
		return out
	}
	tissue, lungs, filled := shadows(b.tissue), shadows(b.lungs), shadows(b.filled)
	free, collapsed := shadows(b.free), shadows(b.collapsed)
	size := img.Size
	step := img.FieldSize / float64(size)
	shiftU, shiftV := rng.NormFloat64()*6, 4+rng.NormFloat64()*8
	sin, cos := math.Sincos(c.Anatomy.Tilt)
	depth := make([]float64, size*size)
	var parts, cuts, air []interval
	gather := func(list []shadow, into []interval, u, v float64) []interval {
		into = into[:0]
		for i := range list {
			if hit, ok := list[i].chord(u, v); ok {
				into = append(into, hit)
			}
		}
		return into
	}
	place := func(px, py float64) (u, v float64) {
		x, y := (px+0.5)*step-img.FieldSize/2, (py+0.5)*step-img.FieldSize/2
		// x runs to the patient's left: the right side lies on the image's left, and a lateral has its front on the left.
		return x*cos - y*sin + shiftU, x*sin + y*cos + shiftV
	}
	for py := range size {
		for px := range size {
			u, v := place(float64(px), float64(py))
			parts = gather(tissue, parts, u, v)
			total := unionLength(parts, nil)
			if total == 0 {
				continue
			}
			air = gather(lungs, air, u, v)
			if len(air) > 0 {
				cuts = gather(filled, cuts, u, v)
				inside := unionLength(air, cuts)
				total -= inside * (1 - b.lung)
				if len(free) > 0 {
					total -= freeAir(free, collapsed, cuts, u, v) * b.lung * 0.9
				}
			}
			depth[py*size+px] = total
		}
	}
	for _, e := range b.extras {
		if e.view != study.ProjectionUnknown && e.view != view {
			continue
		}
		c.splat(depth, e.project(along, across, 2), e.weight, img, place, step)
	}
	return depth
}

// freeAir returns the length of ray in free but outside the collapsed lung.
func freeAir(free, collapsed []shadow, filled []interval, u, v float64) float64 {
	total := 0.0
	for i := range free {
		hit, ok := free[i].chord(u, v)
		if !ok {
			continue
		}
		cuts := append([]interval(nil), filled...)
		if left, ok := collapsed[i].chord(u, v); ok {
			cuts = append(cuts, left)
		}
		total += unionLength([]interval{hit}, cuts)
	}
	return total
}

// splat adds weight times the chord of s to the pixels under its shadow.
func (c *Case) splat(depth []float64, s shadow, weight float64, img *Image, place func(x, y float64) (float64, float64), step float64) {
	// The image's axes are a small rotation away from (u, v): bound by the circle around the shadow.
	u0, v0 := place(0, 0)
	ux, vx := place(1, 0)
	uy, vy := place(0, 1)
	ux, vx, uy, vy = ux-u0, vx-v0, uy-u0, vy-v0
	det := ux*vy - uy*vx
	du, dv := s.u-u0, s.v-v0
	centreX, centreY := (du*vy-dv*uy)/det, (dv*ux-du*vx)/det
	reach := math.Hypot(s.extentU, s.extentV)/step + 1
	if math.Abs(c.Anatomy.Tilt) < 0.1 {
		reach = 0
	}
	reachX := max(reach, (s.extentU+0.1*s.extentV)/step+1)
	reachY := max(reach, (s.extentV+0.1*s.extentU)/step+1)
	x0, x1 := max(int(centreX-reachX), 0), min(int(centreX+reachX)+1, img.Size-1)
	y0, y1 := max(int(centreY-reachY), 0), min(int(centreY+reachY)+1, img.Size-1)
	for y := y0; y <= y1; y++ {
		for x := x0; x <= x1; x++ {
			u, v := place(float64(x), float64(y))
			du, dv := u-s.u, v-s.v
			if q := s.quu*du*du + 2*s.quv*du*dv + s.qvv*dv*dv; q < 1 {
				depth[y*img.Size+x] += weight * 2 * s.depth * math.Sqrt(1-q)
			}
		}
	}
}

// percentiles returns the values under which the shares lo and hi of the positive entries lie, from a histogram.
func percentiles(values []float64, lo, hi float64) (float64, float64) {
	top, n := 0.0, 0
	for _, v := range values {
		if v > 0 {
			top, n = max(top, v), n+1
		}
	}
	if n == 0 {
		return 0, 1
	}
	const bins = 2048
	var count [bins + 1]int
	for _, v := range values {
		if v > 0 {
			count[int(v/top*bins)]++
		}
	}
	at := func(share float64) float64 {
		left := int(share * float64(n))
		for i, k := range count {
			if left -= k; left < 0 {
				return (float64(i) + 0.5) / bins * top
			}
		}
		return top
	}
	return at(lo), at(hi)
}

// boxBlur averages over a square of side 2r+1, edges repeated, by two passes of running sums.
func boxBlur(in []float64, size, r int) []float64 {
	tmp, out := make([]float64, len(in)), make([]float64, len(in))
	pass := func(src, dst []float64, stride, next int) {
		for line := range size {
			base := line * next
			sum := 0.0
			at := func(i int) float64 { return src[base+min(max(i, 0), size-1)*stride] }
			for i := -r; i <= r; i++ {
				sum += at(i)
			}
			for i := range size {
				dst[base+i*stride] = sum / float64(2*r+1)
				sum += at(i+r+1) - at(i-r)
			}
		}
	}
	pass(in, tmp, 1, size)
	pass(tmp, out, size, 1)
	return out
}

// finish adds what the room adds: a lead letter of the patient's side and blank collimator borders.
func finish(img *Image, view study.Projection, a Anatomy, rng *rand.Rand) {
	if a.Marker {
		x, y := int(float64(img.Size)*(0.05+0.06*rng.Float64())), int(float64(img.Size)*(0.06+0.1*rng.Float64()))
		height, letter := max(img.Size/20, 4), inL
		switch {
		case rng.IntN(2) == 0:
			x = img.Size - x - img.Size/20
		case view == study.Frontal: // the patient's right is on the left
			letter = inR
		}
		stamp(img, x, y, height, letter)
	}
	border := int(a.Collimation * float64(img.Size))
	for y := range img.Size {
		for x := range img.Size {
			if x < border || y < border || x >= img.Size-border || y >= img.Size-border {
				img.Pixels[y*img.Size+x] = 0
			}
		}
	}
}

// stamp draws a letter, h pixels high, as lead: white.
func stamp(img *Image, x, y, h int, in func(x, y, w, h, stroke int) bool) {
	w, stroke := h*2/3, max(h/5, 1)
	for dy := range h {
		for dx := range w {
			if in(dx, dy, w, h, stroke) && x+dx < img.Size && y+dy < img.Size {
				img.Pixels[(y+dy)*img.Size+x+dx] = 1
			}
		}
	}
}

func inL(x, y, _, h, stroke int) bool { return x < stroke || y >= h-stroke }

func inR(x, y, w, h, stroke int) bool {
	if bowl := (h + stroke) / 2; y < bowl {
		return x < stroke || y < stroke || y >= bowl-stroke || x >= w-stroke
	}
	leg := (y - h/2) * w / (h - h/2)
	return x < stroke || x < leg && x >= leg-stroke
}
