//go:build !unix

package llama

import (
	"fmt"
	"io/fs"
)

// mapped returns a file's bytes.
func mapped(files fs.FS, name string) (data []byte, release func(), err error) {
	if data, err = fs.ReadFile(files, name); err != nil {
		return nil, nil, fmt.Errorf("llama: %w", err)
	}
	return data, func() {}, nil
}
