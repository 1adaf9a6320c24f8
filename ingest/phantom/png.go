package phantom

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
)

// Gray returns the image with 8 bits.
func (img *Image) Gray() *image.Gray {
	out := image.NewGray(image.Rect(0, 0, img.Size, img.Size))
	for i, v := range img.Pixels {
		out.Pix[i] = color.Gray{Y: uint8(v*255 + 0.5)}.Y
	}
	return out
}

// WritePNG stores the image as an 8-bit PNG.
func (img *Image) WritePNG(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("phantom: %w", err)
	}
	if err := png.Encode(file, img.Gray()); err != nil {
		file.Close()
		return fmt.Errorf("phantom: writing %s: %w", path, err)
	}
	return file.Close()
}
