// Package team shares work out to all cores where it comes in hundreds of parts of some microseconds, as a pass of a model does.
package team

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Share calls do for 0 to n-1 on all cores.
func Share(n int, do func(at int)) {
	if n <= 1 || runtime.GOMAXPROCS(0) == 1 || !everyone.mu.TryLock() {
		for at := range n {
			do(at)
		}
		return
	}
	defer everyone.mu.Unlock()
	everyone.run(newJob(n, do))
}

// team is the other cores: workers that look for the next job for a while before they sleep, since waking a thread takes as long as a job.
type team struct {
	mu      sync.Mutex // held by whoever has the team; another model computes alone meanwhile
	started bool
	job     atomic.Pointer[job]
	workers []*worker
}

var everyone team

type worker struct {
	core   int // whose range is its own; 0 is who has the job
	asleep atomic.Bool
	wake   chan struct{}
}

// job is work in n parts. Each core has a range of its own, so that it reads on where it was, and then takes what is left of others'.
type job struct {
	n      int64
	do     func(at int)
	ranges []span
	done   atomic.Int64
}

// span is what is left of a core's range. It fills a cache line.
type span struct {
	next atomic.Int64
	end  int64
	_    [48]byte
}

func newJob(n int, do func(at int)) *job {
	cores := min(n, runtime.GOMAXPROCS(0))
	j := &job{n: int64(n), do: do, ranges: make([]span, cores)}
	for i := range j.ranges {
		j.ranges[i].next.Store(int64(i * n / cores))
		j.ranges[i].end = int64((i + 1) * n / cores)
	}
	return j
}

// left reports whether there is a part that nobody has.
func (j *job) left() bool {
	for i := range j.ranges {
		if j.ranges[i].next.Load() < j.ranges[i].end {
			return true
		}
	}
	return false
}

// work does parts until there are none, first those of a core.
func (j *job) work(core int) {
	for i := range j.ranges {
		r := &j.ranges[(core+i)%len(j.ranges)]
		for at := r.next.Add(1) - 1; at < r.end; at = r.next.Add(1) - 1 {
			j.do(int(at))
			j.done.Add(1)
		}
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
			w := &worker{core: len(t.workers) + 1, wake: make(chan struct{}, 1)}
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
	j.work(0)
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
		if j := t.job.Load(); j != nil && j.left() {
			j.work(w.core)
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
