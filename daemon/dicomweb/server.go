package dicomweb

import (
	"context"
	"encoding/json"
	"errors"
	"image"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"llamaxr/daemon/access"
	"llamaxr/dicomnet/dicomjson"
	"llamaxr/ingest"
	"llamaxr/ingest/atrest"
	"llamaxr/ingest/dicomfile"
	"llamaxr/queue"
	"llamaxr/study"
)

// Path is where the services stand.
const Path = "/dicom-web"

// Server answers DICOMweb requests. Its fields are not changed once it is in use.
type Server struct {
	Users *access.Users
	Audit *access.AuditLog
	// OpenOnLoopback lets requests from this machine in without a token.
	OpenOnLoopback bool
	// Ledger knows the objects that are held.
	Ledger interface {
		View(read func(*queue.Tx) error) error
	}
	// Open opens the file of an object, by the path that the ledger keeps.
	Open func(path string) (*atrest.File, error)
	// Whole holds a file against what was received; one that is not is set aside, with an error.
	Whole func(*queue.Instance) error
	// Receive makes an object durable; its error is an *ingest.StatusError.
	Receive func(in ingest.Incoming, data io.Reader) (study.Header, error)
	// Released is told the studies that a request brought something new of, once it ends.
	Released func(studies []string)
	// Draw decodes the first frame of an object and draws it in 8 bits.
	Draw func(ctx context.Context, object *dicomfile.File) (image.Image, error)
	// Requests is how many are served at once; one more is told to come back.
	Requests int
	// Idle is how long a request may stand still.
	Idle time.Duration
	Log  *slog.Logger

	strangers, callers access.Rate
	running            chan struct{}
}

// Handler returns the services, below Path.
func (s *Server) Handler() http.Handler {
	s.strangers = access.Rate{PerSecond: 1, Burst: 30}    // wrong tokens from one address
	s.callers = access.Rate{PerSecond: 500, Burst: 2_000} // of one machine; a sender may bring one object a request
	s.running = make(chan struct{}, max(s.Requests, 1))
	mux := http.NewServeMux()
	add := func(pattern string, role access.Role, serve func(http.ResponseWriter, *http.Request)) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.Handle(method+" "+Path+path, s.only(role, serve))
	}
	for _, path := range []string{"/studies", "/studies/{study}"} {
		add("POST "+path, access.Sender, s.store)
	}
	for path, level := range map[string]level{
		"/studies": studyLevel, "/series": seriesLevel, "/instances": instanceLevel, "/studies/{study}/series": seriesLevel,
		"/studies/{study}/instances": instanceLevel, "/studies/{study}/series/{series}/instances": instanceLevel,
	} {
		add("GET "+path, access.Reader, s.search(level))
	}
	for _, path := range []string{"/studies/{study}", "/studies/{study}/series/{series}", "/studies/{study}/series/{series}/instances/{instance}"} {
		add("GET "+path, access.Reader, s.retrieve)
		add("GET "+path+"/metadata", access.Reader, s.metadata)
	}
	add("GET /studies/{study}/series/{series}/instances/{instance}/rendered", access.Reader, s.rendered)
	return http.NewCrossOriginProtection().Handler(mux)
}

type userKey struct{}

// user returns who asks.
func user(q *http.Request) access.User {
	u, _ := q.Context().Value(userKey{}).(access.User)
	return u
}

// only lets a machine with a role in, within its bounds.
func (s *Server) only(role access.Role, serve http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if len(q.URL.Path) > maxPath || len(q.URL.RawQuery) > maxQuery {
			http.Error(w, "the address is too long", http.StatusRequestURITooLong)
			return
		}
		if _, err := url.ParseQuery(q.URL.RawQuery); err != nil { // net/http leaves such a key out: a search would find what it is not for
			http.Error(w, "the address holds a parameter that cannot be read", http.StatusBadRequest)
			return
		}
		for _, name := range []string{"study", "series", "instance"} {
			if uid := q.PathValue(name); uid != "" && !dicomfile.ValidUID(uid) {
				http.Error(w, "the "+name+" of the address is no UID", http.StatusBadRequest)
				return
			}
		}
		caller, status, why := s.caller(q)
		switch {
		case status != 0:
			if status == http.StatusUnauthorized {
				h.Set("WWW-Authenticate", `Bearer realm="llamaxr"`)
			}
			http.Error(w, why, status)
			return
		case !caller.Has(role):
			s.audit(q, caller.Name, "refused", q.Method+" "+q.Pattern)
			http.Error(w, "this machine's roles do not allow this", http.StatusForbidden)
			return
		case !s.callers.Allow(caller.Name, time.Now()):
			h.Set("Retry-After", "1")
			http.Error(w, "too many requests", http.StatusTooManyRequests)
			return
		}
		select {
		case s.running <- struct{}{}:
			defer func() { <-s.running }()
		default:
			h.Set("Retry-After", "2")
			http.Error(w, "as many requests as are allowed are being served", http.StatusServiceUnavailable)
			return
		}
		q = q.WithContext(context.WithValue(q.Context(), userKey{}, caller))
		patient := patient{http.NewResponseController(w), s.Idle}
		q.Body = patientReader{http.MaxBytesReader(w, q.Body, maxRequest), patient}
		serve(patientWriter{w, patient}, q)
	})
}

// loopbackUser is who asks from this machine without a token, where that is allowed.
var loopbackUser = access.User{Name: "this machine", Roles: []access.Role{access.Reader, access.Sender}}

// caller returns who asks, or a status and what it means. A request that came through a proxy is not of this machine, whatever its address
// is; nor is one that a page in a browser sent here by another name of this machine.
func (s *Server) caller(q *http.Request) (who access.User, status int, why string) {
	kind, token, _ := strings.Cut(q.Header.Get("Authorization"), " ")
	if token = strings.TrimSpace(token); strings.EqualFold(kind, "Bearer") && token != "" {
		who, err := s.Users.AuthenticateToken(token)
		if err == nil {
			return who, 0, ""
		}
		if !s.strangers.Allow(access.Address(q), time.Now()) {
			return who, http.StatusTooManyRequests, "too many wrong tokens"
		}
		s.audit(q, "", "refused", "a wrong token")
		return who, http.StatusUnauthorized, "the token is not known"
	}
	ip := net.ParseIP(access.Address(q))
	forwarded := q.Header.Get("Forwarded") + q.Header.Get("X-Forwarded-For") + q.Header.Get("Via")
	if s.OpenOnLoopback && ip != nil && ip.IsLoopback() && forwarded == "" && access.KnownHost(q) {
		return loopbackUser, 0, ""
	}
	return access.User{}, http.StatusUnauthorized, "a token is needed: Authorization: Bearer TOKEN; llamaxr user add --machine makes one"
}

// audit writes an entry; false means that it could not be written, and the request must not be answered. Details name no patient.
func (s *Server) audit(q *http.Request, who, act, detail string) bool {
	return s.auditStudy(q, who, act, q.PathValue("study"), detail)
}

func (s *Server) auditStudy(q *http.Request, who, act, study, detail string) bool {
	const most = 300
	err := s.Audit.Add(access.Entry{
		Time: time.Now(), User: who, Address: access.Address(q), Act: "DICOMweb " + act, Study: study, Detail: detail[:min(len(detail), most)],
	})
	if err != nil {
		s.Log.Error("audit log", "error", err)
	}
	return err == nil
}

// audited audits what the caller does, or answers that it cannot be.
func (s *Server) audited(w http.ResponseWriter, q *http.Request, act, detail string) bool {
	if s.audit(q, user(q).Name, act, detail) {
		return true
	}
	http.Error(w, "the audit log cannot be written: nothing is given out until it can", http.StatusServiceUnavailable)
	return false
}

// internal answers an error that is ours.
func (s *Server) internal(w http.ResponseWriter, q *http.Request, err error) {
	if errors.Is(err, context.Canceled) {
		return // the caller has left
	}
	s.Log.Error("DICOMweb", "request", q.Pattern, "error", err)
	status := http.StatusInternalServerError
	if errors.Is(err, queue.ErrClosed) {
		status = http.StatusServiceUnavailable
	}
	http.Error(w, "internal error; the log says more", status)
}

// answer writes a value in the DICOM JSON model.
func (s *Server) answer(w http.ResponseWriter, q *http.Request, status int, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		s.internal(w, q, err)
		return
	}
	w.Header().Set("Content-Type", dicomjson.MediaType)
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

// base is where the caller finds us, as he wrote it.
func base(q *http.Request) string {
	scheme := "http"
	if q.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + q.Host + Path
}
