package pixel

import "slices"

// Box is a part of an image: columns Left up to Right and rows Top up to Bottom, the latter not included.
type Box struct {
	Left, Top, Right, Bottom int
}

// A border is cropped only when it is certainly none of the patient. Collimators, shutters and printed frames are blank:
// line after line of one grey level, right from the edge of the image, ending in a step.
const (
	// blankSpread is how far the middle 96 % of a line's pixels may lie apart: above quantisation and the noise of covered
	// detectors, below the noise of exposed ones behind skin.
	blankSpread = 0.02
	// blankDrift is how far a line's level may lie from the edge line's: soft tissue and air fade, borders do not.
	blankDrift = 0.02
	// maxBorder is the share of a side that borders may take at each edge. More is no border but an image that is mostly
	// blank, which is left as it is.
	maxBorder = 0.4
	// minBorder keeps single lines, which cost nothing, in the picture: what is cropped is visible as a border.
	minBorder = 2
	// maxFrames bounds frames within frames: a printed one around a collimator.
	maxFrames = 3
)

// Crop returns the image without blank borders.
func Crop(img *Image) Box {
	box := Box{Right: img.Columns, Bottom: img.Rows}
	for range maxFrames {
		inner := cropOnce(img, box)
		if inner == box {
			break
		}
		box = inner
	}
	return box
}

func cropOnce(img *Image, box Box) Box {
	width, height := box.Right-box.Left, box.Bottom-box.Top
	row := func(y int) func(int) float32 {
		return func(i int) float32 { return img.Pixels[y*img.Columns+box.Left+i] }
	}
	column := func(x int) func(int) float32 {
		return func(i int) float32 { return img.Pixels[(box.Top+i)*img.Columns+x] }
	}
	top := border(height, width, func(k int) func(int) float32 { return row(box.Top + k) })
	bottom := border(height, width, func(k int) func(int) float32 { return row(box.Bottom - 1 - k) })
	box.Top, box.Bottom = box.Top+top, box.Bottom-bottom
	height = box.Bottom - box.Top
	left := border(width, height, func(k int) func(int) float32 { return column(box.Left + k) })
	right := border(width, height, func(k int) func(int) float32 { return column(box.Right - 1 - k) })
	box.Left, box.Right = box.Left+left, box.Right-right
	return box
}

// border counts the blank lines from one edge; lines is how many there are and length how long each is.
func border(lines, length int, line func(k int) func(i int) float32) int {
	most := int(maxBorder * float64(lines))
	sample := make([]float32, 0, length)
	var edge float32
	for k := range lines {
		sample = sample[:0]
		at := line(k)
		for i := range length {
			sample = append(sample, at(i))
		}
		slices.Sort(sample)
		middle := sample[length/2]
		if k == 0 {
			edge = middle
		}
		spread := sample[length-1-length/50] - sample[length/50]
		if spread > blankSpread || middle-edge > blankDrift || edge-middle > blankDrift {
			if k < minBorder {
				return 0
			}
			return k
		}
		if k >= most {
			return 0
		}
	}
	return 0
}
