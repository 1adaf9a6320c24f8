package pixel

import (
	"image"
	"math"
)

// Render draws an image in 8 bits, made smaller so that neither side passes maxSide; each pixel is the mean of the area it
// covers. A maxSide of 0 keeps the size. The factor is how many pixels of the image one drawn pixel spans.
func Render(img *Image, maxSide int) (drawn *image.Gray, factor float64) {
	scale := 1.0
	if longest := max(img.Columns, img.Rows); maxSide > 0 && longest > maxSide {
		scale = float64(longest) / float64(maxSide)
	}
	width := max(1, int(math.Round(float64(img.Columns)/scale)))
	height := max(1, int(math.Round(float64(img.Rows)/scale)))
	out := image.NewGray(image.Rect(0, 0, width, height))
	sums, counts := make([]float64, width), make([]int, width)
	for v := range height {
		clear(sums)
		clear(counts)
		for y := v * img.Rows / height; y < (v+1)*img.Rows/height; y++ {
			for u := range width {
				from, to := u*img.Columns/width, (u+1)*img.Columns/width
				for _, p := range img.Pixels[y*img.Columns+from : y*img.Columns+to] {
					sums[u] += float64(p)
				}
				counts[u] += to - from
			}
		}
		for u := range width {
			out.Pix[v*out.Stride+u] = uint8(math.Round(255 * sums[u] / float64(counts[u])))
		}
	}
	return out, scale
}
