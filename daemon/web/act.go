package web

import (
	"errors"
	"net/http"
	"strings"

	"llamaxr/daemon"
)

// errUnaudited refuses an act that would leave no entry.
var errUnaudited = errors.New("the audit log cannot be written: nothing is changed until it can")

// act is what somebody asks for. It is entered into the audit log before it takes effect.
type act struct {
	room                *Room
	q                   *http.Request
	name, study, detail string
	entered             bool
}

// asked is an act that is not entered yet.
func (r *Room) asked(q *http.Request, name, study, detail string) *act {
	return &act{room: r, q: q, name: name, study: study, detail: detail}
}

// enter writes the entry, once; with an error the act must not take effect.
func (a *act) enter(detail string) error {
	if !a.entered && !a.room.audit(a.q, a.name, a.study, strings.TrimSpace(detail+" "+a.detail)) {
		return errUnaudited
	}
	a.entered = true
	return nil
}

// came says what came of the act: one that was entered and not done has another entry.
func (a *act) came(err error) {
	if err != nil && a.entered {
		a.room.audit(a.q, a.name+" failed", a.study, strings.TrimLeft(a.detail+": "+err.Error(), ": "))
	}
}

// hand is who asks, by which the appliance enters the act.
func (a *act) hand() daemon.Hand {
	u := userOf(a.q)
	return daemon.Hand{User: u.Name, Name: u.DisplayName(), Enter: a.enter}
}
