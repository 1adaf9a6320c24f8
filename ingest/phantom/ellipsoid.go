package phantom

import "math"

type vec [3]float64

func (a vec) add(b vec) vec       { return vec{a[0] + b[0], a[1] + b[1], a[2] + b[2]} }
func (a vec) sub(b vec) vec       { return vec{a[0] - b[0], a[1] - b[1], a[2] - b[2]} }
func (a vec) scale(s float64) vec { return vec{a[0] * s, a[1] * s, a[2] * s} }
func (a vec) dot(b vec) float64   { return a[0]*b[0] + a[1]*b[1] + a[2]*b[2] }
func (a vec) length() float64     { return math.Sqrt(a.dot(a)) }
func (a vec) cross(b vec) vec {
	return vec{a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]}
}
func lerp(a, b vec, t float64) vec    { return a.add(b.sub(a).scale(t)) }
func (a vec) unit() vec               { return a.scale(1 / max(a.length(), 1e-9)) }
func lerpf(a, b, t float64) float64   { return a + (b-a)*t }
func clamp(x, lo, hi float64) float64 { return min(max(x, lo), hi) }

// ellipsoid is a solid with semi-axes along three orthonormal directions.
type ellipsoid struct {
	centre vec
	axes   [3]vec // unit directions
	radii  vec
}

// ball is an axis-aligned ellipsoid.
func ball(centre vec, rx, ry, rz float64) ellipsoid {
	return ellipsoid{centre, [3]vec{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, vec{rx, ry, rz}}
}

// rod is a thin ellipsoid from a to b of the given radius: vessels, ribs' pieces, lines.
func rod(a, b vec, radius float64) ellipsoid {
	along := b.sub(a)
	half := along.length()/2 + radius/2
	u := along.unit()
	helper := vec{0, 0, 1}
	if math.Abs(u[2]) > 0.9 {
		helper = vec{1, 0, 0}
	}
	v := u.cross(helper).unit()
	return ellipsoid{lerp(a, b, 0.5), [3]vec{u, v, u.cross(v)}, vec{half, radius, radius}}
}

// tilted turns e about the axis (0 x, 1 y, 2 z) through its centre by an angle in radians.
func (e ellipsoid) tilted(axis int, angle float64) ellipsoid {
	for i := range e.axes {
		e.axes[i] = rotate(e.axes[i], axis, angle)
	}
	return e
}

func (e ellipsoid) holds(p vec) bool {
	sum := 0.0
	for i, axis := range e.axes {
		t := p.sub(e.centre).dot(axis) / e.radii[i]
		sum += t * t
	}
	return sum <= 1
}

func (e ellipsoid) grown(mm float64) ellipsoid {
	for i := range e.radii {
		e.radii[i] = max(e.radii[i]+mm, 0.1)
	}
	return e
}

func rotate(v vec, axis int, angle float64) vec {
	s, c := math.Sincos(angle)
	i, j := (axis+1)%3, (axis+2)%3
	v[i], v[j] = v[i]*c-v[j]*s, v[i]*s+v[j]*c
	return v
}

// shadow is an ellipsoid as parallel rays along one coordinate axis see it: the ray through (u, v) meets it between
// middle-half and middle+half, where half = depth * sqrt(1 - q(u, v)).
type shadow struct {
	u, v             float64 // centre
	quu, quv, qvv    float64 // q = quu du² + 2 quv du dv + qvv dv²
	depth            float64 // half the longest chord
	mid, slopeU, slV float64 // middle of the chord along the ray
	extentU, extentV float64 // half the bounding box
}

// project returns the shadow for rays along coordinate axis d, on the plane of axes iu and iv.
func (e ellipsoid) project(d, iu, iv int) shadow {
	// The quadratic form S of the ellipsoid: (p-c)ᵀ S (p-c) <= 1.
	var s [3][3]float64
	for k, axis := range e.axes {
		w := 1 / (e.radii[k] * e.radii[k])
		for i := range 3 {
			for j := range 3 {
				s[i][j] += w * axis[i] * axis[j]
			}
		}
	}
	a := s[d][d]
	bu, bv := s[d][iu], s[d][iv]
	out := shadow{
		u: e.centre[iu], v: e.centre[iv],
		quu: s[iu][iu] - bu*bu/a, quv: s[iu][iv] - bu*bv/a, qvv: s[iv][iv] - bv*bv/a,
		depth: 1 / math.Sqrt(a), mid: e.centre[d], slopeU: -bu / a, slV: -bv / a,
	}
	det := out.quu*out.qvv - out.quv*out.quv
	out.extentU, out.extentV = math.Sqrt(out.qvv/det), math.Sqrt(out.quu/det)
	return out
}

// chord returns the interval of the ray through (u, v), and false when the ray misses.
func (s *shadow) chord(u, v float64) (interval, bool) {
	du, dv := u-s.u, v-s.v
	q := s.quu*du*du + 2*s.quv*du*dv + s.qvv*dv*dv
	if q >= 1 {
		return interval{}, false
	}
	half := s.depth * math.Sqrt(1-q)
	mid := s.mid + s.slopeU*du + s.slV*dv
	return interval{mid - half, mid + half}, true
}

type interval struct{ from, to float64 }

// unionLength returns the total length covered by the intervals after the cuts are taken away. Both lists are small and are
// sorted in place.
func unionLength(parts, cuts []interval) float64 {
	sortIntervals(parts)
	sortIntervals(cuts)
	length, reach := 0.0, math.Inf(-1)
	for _, p := range parts {
		from := max(p.from, reach)
		if p.to <= from {
			continue
		}
		reach = p.to
		for _, c := range cuts {
			if c.to <= from {
				continue
			}
			if c.from >= p.to {
				break
			}
			if c.from > from {
				length += c.from - from
			}
			from = max(from, c.to)
		}
		if p.to > from {
			length += p.to - from
		}
	}
	return length
}

func sortIntervals(list []interval) {
	for i := 1; i < len(list); i++ {
		for j := i; j > 0 && list[j].from < list[j-1].from; j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
}
