package web

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"llamaxr/daemon/access"
)

// Rhythm of the events.
const (
	// gather is the least time between two events of a stream: a burst of changes is one.
	gather = 300 * time.Millisecond
	// beat keeps proxies from closing a silent stream, and ends one whose session has ended.
	beat         = 20 * time.Second
	writeTimeout = 15 * time.Second
	maxStreams   = 500
)

// presence knows who has which study open.
type presence struct {
	mu      sync.Mutex
	streams int
	next    int
	studies map[string]map[int]access.User
	change  chan struct{}
}

func (p *presence) changed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.change == nil {
		p.change = make(chan struct{})
	}
	return p.change
}

// enter notes that a user looks at a study; ok is false when there are too many streams.
func (p *presence) enter(uid string, user access.User) (leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.streams >= maxStreams {
		return nil, false
	}
	p.streams++
	p.next++
	id := p.next
	if uid != "" {
		if p.studies == nil {
			p.studies = map[string]map[int]access.User{}
		}
		if p.studies[uid] == nil {
			p.studies[uid] = map[int]access.User{}
		}
		p.studies[uid][id] = user
		p.tell()
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.streams--
		if uid != "" {
			delete(p.studies[uid], id)
			if len(p.studies[uid]) == 0 {
				delete(p.studies, uid)
			}
			p.tell()
		}
	}, true
}

func (p *presence) tell() {
	if p.change != nil {
		close(p.change)
	}
	p.change = make(chan struct{})
}

// wake has every stream look anew.
func (p *presence) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tell()
}

// others are the names of who else has the study open.
func (p *presence) others(uid, self string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	names := map[string]bool{}
	for _, u := range p.studies[uid] {
		if u.Name != self {
			names[u.DisplayName()] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// events streams what changes (server-sent events): "user" with who is logged in, "worklist" with a number that grows, and for an open study "reading" with its
// version and who made it, and "presence" with the names of others who have it open.
func (r *Room) events(w http.ResponseWriter, q *http.Request) {
	user, uid := userOf(q), q.URL.Query().Get("study")
	leave, ok := r.present.enter(uid, user)
	if !ok {
		r.fail(w, q, http.StatusServiceUnavailable, "too many open pages")
		return
	}
	defer leave()
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", "text/event-stream")
	said := map[string]string{}
	send := func(name string, value any) error {
		text, err := json.Marshal(value)
		if err != nil || said[name] == string(text) {
			return err
		}
		said[name] = string(text)
		if err := control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return err
		}
		if _, err = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, text); err != nil {
			return err
		}
		return control.Flush()
	}
	heart := time.NewTicker(beat)
	defer heart.Stop()
	for {
		changed, number := r.appliance.Worklist().Changed()
		here := r.present.changed()
		err := send("user", map[string]string{"user": user.Name, "name": user.DisplayName()})
		if err == nil {
			err = send("worklist", number)
		}
		if uid != "" && err == nil {
			if err = send("presence", r.present.others(uid, user.Name)); err == nil {
				err = send("reading", r.standing(uid))
			}
		}
		if err != nil {
			return
		}
		select {
		case <-q.Context().Done():
			return
		case <-changed:
		case <-here: // perhaps since a session ended
			if _, ok := r.current(q); !ok {
				return
			}
		case <-heart.C:
			if _, ok := r.current(q); !ok {
				return
			}
			said["beat"] = ""
			if send("beat", time.Now().Unix()) != nil {
				return
			}
			continue
		}
		select {
		case <-q.Context().Done():
			return
		case <-time.After(gather):
		}
	}
}

// standing is what an open study's page must know of changes elsewhere.
func (r *Room) standing(uid string) map[string]any {
	out := map[string]any{"version": 0}
	if reading, err := r.appliance.Reading(uid); err == nil && reading != nil {
		out["version"], out["by"], out["name"], out["state"] = reading.Version, reading.By, reading.ByName, reading.State
	}
	if e, ok := r.appliance.Worklist().Entry(uid); ok {
		if e.Alert != nil {
			out["alert"], out["alert_open"], out["acknowledged_by"], out["acknowledged_how"] = e.Alert.Number, e.Alert.Open(), e.Alert.ByName, e.Alert.How
		}
		out["revision"], out["status"], out["drafted"] = e.Revision, e.Status, r.appliance.Drafted(uid, e.Revision)
		out["without"], out["withdrawn"] = e.Without, e.Withdrawn
	}
	return out
}
