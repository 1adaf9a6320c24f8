package llama

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// parallel calls do for 0 to n-1 on all cores.
func parallel(n int, do func(at int)) {
	if n <= 1 || runtime.GOMAXPROCS(0) == 1 || !everyone.mu.TryLock() {
		for at := range n {
			do(at)
		}
		return
	}
	defer everyone.mu.Unlock()
	everyone.run(&job{n: int64(n), do: do})
}

// team is the other cores: workers that look for the next job for a while before they sleep, since a pass is hundreds of jobs of some
// microseconds and waking a thread takes as long as one.
type team struct {
	mu      sync.Mutex // held by whoever has the team; another model computes alone meanwhile
	started bool
	job     atomic.Pointer[job]
	workers []*worker
}

var everyone team

type worker struct {
	asleep atomic.Bool
	wake   chan struct{}
}

// job is work in n parts, which whoever is free takes.
type job struct {
	n          int64
	do         func(at int)
	next, done atomic.Int64
}

func (j *job) work() {
	for at := j.next.Add(1) - 1; at < j.n; at = j.next.Add(1) - 1 {
		j.do(int(at))
		j.done.Add(1)
	}
}

const (
	looks    = 64                     // between leaving the core to others
	patience = 200 * time.Microsecond // before a worker sleeps
)

func (t *team) run(j *job) {
	if !t.started {
		t.started = true
		for range runtime.GOMAXPROCS(0) - 1 {
			w := &worker{wake: make(chan struct{}, 1)}
			t.workers = append(t.workers, w)
			go w.serve(t)
		}
	}
	t.job.Store(j)
	for _, w := range t.workers {
		if w.asleep.CompareAndSwap(true, false) {
			w.wake <- struct{}{}
		}
	}
	j.work()
	for look := 1; j.done.Load() < j.n; look++ {
		if look%looks == 0 {
			runtime.Gosched()
		}
	}
	t.job.Store(nil)
}

// serve does jobs as long as the program runs.
func (w *worker) serve(t *team) {
	idle := time.Now()
	for look := 1; ; look++ {
		if j := t.job.Load(); j != nil && j.next.Load() < j.n {
			j.work()
			idle = time.Now()
			continue
		}
		if look%looks != 0 {
			continue
		}
		if time.Since(idle) < patience {
			runtime.Gosched()
			continue
		}
		w.asleep.Store(true)
		if t.job.Load() != nil && w.asleep.CompareAndSwap(true, false) {
			continue // it came just now
		}
		<-w.wake
		idle = time.Now()
	}
}
