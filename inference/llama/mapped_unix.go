//go:build unix

package llama

import (
	"fmt"
	"io/fs"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// mapFile returns a file's bytes: mapped into memory where it lies on a disk, so that a model is in memory once however often it is loaded.
func mapFile(files fs.FS, name string) (*mapping, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, fmt.Errorf("llama: %w", err)
	}
	defer f.Close()
	file, ok := f.(*os.File)
	if !ok {
		return readFile(files, name)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("llama: %w", err)
	}
	if info.Size() == 0 || info.Size() > math.MaxInt {
		return nil, fmt.Errorf("llama: %s has %d bytes", name, info.Size())
	}
	data, err := unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("llama: mapping %s: %w", name, err)
	}
	return &mapping{
		data: data, release: func() { _ = unix.Munmap(data) },
		forget: func() { _ = unix.Madvise(data, unix.MADV_DONTNEED) }, // of a shared mapping only what it occupies: a read brings it back
	}, nil
}
