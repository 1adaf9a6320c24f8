package viewnet

import (
	"math"
	"math/rand/v2"
	"runtime"
	"sync"

	"llamaxr/ingest/phantom"
	"llamaxr/study"
)

// Settings of the training: small enough to run in a minute or two.
const (
	trainCases  = 1600
	trainSide   = 96
	epochs      = 14
	learnRate   = 0.003
	decay       = 2e-4
	batch       = 32
	perPhantom  = 3 // augmentations of each view an epoch
	heldOutSeed = uint64(1) << 61
)

type sample struct {
	pixels []float32
	class  int
}

// Train makes a network from phantoms and from pictures that are no chest (limbs, blanks, noise). The same seed gives the same bytes.
// It reports the share of held-out phantom views that it tells right.
func Train(seed uint64, progress func(epoch, epochs int, loss float64)) (*Net, float64) {
	samples := render(seed<<20, trainCases)
	rng := rand.New(rand.NewPCG(seed, 41))
	n := &Net{
		w1: make([]float32, inputs*hidden), b1: make([]float32, hidden), w2: make([]float32, hidden*classes), b2: make([]float32, classes), temperature: 1,
	}
	for i := range n.w1 {
		n.w1[i] = float32(rng.NormFloat64() * math.Sqrt(2.0/inputs))
	}
	for i := range n.w2 {
		n.w2[i] = float32(rng.NormFloat64() * math.Sqrt(2.0/hidden))
	}
	opt := newAdam(n)
	for epoch := range epochs {
		order := rng.Perm(len(samples) * perPhantom)
		total := 0.0
		for at := 0; at+batch <= len(order); at += batch {
			rate := learnRate * 0.5 * (1 + math.Cos(math.Pi*(float64(epoch)+float64(at)/float64(len(order)))/epochs))
			xs := make([][]float32, batch)
			seeds := make([]uint64, batch)
			for k := range seeds {
				seeds[k] = rng.Uint64()
			}
			parallel(batch, func(k int) {
				s := samples[order[at+k]%len(samples)]
				xs[k] = features(augment(s.pixels, rand.New(rand.NewPCG(seeds[k], 1))), trainSide)
			})
			for k, x := range xs {
				total += opt.add(x, samples[order[at+k]%len(samples)].class)
			}
			opt.step(rate)
		}
		if progress != nil {
			progress(epoch+1, epochs, total/float64(len(order)))
		}
	}
	right, held := 0, render(heldOutSeed, 150)
	var z [][classes]float32
	for i, s := range held {
		_, out := n.forward(features(augment(s.pixels, rand.New(rand.NewPCG(uint64(i), 2))), trainSide))
		z = append(z, out)
		best := 0
		for k := range out {
			if out[k] > out[best] {
				best = k
			}
		}
		if best == s.class {
			right++
		}
	}
	n.temperature = calibrate(z, held)
	return n, float64(right) / float64(len(held))
}

// calibrate finds the temperature with the least cross-entropy on held-out pictures (Guo et al. 2017), never below 2: real pictures
// are further from phantoms than held-out phantoms are.
func calibrate(z [][classes]float32, held []sample) float32 {
	best, at := math.Inf(1), 2.0
	for t := 2.0; t <= 8; t += 0.25 {
		loss := 0.0
		for i, out := range z {
			sum := 0.0
			for _, v := range out {
				sum += math.Exp(float64(v)/t - float64(out[held[i].class])/t)
			}
			loss += math.Log(sum)
		}
		if loss < best {
			best, at = loss, t
		}
	}
	return float32(at)
}

func render(first uint64, cases int) []sample {
	out := make([]sample, cases*3)
	parallel(cases, func(i int) {
		c := phantom.NewRandom(first + uint64(i))
		for v, view := range []study.Projection{study.Frontal, study.Lateral} {
			out[3*i+v] = sample{c.Project(view, trainSide).Pixels, v}
		}
		out[3*i+2] = sample{other(rand.New(rand.NewPCG(first+uint64(i), 43))), 2}
	})
	return out
}

func parallel(n int, work func(i int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range runtime.NumCPU() {
		wg.Go(func() {
			for i := range next {
				work(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// other draws a picture that is no chest: soft tissue with long bones, or next to nothing.
func other(rng *rand.Rand) []float32 {
	out := make([]float32, trainSide*trainSide)
	kind := rng.IntN(6)
	if kind == 0 {
		level := rng.Float32()
		for i := range out {
			out[i] = level + float32(rng.NormFloat64()*0.02)
		}
		return out
	}
	angle := rng.Float64() * math.Pi
	sin, cos := math.Sincos(angle)
	width := 0.12 + 0.28*rng.Float64()
	bones := 1 + rng.IntN(2)
	taper := 0.5 * (rng.Float64() - 0.5)
	joint := rng.Float64() - 0.5
	for y := range trainSide {
		for x := range trainSide {
			u, v := float64(x)/trainSide-0.5, float64(y)/trainSide-0.5
			along, across := u*cos+v*sin, -u*sin+v*cos
			w := width * (1 + taper*along)
			t := across / w
			if t*t >= 1 {
				out[y*trainSide+x] = float32(0.03 + 0.02*rng.NormFloat64())
				continue
			}
			level := 0.5 * math.Sqrt(1-t*t)
			for b := range bones {
				centre := (float64(b) - float64(bones-1)/2) * w * 0.7
				r := w * 0.28 * (1 + 0.9*math.Exp(-math.Pow((along-joint)/0.12, 2)))
				if s := (across - centre) / r; s*s < 1 {
					level += 0.35*math.Sqrt(1-s*s) + 0.12*math.Pow(math.Abs(s), 3)
				}
			}
			out[y*trainSide+x] = float32(level + 0.015*rng.NormFloat64())
		}
	}
	return out
}

// augment shifts, scales, turns, mirrors, crops and veils a picture as real ones differ.
func augment(in []float32, rng *rand.Rand) []float32 {
	out := make([]float32, len(in))
	angle := 0.12 * rng.NormFloat64()
	sin, cos := math.Sincos(angle)
	scale := math.Exp(0.16*rng.NormFloat64()) * 0.92
	stretch := math.Exp(0.1 * rng.NormFloat64())
	dx, dy := 0.06*rng.NormFloat64(), 0.07*rng.NormFloat64()
	mirror := 1.0
	if rng.IntN(2) == 0 {
		mirror = -1
	}
	veil, slopeX, slopeY := 0.12*rng.NormFloat64(), 0.25*rng.NormFloat64(), 0.25*rng.NormFloat64()
	invert := rng.IntN(25) == 0
	background := float32(rng.Float64() * 0.15)
	for y := range trainSide {
		for x := range trainSide {
			u, v := float64(x)/trainSide-0.5, float64(y)/trainSide-0.5
			pu := mirror*(u*cos-v*sin)*scale*stretch + dx
			pv := (u*sin+v*cos)*scale/stretch + dy
			ix, iy := int((pu+0.5)*trainSide), int((pv+0.5)*trainSide)
			level := background
			if ix >= 0 && iy >= 0 && ix < trainSide && iy < trainSide {
				level = in[iy*trainSide+ix]
			}
			level += float32(veil + slopeX*u + slopeY*v)
			if invert {
				level = 1 - level
			}
			out[y*trainSide+x] = level
		}
	}
	// A text or a marker, and blank bars.
	if rng.IntN(3) == 0 {
		box(out, rng, 1, 0.12)
	}
	if rng.IntN(4) == 0 {
		box(out, rng, 0, 0.3)
	}
	return out
}

func box(out []float32, rng *rand.Rand, level float32, size float64) {
	w, h := int(size*rng.Float64()*trainSide), int(size*rng.Float64()*trainSide)
	x0, y0 := rng.IntN(trainSide), rng.IntN(trainSide)
	for y := y0; y < min(y0+h, trainSide); y++ {
		for x := x0; x < min(x0+w, trainSide); x++ {
			out[y*trainSide+x] = level
		}
	}
}

// adam trains a Net.
type adam struct {
	n      *Net
	params [][]float32
	g, m   [][]float32
	v      [][]float32
	t      int
}

func newAdam(n *Net) *adam {
	a := &adam{n: n, params: [][]float32{n.w1, n.b1, n.w2, n.b2}}
	for _, p := range a.params {
		a.g, a.m, a.v = append(a.g, make([]float32, len(p))), append(a.m, make([]float32, len(p))), append(a.v, make([]float32, len(p)))
	}
	return a
}

// add adds one picture's gradient and returns its loss.
func (a *adam) add(x []float32, class int) float64 {
	h, z := a.n.forward(x)
	top := max(z[0], z[1], z[2])
	var p [classes]float32
	sum := float32(0)
	for k := range z {
		p[k] = float32(math.Exp(float64(z[k] - top)))
		sum += p[k]
	}
	loss := 0.0
	var dh [hidden]float32
	for k := range p {
		p[k] /= sum
		d := p[k]
		if k == class {
			loss = -math.Log(float64(p[k]) + 1e-9)
			d--
		}
		a.g[3][k] += d
		for j := range h {
			a.g[2][j*classes+k] += d * h[j]
			if h[j] > 0 {
				dh[j] += d * a.n.w2[j*classes+k]
			}
		}
	}
	for j, d := range dh {
		a.g[1][j] += d
	}
	for i, v := range x {
		row := a.g[0][i*hidden : (i+1)*hidden]
		for j, d := range dh {
			row[j] += v * d
		}
	}
	return loss
}

func (a *adam) step(rate float64) {
	a.t++
	fix1, fix2 := 1-math.Pow(0.9, float64(a.t)), 1-math.Pow(0.999, float64(a.t))
	for k, p := range a.params {
		for i := range p {
			g := a.g[k][i] / batch
			a.m[k][i] = 0.9*a.m[k][i] + 0.1*g
			a.v[k][i] = 0.999*a.v[k][i] + 0.001*g*g
			p[i] -= float32(rate * (float64(a.m[k][i])/fix1/(math.Sqrt(float64(a.v[k][i])/fix2)+1e-8) + decay*float64(p[i])))
			a.g[k][i] = 0
		}
	}
}
