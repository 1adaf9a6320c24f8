package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"llamaxr/daemon/access"
	"llamaxr/daemon/config"
)

// loginForm is what the log-in page shows.
type loginForm struct {
	To, Name, Error string
	NoUsers         bool
	Passwords       string // who may log in with one
	SignOn          string // what people call the OpenID provider; empty without one
	SignOnLink      string
}

func (r *Room) loginPage(w http.ResponseWriter, q *http.Request) {
	r.showLogin(w, http.StatusOK, loginForm{To: q.URL.Query().Get("to")})
}

func (r *Room) showLogin(w http.ResponseWriter, status int, form loginForm) {
	form.Passwords = r.appliance.Config().Passwords
	if p := r.appliance.SignOn(); p != nil {
		form.SignOn, form.SignOnLink = p.Name(), "/login/oidc?to="+url.QueryEscape(ownPath(form.To))
	}
	form.NoUsers = form.SignOn == "" && len(r.appliance.Users().List()) == 0
	r.show(w, status, frame{Title: "Log in", Page: "login", Content: form})
}

func (r *Room) login(w http.ResponseWriter, q *http.Request) {
	now, from := time.Now(), access.Address(q)
	form := loginForm{To: q.PostFormValue("to"), Name: strings.ToLower(strings.TrimSpace(q.PostFormValue("name")))}
	if !r.logins.Allow(from, now) {
		form.Error = "Too many attempts from this machine. Wait a minute."
		r.showLogin(w, http.StatusTooManyRequests, form)
		return
	}
	if wait := r.lockout.Wait(form.Name, now); wait > 0 {
		r.auditAs(q, form.Name, "log in refused", "", "locked")
		form.Error = fmt.Sprintf("Too many wrong passwords. Try again in %d seconds.", int(wait.Seconds())+1)
		r.showLogin(w, http.StatusTooManyRequests, form)
		return
	}
	user, err := r.appliance.Users().Authenticate(form.Name, q.PostFormValue("password"))
	if err != nil || !r.passwordCounts(user) {
		r.lockout.Failed(form.Name, now)
		r.auditAs(q, form.Name, "log in failed", "", "")
		form.Error = "User name or password is wrong."
		r.showLogin(w, http.StatusUnauthorized, form)
		return
	}
	r.lockout.Succeeded(form.Name)
	if !r.auditAs(q, user.Name, "log in", "", "") {
		http.Error(w, "the audit log cannot be written", http.StatusServiceUnavailable)
		return
	}
	token, err := r.sessions.Begin(user.Name, now)
	if err != nil {
		form.Error = "Too many people are logged in."
		r.showLogin(w, http.StatusServiceUnavailable, form)
		return
	}
	r.setSession(w, q, token)
	http.Redirect(w, q, ownPath(form.To), http.StatusSeeOther)
}

// passwordCounts reports whether a user may come in by his password, where people else come by the OpenID provider.
func (r *Room) passwordCounts(u access.User) bool {
	switch r.appliance.Config().Passwords {
	case config.PasswordsAll:
		return true
	case config.PasswordsAdmins:
		return u.Has(access.Admin)
	}
	return false
}

// setSession gives a browser a session in place of the one that it had, whose pages are told.
func (r *Room) setSession(w http.ResponseWriter, q *http.Request, token string) {
	if cookie, err := q.Cookie(cookieName); err == nil {
		r.endSession(cookie.Value)
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: token, Path: "/", HttpOnly: true, Secure: q.TLS != nil, SameSite: http.SameSiteStrictMode, MaxAge: int(access.SessionLife.Seconds()),
	})
}

// endSession ends a session, and the streams of the pages that were opened by it: they ask anew, as who is logged in then.
func (r *Room) endSession(token string) {
	r.sessions.End(token)
	r.present.wake()
}

// ownPath keeps a redirection on this site.
func ownPath(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//") || strings.Contains(to, `\`) {
		return "/"
	}
	return u.RequestURI()
}

// logout ends the session here. By a page of ours a browser then goes on to the provider: the policy lets a form lead nowhere else.
func (r *Room) logout(w http.ResponseWriter, q *http.Request) {
	there := ""
	if user, ok := r.current(q); ok {
		r.auditAs(q, user.Name, "log out", "", "")
	}
	if cookie, err := q.Cookie(cookieName); err == nil {
		if session, ok := r.sessions.Of(cookie.Value, time.Now(), false); ok {
			there = session.LogOut
		}
		r.endSession(cookie.Value)
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, HttpOnly: true, Secure: q.TLS != nil, SameSite: http.SameSiteStrictMode})
	if there != "" {
		r.goOn(w, "Logged out here", there, "You are logged out here. Going on to log out at "+r.appliance.SignOn().Name()+".")
		return
	}
	http.Redirect(w, q, "/login", http.StatusSeeOther)
}
