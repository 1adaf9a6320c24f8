package xrv

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"llamaxr/inference/engine"
	"llamaxr/study"
)

// TestThreadsKeepNoMemory: Go calls XLA from whatever thread it has, and none of them keeps what a graph took there. With an arena of malloc for each
// thread they did, tens of MiB each.
func TestThreadsKeepNoMemory(t *testing.T) {
	const (
		threads = 12
		most    = 48 << 10 // KiB, for all of them
	)
	model := starter(t, engine.XLACPU, OnGraph)
	views := []study.Normalised{{Pixels: make([]float32, study.InputSize*study.InputSize)}, {Pixels: make([]float32, study.InputSize*study.InputSize)}}
	score := func() {
		if _, _, err := model.Score(context.Background(), views); err != nil {
			t.Error(err)
		}
	}
	score()
	before := anonymous(t)
	release := make(chan struct{})
	var done []chan struct{}
	for range threads {
		scored, ended := make(chan struct{}), make(chan struct{})
		done = append(done, ended)
		go func() {
			defer close(ended)
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			score()
			close(scored)
			<-release // the thread is this goroutine's until all have one
		}()
		<-scored
	}
	after := anonymous(t)
	close(release)
	for _, ended := range done {
		<-ended
	}
	t.Logf("anonymous memory: %d KiB after one thread, %d after %d more", before, after, threads)
	if after > before+most {
		t.Errorf("%d threads keep %d KiB, want %d at most", threads, after-before, most)
	}
}

// anonymous is this process's resident anonymous memory in KiB, without what Go only holds in reserve.
func anonymous(t *testing.T) (kib int) {
	t.Helper()
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		_, _ = fmt.Sscanf(line, "RssAnon: %d", &kib)
	}
	return kib
}
