package phantom

import (
	"math/rand/v2"

	"llamaxr/study"
)

// Anatomy is the body that a Case shows. Lengths are in millimetres.
type Anatomy struct {
	Female      bool
	Age         int     // years, 18 to 90
	Scale       float64 // of the whole body, about 1
	Habitus     float64 // -1 thin to 1 obese: thickness of the soft tissue
	Depth       float64 // front-to-back diameter of the chest
	Width       float64 // side-to-side diameter of the chest
	LungHeight  float64
	Inspiration float64 // shift of the diaphragm downwards
	Rotation    float64 // about the long axis, radians
	Tilt        float64 // of the image in its plane, radians
	Exposure    float64 // grey curve, about 1
	Noise       float64 // standard deviation of a grey level
	Scatter     float64 // share of blurred veil
	Collimation float64 // share of the side that is blank border
	Marker      bool    // a lead letter in a corner
}

// Case is one synthetic patient: anatomy, the findings drawn into it and where they lie.
type Case struct {
	Seed    uint64
	Name    string // the patient's, as DICOM writes it; empty is Phantom and a number
	Anatomy Anatomy
	Labels  [study.NumFindings]bool
	Lesions []Lesion

	body body
}

// Lesion is one thing drawn for a finding.
type Lesion struct {
	Finding study.Finding
	Right   bool // the patient's side
	Centre  [3]float64
	Size    float64 // largest half-extent
}

// implied are the findings that come with another by their own definition: every mass or nodule is a lung lesion, every
// consolidation or pneumonia an opacity.
var implied = map[study.Finding]study.Finding{
	study.Mass: study.LungLesion, study.Nodule: study.LungLesion,
	study.Consolidation: study.LungOpacity, study.Pneumonia: study.LungOpacity,
}

// NormalShare is the share of cases without any finding that NewRandom draws.
const NormalShare = 0.3

// New returns the case of that seed with exactly the wanted findings, and those they imply.
func New(seed uint64, want ...study.Finding) *Case {
	c := &Case{Seed: seed}
	rng := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	c.Anatomy = newAnatomy(rng)
	for _, f := range want {
		c.Labels[f] = true
		if more, ok := implied[f]; ok {
			c.Labels[more] = true
		}
	}
	c.build(rng)
	return c
}

// NewRandom returns the case of that seed with findings drawn at random: none in NormalShare of the cases, else one to four.
func NewRandom(seed uint64) *Case {
	rng := rand.New(rand.NewPCG(seed, 0xd1b54a32d192ed03))
	if rng.Float64() < NormalShare {
		return New(seed)
	}
	var want []study.Finding
	for range 1 + rng.IntN(4) {
		want = append(want, study.Finding(rng.IntN(study.NumFindings)))
	}
	return New(seed, want...)
}

// Truth returns the findings drawn into the case, in their order.
func (c *Case) Truth() []study.Finding {
	var out []study.Finding
	for _, f := range study.Findings() {
		if c.Labels[f] {
			out = append(out, f)
		}
	}
	return out
}

func newAnatomy(rng *rand.Rand) Anatomy {
	normal := func(mean, sd, low, high float64) float64 { return clamp(mean+sd*rng.NormFloat64(), low, high) }
	a := Anatomy{
		Female:      rng.IntN(2) == 0,
		Age:         18 + rng.IntN(70),
		Scale:       normal(1, 0.06, 0.85, 1.15),
		Habitus:     normal(0, 0.45, -1, 1),
		Depth:       normal(190, 14, 155, 230),
		Width:       normal(285, 14, 250, 325),
		LungHeight:  normal(262, 14, 225, 300),
		Inspiration: normal(0, 7, -16, 16),
		Rotation:    normal(0, 0.05, -0.14, 0.14),
		Tilt:        normal(0, 0.03, -0.09, 0.09),
		Exposure:    normal(1, 0.12, 0.7, 1.35),
		Noise:       normal(0.012, 0.006, 0.003, 0.03),
		Scatter:     normal(0.22, 0.08, 0.05, 0.45),
		Marker:      rng.IntN(2) == 0,
	}
	if rng.IntN(3) == 0 {
		a.Collimation = 0.02 + 0.06*rng.Float64()
	}
	if a.Female {
		a.Width *= 0.94
		a.Depth *= 0.95
		a.LungHeight *= 0.94
	}
	return a
}
