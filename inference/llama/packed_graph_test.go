package llama

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"llamaxr/inference/engine"
	"llamaxr/inference/quant"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// TestPackedGraph: on every engine a matrix in 4 bits is dequantised to quant's bits, its products, of one row and of several, are those of that
// matrix, and so is the gradient that goes through it. Rows need not be whole blocks, magnitudes not be quantised.
func TestPackedGraph(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for _, w := range ways(t) {
		if w.kind != OnGraph {
			continue
		}
		backend, err := w.eng.Backend()
		if err != nil {
			t.Fatal(err)
		}
		for _, shape := range [][2]int{{96, 192}, {5, 30}, {300, 64}} {
			for _, nested := range []bool{true, false} {
				out, in := shape[0], shape[1]
				q := randomPacked(t, rng, out*in, nested)
				want, err := q.Dequantise()
				if err != nil {
					t.Fatal(err)
				}
				for _, rows := range []int{1, 3} {
					t.Run(fmt.Sprintf("%s/%dx%d/nested=%t/rows=%d", w.name, out, in, nested, rows), func(t *testing.T) {
						codes, magnitudes, err := PackedTensors(q)
						if err != nil {
							t.Fatal(err)
						}
						x := make([]float32, rows*in)
						for i := range x {
							x[i] = float32(rng.NormFloat64())
						}
						exec, err := NewExec(backend, func(args []*Node) []*Node {
							p := Packed{Out: out, In: in, Codes: args[0], Magnitudes: args[1]}
							y := p.Times(args[2])
							return []*Node{p.Matrix(), y, Gradient(ReduceAllSum(y), args[2])[0]}
						})
						if err != nil {
							t.Fatal(err)
						}
						defer exec.Finalize()
						got, err := exec.Call(codes, magnitudes, tensors.FromFlatDataAndDimensions(x, rows, in))
						if err != nil {
							t.Fatal(err)
						}
						if matrix := floatsOf(got[0]); !slices.Equal(matrix, want) {
							t.Errorf("the matrix is not quant's")
						}
						products, gradient := make([]float64, rows*out), make([]float64, rows*in)
						for i, v := range want {
							for r := range rows {
								products[r*out+i/in] += float64(v) * float64(x[r*in+i%in])
								gradient[r*in+i%in] += float64(v)
							}
						}
						near(t, "products", floatsOf(got[1]), products)
						near(t, "gradient", floatsOf(got[2]), gradient)
					})
				}
			}
		}
	}
}

// TestGraphStaysPacked: on its device a graph's model takes 4.5 bits for each value of a linear layer and 16 for each of the embedding, and lies
// nowhere else.
func TestGraphStaysPacked(t *testing.T) {
	for _, w := range ways(t) {
		if w.kind != OnGraph {
			continue
		}
		model, err := LoadAs(w.eng, randomFiles(t, 1, 64), w.kind)
		if err != nil {
			t.Fatal(err)
		}
		bits, c := 0, model.Config
		for _, l := range c.Linears() {
			bits += l.Out * l.In * 9 / 2
		}
		bits += 16*c.VocabSize*c.HiddenSize + 32*len(c.Norms())*c.HiddenSize
		for _, weight := range model.machine.(*graphMachine).weights {
			if weight.(*tensors.Tensor).HasLocal() {
				t.Errorf("%s: a weight of %s is in memory twice", w.name, weight.(*tensors.Tensor).Shape())
			}
		}
		if held := model.Footprint(); 8*held.Bytes != int64(bits) || held.Read != held.Bytes {
			t.Errorf("%s: %+v, want %d bits of weights, all read", w.name, held, bits)
		}
	}
}

// TestGraphAttendsToAll: a text that fills one more step of positions goes on from all of them, as the native machine does.
func TestGraphAttendsToAll(t *testing.T) {
	files := randomFiles(t, 1, attendStep+40)
	ids := make([]int, attendStep+4)
	for i := range ids {
		ids[i] = i * i % 600
	}
	var want [][]float32
	for _, w := range slices.Backward(exactWays(t)) { // the native machine first
		model, err := LoadAs(w.eng, files, w.kind)
		if err != nil {
			t.Fatal(err)
		}
		at := attendStep - 2
		got := scoresAfter(t, model, ids[:at], 0, 1)
		for ; at < len(ids); at++ {
			got = append(got, scoresAfter(t, model, ids[at:at+1], at, 1)...)
		}
		if w.kind != OnGraph {
			want = got
			continue
		}
		for i := range want {
			for k, v := range want[i] {
				if math.Abs(float64(v-got[i][k])) > tolerance {
					t.Fatalf("%s: pass %d gives token %d %g, natively %g", w.name, i, k, got[i][k], v)
				}
			}
		}
	}
}

// dumpTo is the variable that has this test's own process, run once more, decode with XLA told to write its programs into a folder.
const dumpTo = "LLAMAXR_TEST_DUMP"

// TestDecodingIsFused: XLA's own fusion makes one loop of a decoding step's product with a matrix, from bytes to sums; nothing of a matrix's size is
// computed between loops. It is looked at without what XLA's compiler for CPUs puts in for the sums: a library's kernels (YNN), and trees of windows.
func TestDecodingIsFused(t *testing.T) {
	eng, err := engine.Open(engine.XLACPU)
	if err != nil {
		t.Skip(err)
	}
	const prompt, positions = "No effusion.", 64
	if os.Getenv(dumpTo) != "" {
		model, err := LoadAs(eng, randomFiles(t, 2, positions), OnGraph)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := model.Generate(t.Context(), prompt, 3); err != nil {
			t.Fatal(err)
		}
		return
	}
	folder := t.TempDir()
	again := exec.Command(os.Args[0], "-test.run=^TestDecodingIsFused$")
	again.Env = append(os.Environ(), dumpTo+"="+folder, "XLA_FLAGS=--xla_cpu_experimental_ynn_fusion_type= --xla_disable_hlo_passes=tree_reduction_rewriter --xla_dump_hlo_as_text --xla_dump_to="+folder)
	if out, err := again.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*cpu_after_optimizations.txt"))
	if err != nil {
		t.Fatal(err)
	}
	const smallest = 128 * 256 // k and v
	looked := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, entry, _ := strings.Cut(string(text), "\nENTRY ")
		if !strings.Contains(entry, "s32[1,1]") { // the prompt's
			continue
		}
		for _, match := range regexp.MustCompile(`(%\S+) = f32\[([0-9,]+)\]\S* (\w+)\(`).FindAllStringSubmatch(entry, -1) {
			size := 1
			for _, d := range strings.Split(match[2], ",") {
				n, err := strconv.Atoi(d)
				if err != nil {
					t.Fatal(err)
				}
				size *= n
			}
			if looked++; match[3] != "parameter" && size >= smallest/2 {
				t.Errorf("%s of %s is computed in memory", match[1], match[2])
			}
		}
	}
	if looked < 2*7 {
		t.Errorf("%d values looked at in %q", looked, files)
	}
}

func randomPacked(t *testing.T, rng *rand.Rand, n int, nested bool) *quant.Tensor {
	t.Helper()
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(rng.NormFloat64() * 0.02)
	}
	q, err := quant.Quantise(values)
	if err != nil {
		t.Fatal(err)
	}
	if !nested {
		scales, err := q.Scales()
		if err != nil {
			t.Fatal(err)
		}
		q = &quant.Tensor{Len: n, Packed: q.Packed, Magnitudes: scales}
	}
	return q
}

func floatsOf(t *tensors.Tensor) (out []float32) {
	t.MustConstFlatData(func(flat any) { out = slices.Clone(flat.([]float32)) })
	return out
}

func near(t *testing.T, what string, got []float32, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d, want %d", what, len(got), len(want))
	}
	for i, v := range got {
		if math.Abs(float64(v)-want[i]) > 1e-5 {
			t.Fatalf("%s: %g at %d, want %g", what, v, i, want[i])
		}
	}
}
