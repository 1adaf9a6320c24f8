//go:build race

package peertest

// Race says that the race detector watches: everything takes ten times as long, and what one goroutine computes alone it need not see often.
const Race = true

// Patience is how many times as long a test waits for other processes.
const Patience = 5
