//go:build !linux

package spool

import "os"

// datasync is a file as it is.
type datasync struct{ *os.File }
