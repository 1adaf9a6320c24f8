package pixel

import (
	"llamaxr/study"
)

// Normalise brings an image to the classifier's input in the order of torchxrayvision: blank borders off, grey levels to
// [-1024, 1024], centre crop to a square, resize to 224 x 224. The resize is that of skimage.transform.resize with its
// defaults, which torchxrayvision uses: a Gaussian against aliasing, linear interpolation, zeros outside.
func Normalise(img *Image) study.Normalised {
	box := Crop(img)
	side := min(box.Right-box.Left, box.Bottom-box.Top)
	left := box.Left + (box.Right-box.Left)/2 - side/2
	top := box.Top + (box.Bottom-box.Top)/2 - side/2
	pixels := resize(side, study.InputSize, func(x, y int) float32 {
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
