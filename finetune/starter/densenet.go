package starter

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"llamaxr/inference/engine"
	"llamaxr/inference/safetensors"
	"llamaxr/inference/xrv"
	"llamaxr/ingest/phantom"
	"llamaxr/study"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// DenseNetOptions are the settings of one training run.
type DenseNetOptions struct {
	Seed   uint64
	Stages []Stage
	Out    string // folder that receives densenet121.safetensors and densenet121.json
	Log    io.Writer
}

// Stage trains at one image size.
type Stage struct {
	Size         int // side of the input in pixels
	Cases        int // phantoms, two views each
	Batch, Steps int
	PeakRate     float64 // of Adam, reached after a tenth of the steps, then falling by a cosine to a hundredth
}

// DefaultDenseNet learns shapes on small pictures, then sharpens at the size that is used.
func DefaultDenseNet(out string, log io.Writer) DenseNetOptions {
	return DenseNetOptions{
		Seed: 1, Out: out, Log: log,
		Stages: []Stage{
			{Size: 112, Cases: 8000, Batch: 16, Steps: 2200, PeakRate: 2e-3},
			{Size: 224, Cases: 2400, Batch: 8, Steps: 600, PeakRate: 1e-3},
		},
	}
}

// margin is how much larger than the input the cached phantoms are, for random shifts.
const margin = 8

// example is one view: grey levels of 8 bits, (size+margin) squared.
type example struct {
	pixels []uint8
	labels *[study.NumFindings]bool
}

// render projects both views of the cases with seeds first to first+count-1, on all cores.
func render(ctx context.Context, first uint64, count, side int, progress func(done int)) []example {
	out := make([]example, 2*count)
	var wg sync.WaitGroup
	next := make(chan int)
	var mu sync.Mutex
	finished := 0
	for range runtime.NumCPU() {
		wg.Go(func() {
			for i := range next {
				c := phantom.NewRandom(first + uint64(i))
				for v, view := range []study.Projection{study.Frontal, study.Lateral} {
					img := c.Project(view, side)
					pixels := make([]uint8, len(img.Pixels))
					for p, level := range img.Pixels {
						pixels[p] = uint8(level*255 + 0.5)
					}
					out[2*i+v] = example{pixels, &c.Labels}
				}
				mu.Lock()
				finished++
				progress(finished)
				mu.Unlock()
			}
		})
	}
	for i := range count {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
	return out
}

// augment writes one example as the classifier takes it: shifted, with another grey curve, contrast and noise.
func augment(e example, size int, rng *rand.Rand, into []float32) {
	side := size + margin
	dx, dy := rng.IntN(margin+1), rng.IntN(margin+1)
	gamma := math.Exp(0.25 * rng.NormFloat64())
	contrast := 1 + 0.12*rng.NormFloat64()
	offset := 0.05 * rng.NormFloat64()
	noise := 0.015 * rng.Float64()
	var curve [256]float32
	for i := range curve {
		level := math.Pow(float64(i)/255, gamma)
		curve[i] = float32((level-0.5)*contrast + 0.5 + offset)
	}
	for y := range size {
		row := e.pixels[(y+dy)*side+dx:]
		for x := range size {
			v := curve[row[x]] + float32(noise*rng.NormFloat64())
			into[y*size+x] = (2*min(max(v, 0), 1) - 1) * 1024
		}
	}
}

// TrainDenseNet trains, calibrates on held-out phantoms and writes the weights with their card.
func TrainDenseNet(ctx context.Context, eng *engine.Engine, opts DenseNetOptions) error {
	state := newDenseState(opts.Seed)
	record := DenseNetRecord{Seed: opts.Seed, Engine: eng.Name, Started: time.Now().UTC()}
	first := opts.Seed << 32
	for i, stage := range opts.Stages {
		fmt.Fprintf(opts.Log, "stage %d: rendering %d phantoms at %d px\n", i+1, stage.Cases, stage.Size)
		data := render(ctx, first, stage.Cases, stage.Size+margin, func(int) {})
		first += uint64(stage.Cases)
		if err := state.train(ctx, eng, stage, data, opts, &record); err != nil {
			return err
		}
	}
	return state.export(ctx, eng, opts, &record)
}

// LossPoint is one entry of the record.
type LossPoint struct {
	Step int     `json:"step"`
	Size int     `json:"size"`
	Loss float64 `json:"loss"`
}

// DenseNetRecord is kept beside the weights.
type DenseNetRecord struct {
	Seed    uint64             `json:"seed"`
	Engine  string             `json:"engine"`
	Started time.Time          `json:"started"`
	Seconds float64            `json:"seconds"`
	Steps   int                `json:"steps"`
	Losses  []LossPoint        `json:"losses"`
	HeldOut int                `json:"held_out_cases"`
	AUC     map[string]float64 `json:"auc_study"`
	Frontal map[string]float64 `json:"auc_frontal"`
	Lateral map[string]float64 `json:"auc_lateral"`
	MeanAUC float64            `json:"mean_auc_study"`
}

// denseState is everything that training changes: parameters, Adam's moments, running statistics.
type denseState struct {
	names  []string // of trained parameters
	params []*tensors.Tensor
	m, v   []*tensors.Tensor
	norms  []string          // names of norms
	stats  []*tensors.Tensor // running mean, running variance of each norm
	step   int
}

func newDenseState(seed uint64) *denseState {
	rng := rand.New(rand.NewPCG(seed, 77))
	s := new(denseState)
	add := func(name string, shape []int, values []float32) {
		s.names = append(s.names, name)
		s.params = append(s.params, tensors.FromFlatDataAndDimensions(values, shape...))
		s.m = append(s.m, tensors.FromFlatDataAndDimensions(make([]float32, len(values)), shape...))
		s.v = append(s.v, tensors.FromFlatDataAndDimensions(make([]float32, len(values)), shape...))
	}
	convolutions, norms, _ := xrv.DenseNet121().Layout()
	for _, p := range convolutions {
		n := p.Shape[0] * p.Shape[1] * p.Shape[2] * p.Shape[3]
		values := make([]float32, n)
		spread := math.Sqrt(2 / float64(n/p.Shape[0])) // He et al. 2015
		for i := range values {
			values[i] = float32(rng.NormFloat64() * spread)
		}
		if p.Shape[1] == 1 {
			stem(p.Shape, values, rng)
		}
		shape, matrix := xrv.KernelMatrix(p.Shape, values)
		add(p.Name, shape, matrix)
	}
	fill := func(n int, v float32) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = v
		}
		return out
	}
	for _, p := range norms {
		n := p.Shape[0]
		add(p.Name+".weight", p.Shape, fill(n, 1))
		add(p.Name+".bias", p.Shape, fill(n, 0))
		s.norms = append(s.norms, p.Name)
		s.stats = append(s.stats, tensors.FromFlatDataAndDimensions(fill(n, 0), n), tensors.FromFlatDataAndDimensions(fill(n, 1), n))
	}
	add("classifier.weight", []int{study.NumFindings, xrv.Features}, fill(study.NumFindings*xrv.Features, 0))
	add("classifier.bias", []int{study.NumFindings}, fill(study.NumFindings, -1.5))
	return s
}

// stem fills the first convolution with a bank of oriented filters (Gabor 1946) of several wavelengths and phases. It stays as it
// is: the gradient of the pooling behind it costs more on a CPU than all the rest of the stem is worth.
func stem(shape []int, values []float32, rng *rand.Rand) {
	out, k := shape[0], shape[2]
	for o := range out {
		angle := math.Pi * float64(o%8) / 8
		wavelength := []float64{2.6, 4, 6, 10}[o/8%4]
		phase := math.Pi / 2 * float64(o/32)
		sin, cos := math.Sincos(angle)
		var sum, square float64
		kernel := values[o*k*k : (o+1)*k*k]
		for i := range kernel {
			x, y := float64(i%k-k/2), float64(i/k-k/2)
			along := x*cos + y*sin
			kernel[i] = float32(math.Exp(-(x*x+y*y)/(2*4.4)) * math.Cos(2*math.Pi*along/wavelength+phase+0.1*rng.NormFloat64()))
			sum += float64(kernel[i])
		}
		for i := range kernel {
			if o%8 != 0 || wavelength < 10 { // the widest even ones keep the mean: they see the level itself
				kernel[i] -= float32(sum / float64(k*k))
			}
			square += float64(kernel[i] * kernel[i])
		}
		for i := range kernel {
			kernel[i] *= float32(math.Sqrt(2/square) / 1024)
		}
	}
}

const (
	statMomentum = 0.05 // share of a batch in the running statistics
	adamBeta1    = 0.9
	adamBeta2    = 0.98
	adamEpsilon  = 1e-8
	weightDecay  = 1e-4
)

// trainStep is the graph of one step. Inputs: images, targets, [rate, 1-beta1^t, 1-beta2^t], parameters, m, v, statistics.
// Outputs: loss, parameters, m, v, statistics.
func (s *denseState) trainStep(in []*Node) []*Node {
	n := len(s.names)
	x, y, rates := in[0], in[1], in[2]
	params, m, v, stats := in[3:3+n], in[3+n:3+2*n], in[3+2*n:3+3*n], in[3+3*n:]
	byName := map[string]*Node{}
	for i, name := range s.names {
		byName[name] = params[i]
	}
	newStats := make([]*Node, len(stats))
	at := map[string]int{}
	for i, name := range s.norms {
		at[name] = 2 * i
	}
	net := xrv.Network{
		Shape:    xrv.DenseNet121(),
		Training: true,
		Weight:   func(name string) *Node { return byName[name] },
		Norm: func(name string, x *Node) *Node {
			mean := ReduceMean(x, 0, 1, 2)
			centred := Sub(x, ExpandLeftToRank(mean, 4))
			variance := ReduceMean(Square(centred), 0, 1, 2)
			i := at[name]
			newStats[i] = Add(MulScalar(stats[i], 1-statMomentum), MulScalar(StopGradient(mean), statMomentum))
			newStats[i+1] = Add(MulScalar(stats[i+1], 1-statMomentum), MulScalar(StopGradient(variance), statMomentum))
			scale := Div(byName[name+".weight"], Sqrt(AddScalar(variance, xrv.NormEpsilon)))
			return Add(Mul(centred, ExpandLeftToRank(scale, 4)), ExpandLeftToRank(byName[name+".bias"], 4))
		},
	}
	pooled := ReduceMean(net.Forward(x), 1, 2)
	logits := Add(MatMul(pooled, Transpose(byName["classifier.weight"], 0, 1)), ExpandLeftToRank(byName["classifier.bias"], 2))
	// Binary cross-entropy: softplus(z) - y z, in the stable form.
	softplus := Add(MaxScalar(logits, 0), Log1p(Exp(Neg(Abs(logits)))))
	// A present finding counts more: about one label in ten is present.
	weight := AddScalar(MulScalar(y, 2), 1)
	loss := ReduceAllMean(Mul(weight, Sub(softplus, Mul(y, logits))))
	gradients := Gradient(loss, params...)
	rate := Reshape(Slice(rates, AxisElem(0)))
	fix1, fix2 := Reshape(Slice(rates, AxisElem(1))), Reshape(Slice(rates, AxisElem(2)))
	out := []*Node{loss}
	newParams, newM, newV := make([]*Node, n), make([]*Node, n), make([]*Node, n)
	for i, g := range gradients {
		newM[i], newV[i], newParams[i] = adam(params[i], g, m[i], v[i], rate, fix1, fix2, weightDecay)
	}
	out = append(out, newParams...)
	out = append(out, newM...)
	out = append(out, newV...)
	return append(out, newStats...)
}

// adam is one AdamW update (Loshchilov and Hutter 2019).
func adam(p, g, m, v, rate, fix1, fix2 *Node, decay float64) (newM, newV, newP *Node) {
	newM = Add(MulScalar(m, adamBeta1), MulScalar(g, 1-adamBeta1))
	newV = Add(MulScalar(v, adamBeta2), MulScalar(Square(g), 1-adamBeta2))
	step := Div(Div(newM, fix1), AddScalar(Sqrt(Div(newV, fix2)), adamEpsilon))
	if decay > 0 && p.Rank() > 1 {
		step = Add(step, MulScalar(p, decay))
	}
	return newM, newV, Sub(p, Mul(rate, step))
}

// oneCycle is the learning rate's share of its peak at a step: a linear warm-up over a tenth, then a cosine to a hundredth.
func oneCycle(step, steps int) float64 {
	warm := max(steps/10, 1)
	if step < warm {
		return float64(step+1) / float64(warm)
	}
	t := float64(step-warm) / float64(max(steps-warm, 1))
	return 0.01 + 0.99*0.5*(1+math.Cos(math.Pi*t))
}

func (s *denseState) train(ctx context.Context, eng *engine.Engine, stage Stage, data []example, opts DenseNetOptions, record *DenseNetRecord) error {
	backend, err := eng.Backend()
	if err != nil {
		return fmt.Errorf("starter: %w", err)
	}
	exec, err := NewExec(backend, func(in []*Node) []*Node { return s.trainStep(in) })
	if err != nil {
		return fmt.Errorf("starter: %w", err)
	}
	defer exec.Finalize()
	s.step = 0
	for i := range s.m {
		s.m[i], s.v[i] = zeroed(s.m[i]), zeroed(s.v[i])
	}
	n := len(s.names)
	started := time.Now()
	average := math.NaN()
	for step := range stage.Steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		pixels, targets := batch(data, stage, opts.Seed, step)
		rates := []float32{
			float32(stage.PeakRate * oneCycle(step, stage.Steps)),
			float32(1 - math.Pow(adamBeta1, float64(step+1))), float32(1 - math.Pow(adamBeta2, float64(step+1))),
		}
		args := []any{
			tensors.FromFlatDataAndDimensions(pixels, stage.Batch, stage.Size, stage.Size, 1),
			tensors.FromFlatDataAndDimensions(targets, stage.Batch, study.NumFindings),
			tensors.FromFlatDataAndDimensions(rates, 3),
		}
		for _, list := range [][]*tensors.Tensor{s.params, s.m, s.v, s.stats} {
			for _, t := range list {
				donated, err := DonateTensorBuffer(t, backend, 0)
				if err != nil {
					return fmt.Errorf("starter: %w", err)
				}
				args = append(args, donated)
			}
		}
		out, err := exec.Call(args...)
		if err != nil {
			return fmt.Errorf("starter: step %d: %w", step, err)
		}
		loss := float64(tensors.ToScalar[float32](out[0]))
		s.params, s.m, s.v, s.stats = out[1:1+n], out[1+n:1+2*n], out[1+2*n:1+3*n], out[1+3*n:]
		if math.IsNaN(average) {
			average = loss
		}
		average = 0.98*average + 0.02*loss
		if step%25 == 0 || step == stage.Steps-1 {
			each := time.Since(started).Seconds() / float64(step+1)
			fmt.Fprintf(opts.Log, "DenseNet121 %d px step %4d/%d loss %.4f %.2f s/step, %s left\n", stage.Size, step, stage.Steps, average, each,
				(time.Duration(each*float64(stage.Steps-step)) * time.Second).Round(time.Second))
			record.Losses = append(record.Losses, LossPoint{record.Steps + step, stage.Size, average})
		}
		if stage.Size == study.InputSize && step > 0 && step%100 == 0 {
			if err := s.export(ctx, eng, opts, record); err != nil {
				return err
			}
		}
	}
	record.Steps += stage.Steps
	record.Seconds = time.Since(record.Started).Seconds()
	return nil
}

// batch draws the examples of a step: an epoch's order is a permutation fixed by the seed.
func batch(data []example, stage Stage, seed uint64, step int) (pixels, targets []float32) {
	pixels = make([]float32, stage.Batch*stage.Size*stage.Size)
	targets = make([]float32, stage.Batch*study.NumFindings)
	perEpoch := len(data) / stage.Batch
	order := rand.New(rand.NewPCG(seed, uint64(stage.Size)<<32|uint64(step/perEpoch))).Perm(len(data))
	rng := rand.New(rand.NewPCG(seed^uint64(step), uint64(stage.Size)))
	for b := range stage.Batch {
		e := data[order[step%perEpoch*stage.Batch+b]]
		augment(e, stage.Size, rng, pixels[b*stage.Size*stage.Size:])
		for f, present := range e.labels {
			if present {
				targets[b*study.NumFindings+f] = 1
			}
		}
	}
	return pixels, targets
}

func zeroed(t *tensors.Tensor) *tensors.Tensor {
	return tensors.FromFlatDataAndDimensions(make([]float32, t.Size()), t.Shape().Dimensions...)
}

// stateDict returns the weights under torchxrayvision's names, as F16.
func (s *denseState) stateDict() *safetensors.File {
	file := &safetensors.File{Tensors: map[string]safetensors.Tensor{}, Metadata: map[string]string{"format": "pt"}}
	shapes := map[string][]int{}
	convolutions, _, _ := xrv.DenseNet121().Layout()
	for _, p := range convolutions {
		shapes[p.Name] = p.Shape
	}
	put := func(name string, t *tensors.Tensor) {
		var values []float32
		t.MustConstFlatData(func(flat any) { values = append(values, flat.([]float32)...) })
		shape := t.Shape().Dimensions
		if kernel, ok := shapes[name]; ok {
			shape, values = kernel, xrv.KernelTensor(kernel, values)
		}
		file.Tensors[name] = safetensors.FromFloats(safetensors.F16, shape, values)
	}
	for i, name := range s.names {
		put(name, s.params[i])
	}
	for i, name := range s.norms {
		put(name+".running_mean", s.stats[2*i])
		put(name+".running_var", s.stats[2*i+1])
	}
	return file
}

// writeFile stores data whole or not at all.
func writeFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("starter: %w", err)
	}
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		return fmt.Errorf("starter: %w", err)
	}
	return os.Rename(path+".new", path)
}
