package pixel

import (
	"cmp"
	"slices"
)

// percentile limits of images without window and VOI LUT.
const (
	lowPercentile  = 0.001
	highPercentile = 0.999
)

// stretch maps the valid pixels' range onto [0, 1].
func (img *Image) stretch(fr *Frame, modality func(int64) float64, padded func(int64) bool) func(float64) float64 {
	low, high, ok := img.valid(fr, modality, padded)
	if !ok {
		return func(float64) float64 { return 0 }
	}
	return between(low, high)
}

// valid is the range of modality values that an image without window and VOI LUT is shown with; false when every pixel is padding.
func (img *Image) valid(fr *Frame, modality func(int64) float64, padded func(int64) bool) (low, high float64, ok bool) {
	if fr.BitsStored <= 8 && !fr.Signed {
		low, high := modality(0), modality(int64(1)<<fr.BitsStored-1)
		img.step("no window: all of %d bits", fr.BitsStored)
		return min(low, high), max(low, high), true
	}
	valid, total := histogram(fr, modality, padded)
	if total == 0 {
		img.step("no window, and every pixel is padding")
		return 0, 0, false
	}
	low, high = percentile(valid, total, lowPercentile), percentile(valid, total, highPercentile)
	if low == high {
		low, high = valid[0].value, valid[len(valid)-1].value
	}
	img.step("no window: percentiles %g and %g, %g to %g", 100*lowPercentile, 100*highPercentile, low, high)
	return low, high, true
}

// bin is a grey value and how many pixels have it.
type bin struct {
	value float64
	count int
}

// histogram counts the valid pixels by modality value, in rising order. Of frames of 32 bits, whose values are too many to
// count, it takes an even sample.
func histogram(fr *Frame, modality func(int64) float64, padded func(int64) bool) ([]bin, int) {
	const enough = 1 << 20
	n, stride := fr.Rows*fr.Columns, 1
	if fr.BytesPerSample() > 2 {
		stride = max(1, n/enough)
	}
	counts := map[uint32]int{}
	var dense [1 << 16]int
	for i := 0; i < n; i += stride {
		if word := fr.word(i); word < 1<<16 {
			dense[word]++
		} else {
			counts[word]++
		}
	}
	for word, count := range dense {
		if count > 0 {
			counts[uint32(word)] = count
		}
	}
	var bins []bin
	total := 0
	for word, count := range counts {
		if stored := fr.stored(word); !padded(stored) {
			bins = append(bins, bin{modality(stored), count})
			total += count
		}
	}
	slices.SortFunc(bins, func(a, b bin) int { return cmp.Compare(a.value, b.value) })
	return bins, total
}

// percentile returns the value at a share of the pixels.
func percentile(bins []bin, total int, share float64) float64 {
	rank := int(share*float64(total-1) + 0.5)
	for _, b := range bins {
		if rank < b.count {
			return b.value
		}
		rank -= b.count
	}
	return bins[len(bins)-1].value
}

func between(low, high float64) func(float64) float64 {
	if high <= low {
		return func(float64) float64 { return 0 }
	}
	return func(x float64) float64 { return min(max((x-low)/(high-low), 0), 1) }
}
