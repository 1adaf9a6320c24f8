package pixel

// Constants of Blank.
const (
	blankCells = 24
	// structured is how much the means of cells must vary beside the grey levels within them. Of pure noise it is one over a cell's
	// pixels; of the shared real chest films none lies below 5.
	structured = 0.1
)

// Blank says why a picture shows nothing: all but a fiftieth of its pixels alike, or noise without a form. It is empty for a picture that
// shows something. The answer does not hang on the width of the grey scale.
func Blank(img *Image) string {
	if low, high := spread(img); high <= low {
		return "the picture is blank"
	}
	if img.Rows < blankCells || img.Columns < blankCells {
		return ""
	}
	between, within, overall := 0.0, 0.0, 0.0
	var means []float64
	for gy := range blankCells {
		for gx := range blankCells {
			sum, squares, n := 0.0, 0.0, 0.0
			for y := gy * img.Rows / blankCells; y < (gy+1)*img.Rows/blankCells; y++ {
				for _, v := range img.Pixels[y*img.Columns+gx*img.Columns/blankCells : y*img.Columns+(gx+1)*img.Columns/blankCells] {
					sum, squares, n = sum+float64(v), squares+float64(v)*float64(v), n+1
				}
			}
			means = append(means, sum/n)
			within += squares/n - sum/n*(sum/n)
			overall += sum / n / (blankCells * blankCells)
		}
	}
	for _, m := range means {
		between += (m - overall) * (m - overall)
	}
	if between < structured*within {
		return "the picture shows nothing but noise"
	}
	return ""
}
