package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"llamaxr/daemon/access"
	"llamaxr/daemon/config"
	"llamaxr/daemon/signon"
)

// bindingCookie ties a log-in that was begun to its browser. It must come back from the provider's site, so it is not strict.
const bindingCookie = "llamaxr-sign-on"

// signOn sends a browser to the OpenID provider.
func (r *Room) signOn(w http.ResponseWriter, q *http.Request) {
	provider := r.appliance.SignOn()
	if provider == nil {
		http.NotFound(w, q)
		return
	}
	to := ownPath(q.URL.Query().Get("to"))
	if !r.logins.Allow(access.Address(q), time.Now()) {
		r.refuse(w, http.StatusTooManyRequests, "Too many attempts from this machine", "Wait a minute.")
		return
	}
	if site, err := url.Parse(provider.Site()); err == nil && site.Host != q.Host { // the provider would send it there, where its cookies are not
		http.Redirect(w, q, provider.Site()+"/login/oidc?to="+url.QueryEscape(to), http.StatusSeeOther)
		return
	}
	address, binding, err := provider.Begin(q.Context(), to)
	if err != nil {
		r.notSignedOn(w, q, "", err)
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: bindingCookie, Value: binding, Path: signon.Back, HttpOnly: true, Secure: q.TLS != nil, SameSite: http.SameSiteLaxMode,
		MaxAge: int(signon.AttemptLife.Seconds()),
	})
	http.Redirect(w, q, address, http.StatusSeeOther)
}

// signedOn lets somebody in whom the provider sends back.
func (r *Room) signedOn(w http.ResponseWriter, q *http.Request) {
	provider := r.appliance.SignOn()
	if provider == nil {
		http.NotFound(w, q)
		return
	}
	binding := ""
	if cookie, err := q.Cookie(bindingCookie); err == nil {
		binding = cookie.Value
	}
	http.SetCookie(w, &http.Cookie{Name: bindingCookie, Path: signon.Back, MaxAge: -1, HttpOnly: true, Secure: q.TLS != nil, SameSite: http.SameSiteLaxMode})
	person, err := provider.Finish(q.Context(), q.URL.Query(), binding)
	if err == nil && r.taken(person.Name) {
		err = errTwoOfOneName
	}
	if err != nil {
		r.notSignedOn(w, q, person.Name, err)
		return
	}
	if !r.auditAs(q, person.Name, "log in", "", "by single sign-on, subject "+person.Subject) {
		http.Error(w, "the audit log cannot be written", http.StatusServiceUnavailable)
		return
	}
	token, err := r.sessions.BeginSignedOn(person.Name, person.LogOut, person.Word.User, time.Now())
	if err != nil {
		r.refuse(w, http.StatusServiceUnavailable, "Too many people are logged in", "Try again later.")
		return
	}
	r.setSession(w, q, token)
	// A redirection would still count as the provider's doing, to which browsers show no strict cookie: our own page goes on instead.
	r.goOn(w, "Logged in", person.To, "You are logged in as "+person.DisplayName()+".")
}

// errTwoOfOneName: the audit log could not tell them apart.
var errTwoOfOneName = errors.New("web: there is a user of that name on this appliance")

// taken reports whether a name is that of a machine, or of a user who may log in with a password.
func (r *Room) taken(name string) bool {
	user, known := r.appliance.Users().Get(name)
	return known && (user.Machine || r.passwordCounts(user))
}

// notSignedOn says why somebody is not let in: the one place where errors of single sign-on become pages.
func (r *Room) notSignedOn(w http.ResponseWriter, q *http.Request, name string, err error) {
	r.log.Warn("single sign-on", "error", err)
	r.auditAs(q, name, "log in failed", "", err.Error())
	provider := r.appliance.SignOn().Name()
	status, title, text := http.StatusForbidden, "You are not let in", ""
	switch {
	case errors.Is(err, signon.ErrProvider):
		status, title = http.StatusServiceUnavailable, provider+" cannot be reached"
		text = "Nobody can be logged in by it at the moment; the appliance's log says why."
		if r.appliance.Config().Passwords != config.PasswordsNone {
			text += " Who has a password on this appliance can log in with it."
		}
	case errors.Is(err, signon.ErrAttempt):
		status, title = http.StatusBadRequest, "This log-in is not known"
		text = "It was begun in another browser, it took too long, or it came back before. Begin again."
	case errors.Is(err, signon.ErrDenied):
		text = provider + " did not let you in."
	case errors.Is(err, signon.ErrNoRole):
		text = fmt.Sprintf("%s says who you are (%s), but none of your groups has a role in the reading room. Ask who looks after its users.", provider, name)
	case errors.Is(err, signon.ErrNoGroups):
		text = provider + " does not say which groups you are in. Ask who looks after the appliance: its log says which claim is missing."
	case errors.Is(err, signon.ErrPerson):
		text = provider + " does not say well enough who you are: a user name of letters and digits, and for physicians a full name, are needed. The appliance's log says more."
	case errors.Is(err, errTwoOfOneName):
		text = fmt.Sprintf("There is a user %s on this appliance already. Log in with its password, or have it removed (llamaxr user remove %s).", name, name)
	default:
		text = "What " + provider + " said cannot be believed. The appliance's log says why."
	}
	r.refuse(w, status, title, text)
}

// refuse shows why nobody is let in.
func (r *Room) refuse(w http.ResponseWriter, status int, title, text string) {
	r.show(w, status, frame{Title: title, Page: "refused", Content: text})
}

// onward is a page that goes on by itself.
type onward struct{ To, Text string }

func (r *Room) goOn(w http.ResponseWriter, title, to, text string) {
	r.show(w, http.StatusOK, frame{Title: title, Page: "onward", Content: onward{to, text}})
}
