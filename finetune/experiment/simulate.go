package experiment

import (
	"math"
	"math/rand/v2"
	"slices"

	"llamaxr/finetune/starter"
	"llamaxr/study"
)

// auc is how well the paper's classifier, densenet121-res224-all, tells each finding: torchxrayvision's own benchmark (its BENCHMARKS.md,
// 2021-06-27), on PadChest, and on CheXpert for the three findings that PadChest has no figure of.
var auc = [study.NumFindings]float64{
	study.Atelectasis: 0.77, study.Cardiomegaly: 0.93, study.Consolidation: 0.88, study.Edema: 0.97, study.Effusion: 0.95, study.Emphysema: 0.87,
	study.EnlargedCardiomediastinum: 0.78, study.Fibrosis: 0.94, study.Fracture: 0.70, study.Hernia: 0.96, study.Infiltration: 0.85,
	study.LungLesion: 0.84, study.LungOpacity: 0.87, study.Mass: 0.85, study.Nodule: 0.69, study.PleuralThickening: 0.79, study.Pneumonia: 0.82,
	study.Pneumothorax: 0.81,
}

// agreement is the correlation of what the two views add to a finding's score by chance. Nobody has published it; views of one patient by one
// network agree more than they differ.
const agreement = 0.7

// Simulator draws scores for reports. Each view's latent value is normal with standard deviation 1, higher by separation where the finding is
// there, which gives the AUC; a finding is scored present as often in the training part as it is there.
type Simulator struct {
	seed uint64
	// point is the latent value that becomes the operating point.
	point [study.NumFindings]float64
}

// separation is the distance of two normal distributions of standard deviation 1 that an AUC means.
func separation(auc float64) float64 { return math.Sqrt2 * math.Sqrt2 * math.Erfinv(2*auc-1) }

// NewSimulator sets the operating points on the training part.
func NewSimulator(train []Report, seed uint64) *Simulator {
	s := &Simulator{seed: seed}
	var highest [study.NumFindings][]float64
	var present [study.NumFindings]int
	for _, r := range train {
		frontal, lateral := s.latent(r)
		for f := range highest {
			high := math.Inf(-1)
			if r.Frontal {
				high = frontal[f]
			}
			if r.Lateral {
				high = max(high, lateral[f])
			}
			highest[f] = append(highest[f], high)
			if r.Present[f] {
				present[f]++
			}
		}
	}
	for f, values := range highest {
		slices.SortFunc(values, func(a, b float64) int { return -compare(a, b) })
		switch n := present[f]; {
		case len(values) == 0:
		case n == 0:
			s.point[f] = values[0] + 1
		case n == len(values):
			s.point[f] = values[n-1] - 1
		default:
			s.point[f] = (values[n-1] + values[n]) / 2
		}
	}
	return s
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (s *Simulator) latent(r Report) (frontal, lateral [study.NumFindings]float64) {
	rng := rand.New(rand.NewPCG(s.seed<<32|uint64(r.UID), streamScores))
	for f := range frontal {
		mean := 0.0
		if r.Present[f] {
			mean = separation(auc[f])
		}
		shared := math.Sqrt(agreement) * rng.NormFloat64()
		frontal[f] = mean + shared + math.Sqrt(1-agreement)*rng.NormFloat64()
		lateral[f] = mean + shared + math.Sqrt(1-agreement)*rng.NormFloat64()
	}
	return frontal, lateral
}

// Scores are the report's scores, the same each time.
func (s *Simulator) Scores(r Report) study.PairScores {
	frontal, lateral := s.latent(r)
	view := func(there bool, latent [study.NumFindings]float64) *study.Scores {
		if !there {
			return nil
		}
		scores := new(study.Scores)
		for f, v := range latent {
			scores[f] = float32(1 / (1 + math.Exp(s.point[f]-v)))
		}
		return scores
	}
	return study.PairScores{Frontal: view(r.Frontal, frontal), Lateral: view(r.Lateral, lateral)}
}

// Changed are the report's scores with one finding's on the other side of the operating point; which one hangs on the report alone.
func (s *Simulator) Changed(r Report) (study.PairScores, study.Finding) {
	rng := rand.New(rand.NewPCG(uint64(r.UID), streamChange))
	f := study.Finding(rng.IntN(study.NumFindings))
	return starter.Flip(s.Scores(r), f, rng), f
}
