package queue

import (
	"container/heap"
	"time"
)

// schedule knows in memory which jobs wait and from when on, so that looking for one reads no record: with thousands of jobs under way every
// commit wakes every worker.
type schedule struct {
	kinds map[string]*waitingJobs
	byID  map[string]*waitingJob
	seen  time.Time // the latest time that the clock showed
}

// waitingJob is a job that is not dead.
type waitingJob struct {
	id, kind string
	at       time.Time // from when on it can be taken: NotBefore, the end of its lease, or when it was made
	place    int       // in its heap
}

func newSchedule() *schedule {
	return &schedule{kinds: map[string]*waitingJobs{}, byID: map[string]*waitingJob{}}
}

// noticed is how far the clock must be set back to be more than a correction that nobody feels.
const noticed = time.Second

// setBack tells how far the clock was set back since it was last asked; once, so that one worker sees to it.
func (s *schedule) setBack(now time.Time) (by time.Duration) {
	now = now.Round(0) // by the wall clock: the other one runs on
	if by = s.seen.Sub(now); !s.seen.IsZero() && by >= noticed {
		s.seen = now
		return by
	}
	if now.After(s.seen) {
		s.seen = now
	}
	return 0
}

// put notes a job as it is stored.
func (s *schedule) put(j *Job) {
	s.remove(j.ID)
	if j.Dead {
		return
	}
	w := &waitingJob{id: j.ID, kind: j.Kind, at: j.Created}
	for _, at := range []time.Time{j.NotBefore, j.Leased} {
		if at.After(w.at) {
			w.at = at
		}
	}
	if s.kinds[j.Kind] == nil {
		s.kinds[j.Kind] = new(waitingJobs)
	}
	s.byID[j.ID] = w
	heap.Push(s.kinds[j.Kind], w)
}

// remove forgets a job that is no longer stored.
func (s *schedule) remove(id string) {
	if w := s.byID[id]; w != nil {
		heap.Remove(s.kinds[w.kind], w.place)
		delete(s.byID, id)
	}
}

// next returns the job of one of the kinds that has waited longest where at least so many are ready, or how long until one may be, longestWait at
// most. Who waits for more is woken when who waits for fewer takes one.
func (s *schedule) next(kinds []string, least int, now time.Time) (id string, wait time.Duration) {
	var first *waitingJob
	ready := 0
	for _, kind := range kinds {
		h := s.kinds[kind]
		if h == nil || h.Len() == 0 {
			continue
		}
		if first == nil || (*h)[0].at.Before(first.at) {
			first = (*h)[0]
		}
		for i := 0; i < h.Len() && ready < least && !(*h)[0].at.After(now); i++ { // none is ready before the first
			if !(*h)[i].at.After(now) {
				ready++
			}
		}
	}
	switch {
	case first == nil:
		return "", longestWait
	case first.at.After(now):
		return "", min(longestWait, first.at.Sub(now))
	case ready < least:
		return "", longestWait
	}
	return first.id, 0
}

// waitingJobs is a heap, the earliest first.
type waitingJobs []*waitingJob

func (h waitingJobs) Len() int { return len(h) }

func (h waitingJobs) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].id < h[j].id
	}
	return h[i].at.Before(h[j].at)
}

func (h waitingJobs) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push implements heap.Interface.
func (h *waitingJobs) Push(x any) {
	w := x.(*waitingJob)
	w.place = len(*h)
	*h = append(*h, w)
}

// Pop implements heap.Interface.
func (h *waitingJobs) Pop() any {
	last := len(*h) - 1
	w := (*h)[last]
	(*h)[last], *h = nil, (*h)[:last]
	return w
}

// reschedule brings the schedule up to what a commit stored: sealed records by job id, nil for those that are gone.
func (db *DB) reschedule(stored map[string][]byte) {
	for id, raw := range stored {
		j := new(Job)
		if raw == nil || decode(bucketJobs, []byte(id), raw, j) != nil {
			db.schedule.remove(id)
			continue
		}
		db.schedule.put(j)
	}
}
