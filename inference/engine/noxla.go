//go:build !cgo || !linux || !(amd64 || arm64)

package engine

import (
	"errors"

	"github.com/gomlx/compute"
)

const hasXLA = false

func trim() {}

// KeepMemory is about XLA's memory; here there is none.
func KeepMemory() (end func()) { return func() {} }

func openXLA(string) (compute.Backend, error) {
	return nil, errors.New("this build has no XLA: it needs cgo on linux")
}
