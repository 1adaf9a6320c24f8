//go:build unix

package llama

import (
	"fmt"
	"io/fs"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// mapped returns a file's bytes: mapped into memory where it lies on a disk, so that a model is in memory once however often it is loaded.
// release gives the mapping up; the bytes must not be used any more then.
func mapped(files fs.FS, name string) (data []byte, release func(), err error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, nil, fmt.Errorf("llama: %w", err)
	}
	defer f.Close()
	file, ok := f.(*os.File)
	if !ok {
		data, err = fs.ReadFile(files, name)
		return data, func() {}, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("llama: %w", err)
	}
	if info.Size() == 0 || info.Size() > math.MaxInt {
		return nil, nil, fmt.Errorf("llama: %s has %d bytes", name, info.Size())
	}
	data, err = unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("llama: mapping %s: %w", name, err)
	}
	return data, func() { _ = unix.Munmap(data) }, nil
}
