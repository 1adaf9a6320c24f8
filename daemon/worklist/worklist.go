package worklist

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"llamaxr/queue"
	"llamaxr/study"
)

// settle is how long changes gather before they are taken in: a burst of commits is one change of the list.
const settle = 150 * time.Millisecond

// batch is how many studies are read in one transaction: a long one would hold back the file's free pages.
const batch = 2000

// List is the worklist.
type List struct {
	db *queue.DB

	mu       sync.RWMutex
	critical []study.Finding
	byUID    map[string]*Entry
	parts    parts
	waiting  bool // all that no reader is done with are in it
	ready    bool // all studies are
	number   int  // of changes so far
	change   chan struct{}

	searchMu sync.Mutex // of the searches among the parts, for those who hold mu for reading
	asked    int        // searches so far

	pendingMu sync.Mutex
	pending   map[string]bool
	wake      chan struct{}
}

// New returns an empty list; Run fills it.
func New(db *queue.DB, critical []study.Finding) *List {
	return &List{
		db: db, critical: critical, byUID: map[string]*Entry{}, parts: newParts(), change: make(chan struct{}), pending: map[string]bool{},
		wake: make(chan struct{}, 1),
	}
}

// Run reads all studies, then follows the ledger until ctx is cancelled. What waits for a reader is read first and followed at once.
func (l *List) Run(ctx context.Context) error {
	stop := l.db.Follow(l.note)
	defer stop()
	first, rest, err := l.order()
	if err == nil {
		err = l.load(ctx, first, func() { l.waiting = true })
	}
	if err != nil {
		return unlessOver(ctx, err)
	}
	following, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() {
		if failed = l.load(following, rest, func() { l.ready = true }); failed != nil {
			cancel()
		}
	})
	err = l.follow(following)
	cancel()
	wg.Wait()
	return unlessOver(ctx, cmp.Or(err, failed))
}

// unlessOver is an error that is not of being told to end.
func unlessOver(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// follow takes in what changes until ctx is cancelled.
func (l *List) follow(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
		}
		l.pendingMu.Lock()
		uids := l.pending
		l.pending = map[string]bool{}
		l.pendingMu.Unlock()
		if err := l.take(uids); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(settle):
		}
	}
}

// SetCritical changes which findings put a study on top and has every study looked at again. When it fails they are as they were.
func (l *List) SetCritical(findings []study.Finding) error {
	set := func(findings []study.Finding) (before []study.Finding) {
		l.mu.Lock()
		defer l.mu.Unlock()
		before, l.critical = l.critical, findings
		return before
	}
	before := set(findings)
	all := map[string]bool{}
	err := l.db.View(func(tx *queue.Tx) error {
		uids, err := tx.StudyUIDs()
		for _, uid := range uids {
			all[uid] = true
		}
		return err
	})
	if err != nil {
		set(before)
		return err
	}
	l.note(all)
	return nil
}

func (l *List) criticalNow() []study.Finding {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.critical
}

// note remembers what a commit changed.
func (l *List) note(uids map[string]bool) {
	l.pendingMu.Lock()
	for uid := range uids {
		l.pending[uid] = true
	}
	l.pendingMu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// read summarises studies in one transaction. One whose record is damaged is passed over, so that the list goes on with the rest: the ledger has
// been told, and making the record again is a change as any other.
func (l *List) read(uids iter.Seq[string]) (entries []*Entry, err error) {
	critical := l.criticalNow()
	err = l.db.View(func(tx *queue.Tx) error {
		for uid := range uids {
			e, err := entryOf(tx, uid, critical)
			if err != nil && !errors.Is(err, queue.ErrDamaged) {
				return err
			}
			if e != nil {
				entries = append(entries, e)
			}
		}
		return nil
	})
	return entries, err
}

// order returns the studies that are to be read first, and those that a reader is done with: nearly all of a site's.
func (l *List) order() (first, rest []string, err error) {
	err = l.db.View(func(tx *queue.Tx) error {
		done := map[string]bool{}
		if err := tx.EachReadingHead(func(uid string, r *queue.ReadingHead) error { done[uid] = r.State != queue.ReadingOpen; return nil }); err != nil {
			return err
		}
		uids, err := tx.StudyUIDs()
		for _, uid := range uids {
			if done[uid] {
				rest = append(rest, uid)
			} else {
				first = append(first, uid)
			}
		}
		return err
	})
	return first, rest, err
}

// load reads studies and takes them in. loaded is called when they are in the list.
func (l *List) load(ctx context.Context, uids []string, loaded func()) error {
	entries, err := l.readAll(ctx, uids)
	if err != nil {
		return err
	}
	l.add(entries, loaded)
	return nil
}

// readAll summarises studies, some at a time and on every core: a page waits for it.
func (l *List) readAll(ctx context.Context, uids []string) ([]*Entry, error) {
	chunks := slices.Collect(slices.Chunk(uids, batch))
	read, failed := make([][]*Entry, len(chunks)), make([]error, len(chunks))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(chunks)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				read[i], failed[i] = l.read(slices.Values(chunks[i]))
			}
		})
	}
	wg.Wait()
	return slices.Concat(read...), cmp.Or(ctx.Err(), errors.Join(failed...))
}

// add takes in studies that were read for the first time. One that is there already was taken in meanwhile because it had changed.
func (l *List) add(entries []*Entry, added func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Clone(l.parts.all.entries)
	for _, e := range entries {
		if l.byUID[e.UID] == nil {
			l.byUID[e.UID] = e
			all = append(all, e)
		}
	}
	slices.SortFunc(all, before)
	l.parts.fill(all)
	added()
	l.tell()
}

// take brings changed studies up to date.
func (l *List) take(uids map[string]bool) error {
	entries, err := l.read(maps.Keys(uids))
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range entries {
		l.parts.replace(l.byUID[e.UID], e)
		l.byUID[e.UID] = e
	}
	l.tell()
	return nil
}

// tell wakes those who wait for a change; mu is held.
func (l *List) tell() {
	l.number++
	close(l.change)
	l.change = make(chan struct{})
}

// Changed returns a channel that is closed when the list changes, and the number of changes so far.
func (l *List) Changed() (<-chan struct{}, int) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.change, l.number
}

// Entry returns one study; from the ledger itself where it is not in the list yet.
func (l *List) Entry(uid string) (Entry, bool) {
	l.mu.RLock()
	e := l.byUID[uid]
	l.mu.RUnlock()
	if e == nil {
		if read, err := l.read(slices.Values([]string{uid})); err == nil && len(read) == 1 {
			e = read[0]
		}
	}
	if e == nil {
		return Entry{}, false
	}
	return *e, true
}

// Query says which studies are wanted.
type Query struct {
	Status   []Status      // any of them; empty is every status
	Critical bool          // only critical ones
	HeldBack bool          // only drafts that the guard changed
	Finding  study.Finding // only studies with this finding present; -1 is any
	// Unacknowledged wants only studies with a critical finding of which nobody has taken note.
	Unacknowledged bool
	Search         string // words that name, ID, accession number, description or UID hold, each of them
	Offset         int
	Limit          int
}

// Page is a part of the list.
type Page struct {
	Entries  []Entry
	Matching int            // studies that fit the query
	Counts   map[Status]int // of all studies
	Critical int            // waiting, of all studies
	HeldBack int            // waiting, of all studies
	Total    int
	// Unacknowledged is how many studies have a critical finding of which nobody has taken note, of all studies.
	Unacknowledged int
	// Waiting and Ready are false while studies are still being read from the ledger: Waiting of those that no reader is done with, Ready of all.
	Waiting, Ready bool
}

// Find returns a page. Only the first asking of a search, or of a filter by finding, looks at entries beside those that are shown.
func (l *List) Find(q Query) Page {
	l.mu.RLock()
	defer l.mu.RUnlock()
	p := &l.parts
	page := Page{
		Counts: map[Status]int{}, Critical: len(p.critical.entries), HeldBack: len(p.heldBack.entries), Total: len(p.all.entries), Waiting: l.waiting, Ready: l.ready,
		Unacknowledged: len(p.unacknowledged.entries),
	}
	for status, one := range p.status {
		page.Counts[status] = len(one.entries)
	}
	entries, exact := p.choose(q)
	if !exact {
		entries = l.searched(q, entries)
	}
	page.Matching = len(entries)
	for _, e := range entries[min(q.Offset, len(entries)):min(q.Offset+q.Limit, len(entries))] {
		page.Entries = append(page.Entries, *e)
	}
	return page
}

// searched returns those of entries that q asks for. Readers follow a search as they follow any list: its answer is kept, and keeps step, so
// that asking again costs what the page shows. mu is held for reading.
func (l *List) searched(q Query, entries []*Entry) []*Entry {
	key := q.key()
	l.searchMu.Lock()
	defer l.searchMu.Unlock()
	one := l.parts.searches[key]
	if one == nil {
		words := q.words()
		one = &search{part: part{holds: func(e *Entry) bool { return q.matches(e, words) }}}
		one.keep(entries)
		l.parts.remember(key, one)
	}
	l.asked++
	one.asked = l.asked
	return one.entries
}

// words are what a search looks for.
func (q Query) words() []string { return strings.Fields(strings.ToLower(q.Search)) }

// key names the studies that are wanted, whatever part of them is.
func (q Query) key() string {
	return fmt.Sprint(q.Status, q.Critical, q.HeldBack, q.Unacknowledged, int(q.Finding), q.words())
}

func (q Query) matches(e *Entry, words []string) bool {
	if len(q.Status) > 0 && !slices.Contains(q.Status, e.Status) || q.Critical && e.Urgency != Critical || q.HeldBack && e.HeldBack == 0 ||
		q.Unacknowledged && !e.Alert.Open() {
		return false
	}
	if q.Finding >= 0 && !slices.ContainsFunc(e.Findings, func(f queue.FindingScore) bool { return f.Finding == q.Finding }) {
		return false
	}
	for _, w := range words {
		if !strings.Contains(e.search, w) {
			return false
		}
	}
	return true
}

// Unacknowledged is how many studies have a critical finding of which nobody has taken note, and since when the oldest of them.
func (l *List) Unacknowledged() (n int, oldest time.Time) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, e := range l.parts.unacknowledged.entries {
		if oldest.IsZero() || e.Alert.Raised.Before(oldest) {
			oldest = e.Alert.Raised
		}
	}
	return len(l.parts.unacknowledged.entries), oldest
}

// Next returns the study to read after uid: the next that waits in the order of the list, from its end on from its top, that nobody has begun and that is not
// taken. It is empty when there is none.
func (l *List) Next(uid string, taken func(uid string) bool) string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	waiting, from := l.parts.status[ToRead].entries, 0
	if e := l.byUID[uid]; e != nil {
		place := *e
		place.Status = ToRead // where it stood while it waited
		from, _ = slices.BinarySearchFunc(waiting, &place, before)
	}
	for i := range waiting {
		if next := waiting[(from+i)%len(waiting)].UID; next != uid && !taken(next) {
			return next
		}
	}
	return ""
}
