package xrv

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
)

// release is one of the weights that torchxrayvision offers. Its files hold neither labels nor operating points: they stand in the package's
// models.py, from which this table is; TestReleased holds it to what oracles/xrv.py read there.
type release struct {
	name, file   string // as torchxrayvision names them
	architecture string
	size         int // side of the input
	labels       []string
	thresholds   []float64 // NaN where there is none
}

// Released names all of them.
func Released() []string {
	var names []string
	for _, r := range releases() {
		names = append(names, r.name)
	}
	return names
}

// ReleasedCard returns the card of released weights by their name, the name of their file, or that of a file named after them.
func ReleasedCard(name string) (*Card, error) {
	base := filepath.Base(name)
	stem := strings.TrimSuffix(base, filepath.Ext(base))
	for _, r := range releases() {
		if r.file != base && r.name != base && r.name != stem {
			continue
		}
		card := &Card{Name: r.name, Architecture: r.architecture, Input: Radiograph(r.size), Labels: slices.Clone(r.labels)}
		for _, t := range r.thresholds {
			if math.IsNaN(t) {
				card.Thresholds = append(card.Thresholds, nil)
			} else {
				card.Thresholds = append(card.Thresholds, &t)
			}
		}
		return card, nil
	}
	return nil, fmt.Errorf("xrv: %q is none of torchxrayvision's weights (%s)", name, strings.Join(Released(), ", "))
}

func releases() []release {
	nan := math.NaN()
	return []release{
		{
			name: "densenet121-res224-all", file: "nih-pc-chex-mimic_ch-google-openi-kaggle-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt",
			architecture: "densenet121", size: 224,
			labels:     []string{"Atelectasis", "Consolidation", "Infiltration", "Pneumothorax", "Edema", "Emphysema", "Fibrosis", "Effusion", "Pneumonia", "Pleural_Thickening", "Cardiomegaly", "Nodule", "Mass", "Hernia", "Lung Lesion", "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum"},
			thresholds: []float64{0.07422872, 0.038290843, 0.09814756, 0.0098118475, 0.023601074, 0.0022490358, 0.010060724, 0.103246614, 0.056810737, 0.026791653, 0.050318155, 0.023985857, 0.01939503, 0.042889766, 0.053369623, 0.035975814, 0.20204692, 0.05015312},
		},
		{
			name: "densenet121-res224-nih", file: "nih-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt",
			architecture: "densenet121", size: 224,
			labels:     []string{"Atelectasis", "Consolidation", "Infiltration", "Pneumothorax", "Edema", "Emphysema", "Fibrosis", "Effusion", "Pneumonia", "Pleural_Thickening", "Cardiomegaly", "Nodule", "Mass", "Hernia", "", "", "", ""},
			thresholds: []float64{0.039117552, 0.0034529066, 0.11396341, 0.0057298196, 0.00045666535, 0.0018880932, 0.012037827, 0.038744126, 0.0037213727, 0.014730946, 0.016149804, 0.054241467, 0.037198864, 0.0004403434, nan, nan, nan, nan},
		},
		{
			name: "densenet121-res224-pc", file: "pc-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt",
			architecture: "densenet121", size: 224,
			labels:     []string{"Atelectasis", "Consolidation", "Infiltration", "Pneumothorax", "Edema", "Emphysema", "Fibrosis", "Effusion", "Pneumonia", "Pleural_Thickening", "Cardiomegaly", "Nodule", "Mass", "Hernia", "", "Fracture", "", ""},
			thresholds: []float64{0.031012505, 0.013347598, 0.081435576, 0.001262615, 0.002587246, 0.0035944257, 0.0023071, 0.055412333, 0.044385884, 0.042766232, 0.043258056, 0.037629247, 0.005658899, 0.0091741895, nan, 0.026507627, nan, nan},
		},
		{
			name: "densenet121-res224-chex", file: "chex-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt",
			architecture: "densenet121", size: 224,
			labels:     []string{"Atelectasis", "Consolidation", "", "Pneumothorax", "Edema", "", "", "Effusion", "Pneumonia", "", "Cardiomegaly", "", "", "", "Lung Lesion", "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum"},
			thresholds: []float64{0.1988969, 0.05710573, nan, 0.0531293, 0.1435217, nan, nan, 0.27212676, 0.07749717, nan, 0.19712369, nan, nan, nan, 0.09932402, 0.09273402, 0.3270967, 0.10888247},
		},
		{
			name: "densenet121-res224-mimic_nb", file: "mimic_nb-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt",
			architecture: "densenet121", size: 224,
			labels:     []string{"Atelectasis", "Consolidation", "", "Pneumothorax", "Edema", "", "", "Effusion", "Pneumonia", "", "Cardiomegaly", "", "", "", "Lung Lesion", "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum"},
			thresholds: []float64{0.08558747, 0.011884617, nan, 0.0040595434, 0.010733786, nan, nan, 0.118761964, 0.022924708, nan, 0.06358637, nan, nan, nan, 0.022143636, 0.017476924, 0.1258702, 0.014020768},
		},
		{
			name: "densenet121-res224-mimic_ch", file: "mimic_ch-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt",
			architecture: "densenet121", size: 224,
			labels:     []string{"Atelectasis", "Consolidation", "", "Pneumothorax", "Edema", "", "", "Effusion", "Pneumonia", "", "Cardiomegaly", "", "", "", "Lung Lesion", "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum"},
			thresholds: []float64{0.09121389, 0.010573786, nan, 0.005023008, 0.003698257, nan, nan, 0.08001232, 0.037242252, nan, 0.05006329, nan, nan, nan, 0.019866971, 0.03823637, 0.11303808, 0.0069147074},
		},
		{
			name: "densenet121-res224-rsna", file: "kaggle-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt",
			architecture: "densenet121", size: 224,
			labels:     []string{"", "", "", "", "", "", "", "", "Pneumonia", "", "", "", "", "", "", "", "Lung Opacity", ""},
			thresholds: []float64{nan, nan, nan, nan, nan, nan, nan, nan, 0.13486601, nan, nan, nan, nan, nan, nan, nan, 0.13511065, nan},
		},
		{
			name: "resnet50-res512-all", file: "pc-nih-rsna-siim-vin-resnet50-test512-e400-state.pt",
			architecture: "resnet50", size: 512,
			labels:     []string{"Atelectasis", "Consolidation", "Infiltration", "Pneumothorax", "Edema", "Emphysema", "Fibrosis", "Effusion", "Pneumonia", "Pleural_Thickening", "Cardiomegaly", "Nodule", "Mass", "Hernia", "Lung Lesion", "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum"},
			thresholds: []float64{0.51570356, 0.50444704, 0.53787947, 0.50723547, 0.5025118, 0.5035252, 0.5038076, 0.51862943, 0.5078151, 0.50724894, 0.5056339, 0.510706, 0.5053923, 0.5020846, nan, 0.5080557, 0.5138526, nan},
		},
	}
}
