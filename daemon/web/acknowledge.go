package web

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"llamaxr/daemon"
)

// acknowledge notes that a reader has taken note of a study's critical findings, and goes back to its page. A script, which asks for JSON, is told
// who did.
func (r *Room) acknowledge(w http.ResponseWriter, q *http.Request) {
	uid := q.PathValue("uid")
	number, err := strconv.Atoi(q.PostFormValue("number"))
	if err != nil {
		http.Error(w, "the number of the alert is missing", http.StatusBadRequest)
		return
	}
	if r.ofAnother(w, q, q.PostFormValue("user")) {
		return
	}
	act := r.asked(q, "acknowledge critical finding", uid, "")
	alert, err := r.appliance.Acknowledge(uid, number, act.hand())
	act.came(err)
	switch {
	case errors.Is(err, errUnaudited):
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	case errors.Is(err, daemon.ErrNoStudy):
		http.Error(w, "there is no such study", http.StatusNotFound)
		return
	case errors.Is(err, daemon.ErrNoAlert), errors.Is(err, daemon.ErrOtherAlert):
		http.Error(w, strings.TrimPrefix(err.Error(), "daemon: "), http.StatusConflict)
		return
	case err != nil:
		r.log.Error("acknowledging", "study", uid, "error", err)
		http.Error(w, "it could not be kept: "+err.Error(), http.StatusInternalServerError)
		return
	}
	if q.Header.Get("Accept") != "application/json" {
		http.Redirect(w, q, "/studies/"+uid, http.StatusSeeOther)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"by": alert.By, "name": alert.ByName, "how": alert.How, "time": alert.Acknowledged.Local().Format("15:04:05")})
}
