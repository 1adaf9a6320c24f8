package llama

import (
	"fmt"
	"io/fs"
)

// mapping is a file in memory.
type mapping struct {
	data    []byte
	release func() // gives the memory up: the bytes must not be used any more
	forget  func() // gives up what can be read again when it is needed
}

// readFile reads a file that cannot be mapped.
func readFile(files fs.FS, name string) (*mapping, error) {
	data, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, fmt.Errorf("llama: %w", err)
	}
	return memory(data), nil
}

// memory is a mapping of bytes that are there anyway.
func memory(data []byte) *mapping { return &mapping{data, func() {}, func() {}} }

// Close implements io.Closer.
func (m *mapping) Close() error {
	m.release()
	return nil
}
