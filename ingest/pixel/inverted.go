package pixel

import "slices"

// LooksInverted tells whether a chest picture looks like its own negative, and how surely, from 0 (cannot tell) to 1. In every
// chest film, frontal or lateral, air stands beside the neck above the shoulders, dark, and the spine and heart lie in the
// middle, bright; the measure is the difference of the two, so an image and its negative get opposite answers.
//
// It is a doubt to report: the header rules unless a person says otherwise.
func LooksInverted(img *Image) (inverted bool, confidence float64) {
	box := Crop(img)
	mean := func(left, top, right, bottom float64) float64 {
		width, height := float64(box.Right-box.Left), float64(box.Bottom-box.Top)
		sum, n := 0.0, 0
		for y := box.Top + int(top*height); y < box.Top+int(bottom*height); y++ {
			for x := box.Left + int(left*width); x < box.Left+int(right*width); x++ {
				sum += float64(img.Pixels[y*img.Columns+x])
				n++
			}
		}
		if n == 0 {
			return 0
		}
		return sum / float64(n)
	}
	corners := (mean(0, 0, 0.16, 0.25) + mean(0.84, 0, 1, 0.25)) / 2
	middle := mean(0.34, 0.19, 0.66, 0.94)
	low, high := spread(img)
	if high <= low {
		return false, 0
	}
	contrast := (middle - corners) / (high - low)
	const certain = 0.3 // of the picture's range; true chest films lie around 0.4
	return contrast < 0, min(1, max(contrast, -contrast)/certain)
}

// spread returns the 2nd and 98th percentile of some thousand pixels.
func spread(img *Image) (low, high float64) {
	stride := max(1, len(img.Pixels)/4096)
	var sample []float32
	for i := 0; i < len(img.Pixels); i += stride {
		sample = append(sample, img.Pixels[i])
	}
	if len(sample) == 0 {
		return 0, 0
	}
	slices.Sort(sample)
	return float64(sample[len(sample)/50]), float64(sample[len(sample)-1-len(sample)/50])
}
