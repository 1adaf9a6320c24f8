package pixel

import (
	"fmt"
	"math"

	"llamaxr/ingest/dicomfile"
	"llamaxr/study"
)

// Limits of a picture beyond doubt. The shared real chest films fill 0.6 of the grey scale and more, have at most 0.02 of their pixels white and
// 0.32 black or white, and their rows are at most 1.3 times as far from each other as their columns; with Rows and Columns exchanged most are 4 to 100
// times.
const (
	narrow    = 0.3
	muchWhite = 0.25
	muchPlain = 0.6
	notSquare = 1.05 // height of a pixel to its width, or the other way
	sheared   = 2.5
)

// Doubts says what a reader must know of a picture that is not what the classifier knows: too few pixels, pixels that are not square, a window or
// look-up table that does not fit. The picture is read as it is.
func Doubts(f *dicomfile.File, img *Image) []string {
	var out []string
	if min(img.Rows, img.Columns) < study.InputSize {
		out = append(out, fmt.Sprintf("only %d x %d pixels", img.Columns, img.Rows))
	}
	if a := aspect(f); a[0] > notSquare*a[1] || a[1] > notSquare*a[0] {
		out = append(out, fmt.Sprintf("its pixels are not square (%g by %g)", a[0], a[1]))
	}
	if low, high := spread(img); high-low < narrow {
		out = append(out, fmt.Sprintf("it takes up %.0f %% of the grey scale", 100*(high-low)))
	}
	box := Crop(img)
	black, white, all := 0, 0, 0
	for y := box.Top; y < box.Bottom; y++ {
		for _, v := range img.Pixels[y*img.Columns+box.Left : y*img.Columns+box.Right] {
			switch v {
			case 0:
				black++
			case 1:
				white++
			}
		}
		all += box.Right - box.Left
	}
	if float64(white) > muchWhite*float64(all) || float64(black+white) > muchPlain*float64(all) {
		out = append(out, fmt.Sprintf("%.0f %% of it is plain black and %.0f %% plain white", 100*float64(black)/float64(all), 100*float64(white)/float64(all)))
	}
	if down, across := steps(img); down > sheared*across {
		out = append(out, "its rows do not go together: Rows and Columns may be wrong")
	}
	return out
}

// steps are the sums of the differences between neighbours in a column and in a row.
func steps(img *Image) (down, across float64) {
	for y := range img.Rows - 1 {
		row, next := img.Pixels[y*img.Columns:][:img.Columns], img.Pixels[(y+1)*img.Columns:][:img.Columns]
		for x := range img.Columns - 1 {
			down += math.Abs(float64(next[x] - row[x]))
			across += math.Abs(float64(row[x+1] - row[x]))
		}
	}
	return down, across
}
