//go:build !race

package peertest

// Race says that the race detector watches.
const Race = false

// Patience is how many times as long a test waits for other processes.
const Patience = 1
