package worklist

import "slices"

// part is an ordered part of the list that is kept ready: a page of it costs what the page shows, not what the site has.
type part struct {
	entries []*Entry // by before
	holds   func(*Entry) bool
}

// parts are what the filters of the page ask for. Each entry is in a few of them.
type parts struct {
	all, waiting, critical, heldBack part
	unacknowledged                   part
	status                           map[Status]*part
	searches                         map[string]*search // what was searched for last, by Query.key
}

// search is the part that a search asks for.
type search struct {
	part
	asked int // number of the last asking
}

// maxSearches bounds how many searches are kept: each costs a look at every study that changes, and a pointer to every one that it finds.
const maxSearches = 32

func newParts() parts {
	p := parts{
		all:      part{holds: func(*Entry) bool { return true }},
		waiting:  part{holds: (*Entry).waits},
		critical: part{holds: func(e *Entry) bool { return e.waits() && e.Urgency == Critical }},
		heldBack: part{holds: func(e *Entry) bool { return e.waits() && e.HeldBack > 0 }},
		status:   map[Status]*part{},
		searches: map[string]*search{},

		unacknowledged: part{holds: func(e *Entry) bool { return e.Alert.Open() }},
	}
	for _, s := range Statuses {
		p.status[s] = &part{holds: func(e *Entry) bool { return e.Status == s }}
	}
	return p
}

// each visits all parts.
func (p *parts) each(visit func(*part)) {
	for _, one := range []*part{&p.all, &p.waiting, &p.critical, &p.heldBack, &p.unacknowledged} {
		visit(one)
	}
	for _, one := range p.status {
		visit(one)
	}
	for _, one := range p.searches {
		visit(&one.part)
	}
}

// remember keeps a search, in place of the one that was asked for longest ago when there are too many.
func (p *parts) remember(key string, one *search) {
	if len(p.searches) >= maxSearches {
		oldest := ""
		for key, other := range p.searches {
			if oldest == "" || other.asked < p.searches[oldest].asked {
				oldest = key
			}
		}
		delete(p.searches, oldest)
	}
	p.searches[key] = one
}

// keep takes those of sorted entries that belong to the part.
func (p *part) keep(sorted []*Entry) {
	p.entries = nil
	for _, e := range sorted {
		if p.holds(e) {
			p.entries = append(p.entries, e)
		}
	}
}

// fill puts sorted entries in place of what is there.
func (p *parts) fill(sorted []*Entry) {
	p.each(func(one *part) { one.keep(sorted) })
}

// replace takes an entry out and puts its successor in; old is nil for a new one.
func (p *parts) replace(old, next *Entry) {
	p.each(func(one *part) {
		if old != nil && one.holds(old) {
			if at, found := slices.BinarySearchFunc(one.entries, old, before); found {
				one.entries = slices.Delete(one.entries, at, at+1)
			}
		}
		if one.holds(next) {
			at, _ := slices.BinarySearchFunc(one.entries, next, before)
			one.entries = slices.Insert(one.entries, at, next)
		}
	})
}

// choose returns the smallest part that has all that q asks for. exact is whether it has nothing else: then none of its entries need be
// looked at.
func (p *parts) choose(q Query) (entries []*Entry, exact bool) {
	exact = q.Finding < 0 && q.Search == "" && !q.Critical && !q.HeldBack && !q.Unacknowledged
	open := len(q.Status) == 2 && slices.Contains(q.Status, ToRead) && slices.Contains(q.Status, InWork)
	switch {
	case q.Unacknowledged:
		return p.unacknowledged.entries, q.Finding < 0 && q.Search == "" && !q.Critical && !q.HeldBack && len(q.Status) == 0
	case len(q.Status) == 0:
		return p.all.entries, exact
	case len(q.Status) == 1 && p.status[q.Status[0]] != nil:
		return p.status[q.Status[0]].entries, exact
	case !open:
		return p.all.entries, false
	case q.Critical:
		return p.critical.entries, q.Finding < 0 && q.Search == "" && !q.HeldBack
	case q.HeldBack:
		return p.heldBack.entries, q.Finding < 0 && q.Search == ""
	}
	return p.waiting.entries, exact
}
