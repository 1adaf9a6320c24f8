package pixel

import (
	"llamaxr/study"
)

// NormaliseTo brings an image to the classifier's input in the order of torchxrayvision: blank borders off, grey levels to
// [-1024, 1024], centre crop to a square, resize to size x size. The resize is that of skimage.transform.resize with its
// defaults, which torchxrayvision uses: a Gaussian against aliasing, linear interpolation, zeros outside.
func NormaliseTo(img *Image, size int) study.Normalised { return Square(img, Crop(img), size) }

// Normalise is NormaliseTo the usual size of 224.
func Normalise(img *Image) study.Normalised { return NormaliseTo(img, study.InputSize) }

// Square is the part of NormaliseTo after the borders.
func Square(img *Image, box Box, size int) study.Normalised {
	side := min(box.Right-box.Left, box.Bottom-box.Top)
	left := box.Left + (box.Right-box.Left)/2 - side/2
	top := box.Top + (box.Bottom-box.Top)/2 - side/2
	pixels := resize(side, size, func(x, y int) float32 {
		return (2*img.Pixels[(top+y)*img.Columns+left+x] - 1) * 1024
	})
	return study.Normalised{
		Pixels: pixels,
		Geometry: study.Geometry{
			X: float64(left), Y: float64(top), Scale: float64(side) / study.InputSize,
			Columns: img.Columns, Rows: img.Rows,
		},
	}
}
