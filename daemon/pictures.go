package daemon

import (
	"context"
	"image"
	"math"
	"runtime/debug"
	"slices"

	"golang.org/x/sync/semaphore"

	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/pixel"
)

// picturesAtOnce bounds, in bytes as stored, the pictures that are decoded side by side: each takes three to six times as much while it is.
// One of the greatest size that is read has it to itself, and a few megabytes of codestream are enough for such a one; of usual detectors
// there is room for a dozen.
const picturesAtOnce = pixel.MaxBytes

// largePicture is above any detector in use. Before such a one is decoded what others left is collected: the collector, left to itself, lets
// twice as much come together.
const largePicture = 64 << 20

// pictureRoom is the room that pictures share.
type pictureRoom struct{ room *semaphore.Weighted }

func newPictureRoom() pictureRoom { return pictureRoom{semaphore.NewWeighted(picturesAtOnce)} }

// take waits until there is room for the pixels of a file, and returns what gives it back.
func (p pictureRoom) take(ctx context.Context, file *dicomfile.File) (give func(), err error) {
	h := file.Header
	size := min(int64(h.Rows)*int64(h.Columns)*int64(max(1, h.SamplesPerPixel))*int64(max(1, h.BitsAllocated/8)), picturesAtOnce)
	if err := p.room.Acquire(ctx, size); err != nil {
		return nil, err
	}
	if size > largePicture {
		debug.FreeOSMemory()
	}
	return func() { p.room.Release(size) }, nil
}

// picture opens a stored object whose pixels are to be decoded; it has its room until it is closed. Who holds one opens no other.
func (a *Appliance) picture(path string) (*dicomfile.File, error) {
	file, err := a.object(path)
	if err != nil {
		return nil, err
	}
	give, err := a.pictures.take(context.Background(), file) // each holder is done within the time of its decoding
	if err != nil {
		file.Close()
		return nil, err
	}
	file.OnClose(give)
	return file, nil
}

// draw decodes the first frame of an object and draws it in 8 bits.
func (a *Appliance) draw(ctx context.Context, file *dicomfile.File) (image.Image, error) {
	give, err := a.pictures.take(ctx, file)
	if err != nil {
		return nil, err
	}
	defer give()
	_, img, err := decoded(ctx, file)
	if err != nil {
		return nil, err
	}
	drawn, _ := pixel.Render(img, 0)
	return drawn, nil
}

// samePicture reports whether two files hold one picture or one document, the picture also where an archive has compressed it since. What cannot be decoded is the same only byte for byte.
func (a *Appliance) samePicture(first, second string) (bool, error) {
	same, err := dicomfile.Opener(a.object).SameContent(first, second)
	if same || err != nil {
		return same, err
	}
	one, err := a.thumbnail(first)
	if one == nil || err != nil {
		return false, err
	}
	other, err := a.thumbnail(second)
	if other == nil || err != nil || one.rows != other.rows || one.columns != other.columns {
		return false, err
	}
	low, high := slices.Min(one.means), slices.Max(one.means)
	apart := 0.0
	for i, mean := range one.means {
		apart += math.Abs(mean - other.means[i])
	}
	return apart <= lossyApart*(high-low)*float64(len(one.means)), nil
}

const (
	thumbnailSide = 64
	// lossyApart is how far two pictures may be apart on the mean, as a share of the spread of one: lossy compression does not change means of so many
	// pixels, two exposures of one chest are tens of times as far apart.
	lossyApart = 0.002
)

// thumbnail is a picture by the means of its values, before any window, over a grid.
type thumbnail struct {
	rows, columns int
	means         []float64
}

// thumbnail is nil for a picture that cannot be decoded.
func (a *Appliance) thumbnail(path string) (*thumbnail, error) {
	file, err := a.picture(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	frame, err := pixel.Decode(context.Background(), file) // which bounds its time
	if err != nil {
		return nil, nil
	}
	v, err := pixel.FrameValues(file, frame)
	if err != nil {
		return nil, nil
	}
	t := &thumbnail{v.Rows, v.Columns, make([]float64, thumbnailSide*thumbnailSide)}
	of := make([]float64, len(t.means))
	for i, p := range v.Pixels {
		cell := i/v.Columns*thumbnailSide/v.Rows*thumbnailSide + i%v.Columns*thumbnailSide/v.Columns
		t.means[cell] += v.Intercept + v.Slope*float64(p)
		of[cell]++
	}
	for cell, n := range of {
		t.means[cell] /= max(n, 1)
	}
	return t, nil
}
