package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"llamaxr/daemon"
	"llamaxr/queue"
)

// edited is a text that a page sends, and the answer's fields where it fits.
type edited struct {
	Revision   int    `json:"revision"`
	Findings   string `json:"findings"`
	Impression string `json:"impression"`
	Reason     string `json:"reason"`  // of a rejection
	Adapter    string `json:"adapter"` // of a new draft
}

// readingAnswer is what a page is told of its text.
type readingAnswer struct {
	Version    int           `json:"version"`
	State      string        `json:"state"`
	By         string        `json:"by"`
	Name       string        `json:"name"`
	Time       string        `json:"time"`
	Findings   string        `json:"findings"`
	Impression string        `json:"impression"`
	Analysis   *analysisText `json:"analysis,omitempty"`
}

func answerOf(r *queue.Reading) readingAnswer {
	return readingAnswer{
		Version: r.Version, State: r.State, By: r.By, Name: r.ByName, Time: r.Time.Local().Format("15:04:05"), Findings: r.Findings, Impression: r.Impression,
	}
}

// pageUser is the header in which a page names the user that it was made for; forms have a field "user".
const pageUser = "Llamaxr-User"

// ofAnother refuses what a page asks for that was made for another user than who is logged in now: the tabs of a browser have one session. made is empty where
// nobody says.
func (r *Room) ofAnother(w http.ResponseWriter, q *http.Request, made string) bool {
	now := userOf(q)
	if made == "" || made == now.Name {
		return false
	}
	was, known := r.appliance.Users().Get(made)
	if !known {
		was.Name = made
	}
	r.audit(q, "refused", q.PathValue("uid"), q.Method+" "+q.Pattern+" by a page of "+made)
	http.Error(w, fmt.Sprintf("this page was opened by %s and %s is logged in now: reload it", was.DisplayName(), now.DisplayName()), http.StatusConflict)
	return true
}

// edit reads the body and the version in If-Match.
func (r *Room) edit(w http.ResponseWriter, q *http.Request) (edited, daemon.Edit, bool) {
	var in edited
	if r.ofAnother(w, q, q.Header.Get(pageUser)) {
		return in, daemon.Edit{}, false
	}
	version, err := strconv.Atoi(strings.Trim(q.Header.Get("If-Match"), `"`))
	if err != nil || version < 0 {
		http.Error(w, "If-Match must name the version that was seen", http.StatusPreconditionRequired)
		return in, daemon.Edit{}, false
	}
	if err := json.NewDecoder(q.Body).Decode(&in); err != nil {
		http.Error(w, "the text cannot be read", http.StatusBadRequest)
		return in, daemon.Edit{}, false
	}
	return in, daemon.Edit{Version: version, Revision: in.Revision, Findings: in.Findings, Impression: in.Impression}, true
}

// save keeps a text; the answer comes when it is durable.
func (r *Room) save(w http.ResponseWriter, q *http.Request) {
	in, edit, ok := r.edit(w, q)
	if !ok {
		return
	}
	uid := q.PathValue("uid")
	record, err := r.appliance.Draft(uid, in.Revision)
	if err != nil {
		http.Error(w, "the study has no such draft", http.StatusNotFound)
		return
	}
	act := r.asked(q, "edit report", uid, "")
	reading, err := r.appliance.SaveReading(uid, act.hand(), edit)
	r.answer(w, act, reading, err, func(a *readingAnswer) {
		text := analysis(record.Draft, reading.Findings, reading.Impression)
		a.Analysis = &text
	})
}

func (r *Room) sign(w http.ResponseWriter, q *http.Request) {
	if _, edit, ok := r.edit(w, q); ok {
		act := r.asked(q, "sign report", q.PathValue("uid"), "")
		reading, err := r.appliance.SignReading(act.study, act.hand(), userOf(q).FullName, edit)
		r.answer(w, act, reading, err, nil)
	}
}

func (r *Room) reject(w http.ResponseWriter, q *http.Request) {
	if in, edit, ok := r.edit(w, q); ok {
		act := r.asked(q, "reject draft", q.PathValue("uid"), "")
		reading, err := r.appliance.RejectDraft(act.study, act.hand(), in.Reason, edit)
		r.answer(w, act, reading, err, nil)
	}
}

func (r *Room) reopen(w http.ResponseWriter, q *http.Request) {
	if _, edit, ok := r.edit(w, q); ok {
		act := r.asked(q, "reopen report", q.PathValue("uid"), "")
		reading, err := r.appliance.ReopenReading(act.study, act.hand(), edit)
		r.answer(w, act, reading, err, nil)
	}
}

func (r *Room) redraft(w http.ResponseWriter, q *http.Request) {
	if in, edit, ok := r.edit(w, q); ok {
		act := r.asked(q, "redraft", q.PathValue("uid"), "by adapter "+in.Adapter)
		reading, err := r.appliance.Redraft(act.study, act.hand(), in.Adapter, edit)
		r.answer(w, act, reading, err, nil)
	}
}

// answer tells the page of an act what came of it: the one place where errors of readings become statuses.
func (r *Room) answer(w http.ResponseWriter, act *act, reading *queue.Reading, err error, more func(*readingAnswer)) {
	act.came(err)
	var conflict *daemon.ConflictError
	w.Header().Set("Content-Type", "application/json")
	switch {
	case err == nil:
		a := answerOf(reading)
		if more != nil {
			more(&a)
		}
		w.Header().Set("ETag", fmt.Sprintf(`"%d"`, reading.Version))
		_ = json.NewEncoder(w).Encode(a)
	case errors.As(err, &conflict):
		r.audit(act.q, act.name+" refused", act.study, "another version is newer")
		w.WriteHeader(http.StatusPreconditionFailed)
		_ = json.NewEncoder(w).Encode(answerOf(&conflict.Reading))
	case errors.Is(err, errUnaudited):
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case errors.Is(err, daemon.ErrNoStudy):
		http.Error(w, "there is no such study", http.StatusNotFound)
	case errors.Is(err, daemon.ErrNotOpen), errors.Is(err, daemon.ErrEmptyReport), errors.Is(err, daemon.ErrReason), errors.Is(err, daemon.ErrNothingToRead),
		errors.Is(err, daemon.ErrOnItsWay), errors.Is(err, daemon.ErrNoAdapter), errors.Is(err, daemon.ErrShadow), errors.Is(err, daemon.ErrWithdrawn), errors.Is(err, daemon.ErrSigned):
		http.Error(w, strings.TrimPrefix(err.Error(), "daemon: "), http.StatusConflict)
	default:
		r.log.Error("changing a reading", "study", act.study, "error", err)
		http.Error(w, "the report could not be kept: "+err.Error(), http.StatusInternalServerError)
	}
}
