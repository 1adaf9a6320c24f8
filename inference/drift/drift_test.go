package drift

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
	"llamaxr/study"
)

// TestPSIByHand: half and half against a quarter and three quarters, (0.25-0.5) ln(0.25/0.5) + (0.75-0.5) ln(0.75/0.5) = 0.274653.
func TestPSIByHand(t *testing.T) {
	s := Spread{Edges: []float64{0.5}}
	if got := s.PSI([]float64{0.1, 0.5, 0.9, 1}); math.Abs(got-0.274653) > 1e-6 {
		t.Errorf("PSI %f, want 0.274653", got)
	}
	if got := s.PSI([]float64{0.1, 0.4999, 0.5, 1}); got != 0 {
		t.Errorf("PSI of the same shares is %f", got)
	}
	uneven := Spread{Edges: []float64{0.5}, Shares: []float64{0.25, 0.75}}
	if got := uneven.PSI([]float64{0.1, 0.5, 0.9, 1}); got != 0 {
		t.Errorf("PSI of the same uneven shares is %f", got)
	}
}

// numpyPSI cuts the first line's numbers at their deciles and prints the index of the second line's.
const numpyPSI = `
import sys, numpy
reference, recent = (numpy.array(line.split(), float) for line in sys.stdin)
edges = numpy.quantile(reference, numpy.arange(1, 10) / 10)
def shares(x): return numpy.maximum(numpy.bincount(numpy.searchsorted(edges, x, side="right"), minlength=10), 0.5) / len(x)
e, a = shares(reference), shares(recent)
print(((a - e) * numpy.log(a / e)).sum())
`

// TestPSIAsNumpy holds deciles and index against numpy, for scores that drift more and more, with empty bins too.
func TestPSIAsNumpy(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	draw := func(n int, shift float64) (pairs []study.PairScores, text string) {
		for range n {
			var s study.Scores
			v := float32(1 / (1 + math.Exp(-2*r.NormFloat64()-shift)))
			s[study.Effusion] = v
			pairs = append(pairs, study.PairScores{Lateral: &s})
			text += " " + strconv.FormatFloat(float64(v), 'g', -1, 64)
		}
		return pairs, text + "\n"
	}
	reference, referenceText := draw(1003, 0)
	for _, shift := range []float64{0, 0.5, 4} {
		recent, text := draw(200, shift)
		cmd := exec.Command(peertest.Python(t), "-c", numpyPSI)
		cmd.Stdin = strings.NewReader(referenceText + text)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		want, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range Of("test", reference).Indices(recent) {
			if i.Finding == study.Effusion && (math.Abs(i.PSI-want) > 0.01*(want+0.1) || i.View != study.Lateral || i.Count != 200) {
				t.Errorf("shift %.1f: %+v, numpy says %f", shift, i, want)
			}
		}
	}
}

// TestReference: a reference survives JSON, knows no view that was not there, and says what is wrong with one that is not its own.
func TestReference(t *testing.T) {
	var pairs []study.PairScores
	for i := range 50 {
		s := study.Scores{study.Mass: float32(i) / 50, study.Hernia: study.NotScored()} // all others are 0: one edge, uneven shares
		pairs = append(pairs, study.PairScores{Frontal: &s})
	}
	r := Of("fifty", pairs)
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	back := new(Reference)
	if err := json.Unmarshal(text, back); err != nil || back.Check() != nil {
		t.Fatalf("%v %v\n%s", err, back.Check(), text)
	}
	if _, known := back.Views[study.Frontal][study.Hernia]; known || len(back.Views) != 1 {
		t.Errorf("it knows what was never scored: %s", text)
	}
	for _, i := range back.Indices(pairs) {
		if i.PSI > 1e-9 {
			t.Errorf("the reference against itself: %+v", i)
		}
	}
	for _, bad := range []string{`{"edges": []}`, `{"edges": [0.5, 0.4]}`, `{"edges": [0.5], "shares": [1]}`, `{"edges": [0.5], "shares": [0, 1]}`, `{"edges": [2]}`} {
		broken := new(Reference)
		if err := json.Unmarshal([]byte(fmt.Sprintf(`{"views": {"frontal": {"Mass": %s}}}`, bad)), broken); err != nil {
			t.Fatal(err)
		}
		if broken.Check() == nil {
			t.Errorf("%s passes", bad)
		}
	}
}
