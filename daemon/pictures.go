package daemon

import (
	"context"
	"image"
	"runtime/debug"

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
