//go:build !unix

package llama

import "io/fs"

// mapFile returns a file's bytes.
func mapFile(files fs.FS, name string) (*mapping, error) { return readFile(files, name) }
