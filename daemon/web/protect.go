package web

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"llamaxr/daemon/access"
)

// policy lets a page load nothing but our own files, and nobody frame it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// maxBody bounds what a request may carry.
const maxBody = 256 << 10

const cookieName = "llamaxr-session"

// protect stands before every page: headers, host, origin, rate, size.
func (r *Room) protect(next http.Handler) http.Handler {
	next = http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
		h.Set("Cache-Control", "no-store")
		if q.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if !access.KnownHost(q) {
			http.Error(w, "this address is not known here", http.StatusMisdirectedRequest)
			return
		}
		who := "from " + access.Address(q)
		if user, ok := r.current(q); ok {
			who = user.Name // many readers may come from one address
		}
		if !strings.HasPrefix(q.URL.Path, "/assets/") && !r.requests.Allow(who, time.Now()) {
			h.Set("Retry-After", "2")
			http.Error(w, "too many requests", http.StatusTooManyRequests)
			return
		}
		if q.URL.Path != "/events" { // which is never done
			defer r.appliance.Serving()()
		}
		q.Body = http.MaxBytesReader(w, q.Body, maxBody)
		next.ServeHTTP(w, q)
	})
}

type userKey struct{}

// userOf returns who asks; the zero user outside of only.
func userOf(q *http.Request) access.User {
	u, _ := q.Context().Value(userKey{}).(access.User)
	return u
}

// current returns the user of a request's session as he is now.
func (r *Room) current(q *http.Request) (access.User, bool) {
	cookie, err := q.Cookie(cookieName)
	if err != nil {
		return access.User{}, false
	}
	session, ok := r.sessions.Of(cookie.Value, time.Now(), !followed(q))
	if !ok {
		return access.User{}, false
	}
	if session.SignedOn != nil {
		user, err := session.SignedOn(q.Context())
		if err != nil && r.sessions.End(cookie.Value) {
			r.log.Info("single sign-on", "ended", err)
			r.auditAs(q, session.User, "log out", "", err.Error())
		}
		return user, err == nil
	}
	user, known := r.appliance.Users().Get(session.User)
	if !known || user.Changed.After(session.Begun) {
		r.sessions.End(cookie.Value)
		return access.User{}, false
	}
	return user, true
}

// followed reports whether a page that was opened before asks, to keep itself new.
func followed(q *http.Request) bool { return q.URL.Path == "/events" || q.URL.Query().Has("partial") }

// only lets those in who are logged in and have one of the roles; nil is any role.
func (r *Room) only(roles []access.Role, page http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		user, ok := r.current(q)
		if !ok {
			if q.Method == http.MethodGet && q.Header.Get("Sec-Fetch-Dest") != "empty" {
				http.Redirect(w, q, "/login?to="+url.QueryEscape(q.URL.RequestURI()), http.StatusSeeOther)
				return
			}
			http.Error(w, "your session has ended: log in again", http.StatusUnauthorized)
			return
		}
		q = q.WithContext(context.WithValue(q.Context(), userKey{}, user))
		if roles != nil && !user.Has(roles...) {
			r.audit(q, "refused", q.PathValue("uid"), q.Method+" "+q.Pattern)
			r.fail(w, q, http.StatusForbidden, "your role does not allow this")
			return
		}
		page(w, q)
	})
}

// audit writes an entry; false means that it could not be written, and what it is of must not be shown or done.
func (r *Room) audit(q *http.Request, act, study, detail string) bool {
	return r.auditAs(q, userOf(q).Name, act, study, detail)
}

func (r *Room) auditAs(q *http.Request, user, act, study, detail string) bool {
	const most = 300
	err := r.appliance.Audit().Add(access.Entry{
		Time: time.Now(), User: user[:min(len(user), most)], Address: access.Address(q), Act: act, Study: study[:min(len(study), 64)], Detail: detail[:min(len(detail), most)],
	})
	if err != nil {
		r.log.Error("audit log", "error", err)
	}
	return err == nil
}

// viewed audits a view of a page, or answers that it cannot be.
func (r *Room) viewed(w http.ResponseWriter, q *http.Request, act, study, detail string) bool {
	if r.audit(q, act, study, detail) {
		return true
	}
	r.fail(w, q, http.StatusServiceUnavailable, "the audit log cannot be written: nothing is shown until it can")
	return false
}

// viewedAgain is viewed for a page that keeps itself new: what it asks for by itself is no other view while it shows the same.
func (r *Room) viewedAgain(w http.ResponseWriter, q *http.Request, act, detail, shows string) bool {
	key := userOf(q).Name + " " + act
	if last, _ := r.seen.Load(key); followed(q) && last == shows {
		return true
	}
	if !r.viewed(w, q, act, "", detail) {
		return false
	}
	r.seen.Store(key, shows)
	return true
}
