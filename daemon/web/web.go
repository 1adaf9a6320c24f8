package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"llamaxr/daemon"
	"llamaxr/daemon/access"
	"llamaxr/daemon/config"
	"llamaxr/daemon/signon"
	"llamaxr/daemon/worklist"
	"llamaxr/queue"
	"llamaxr/study"
)

//go:embed assets templates
var files embed.FS

// Room serves the pages.
type Room struct {
	appliance *daemon.Appliance
	log       *slog.Logger
	pages     map[string]*template.Template
	assets    map[string]asset
	sum       string // of all assets: their addresses carry it, so that they may be kept for ever
	sessions  access.Sessions
	lockout   access.Lockout
	logins    access.Rate
	requests  access.Rate
	present   presence
	seen      sync.Map // what the newest page shows that keeps itself new, by user and act
	pictures  answers  // images by study and SOP Instance UID
	lists     answers  // parts of the worklist by what it shows and the number of its change
	handler   http.Handler
}

// asset is an embedded file.
type asset struct {
	data []byte
	kind string
}

// New prepares the pages.
func New(a *daemon.Appliance, log *slog.Logger) (*Room, error) {
	r := &Room{
		appliance: a, log: log, pages: map[string]*template.Template{}, assets: map[string]asset{},
		logins: access.Rate{PerSecond: 0.5, Burst: 20}, requests: access.Rate{PerSecond: 40, Burst: 200},
	}
	if err := r.readAssets(); err != nil {
		return nil, err
	}
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	for _, name := range names {
		base := path.Base(name)
		if base == "frame.html" {
			continue
		}
		page, err := template.New(base).Funcs(r.functions()).ParseFS(files, "templates/frame.html", name)
		if err != nil {
			return nil, fmt.Errorf("web: page %s: %w", base, err)
		}
		r.pages[strings.TrimSuffix(base, ".html")] = page
	}
	r.routes()
	return r, nil
}

// ServeHTTP implements http.Handler.
func (r *Room) ServeHTTP(w http.ResponseWriter, q *http.Request) { r.handler.ServeHTTP(w, q) }

func (r *Room) routes() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /assets/{sum}/{name}", r.asset)
	mux.HandleFunc("GET /login", r.loginPage)
	mux.HandleFunc("POST /login", r.login)
	mux.HandleFunc("GET /login/oidc", r.signOn)
	mux.HandleFunc("GET "+signon.Back, r.signedOn)
	mux.HandleFunc("POST /logout", r.logout)
	readers, signers := []access.Role{access.Reader, access.Signer}, []access.Role{access.Signer}
	mux.Handle("GET /{$}", r.only(nil, r.worklist))
	mux.Handle("GET /events", r.only(readers, r.events))
	mux.Handle("GET /studies/{uid}", r.only(readers, r.study))
	mux.Handle("GET /studies/{uid}/next", r.only(readers, r.next))
	mux.Handle("GET /studies/{uid}/images/{sop}", r.only(readers, r.image))
	mux.Handle("PUT /studies/{uid}/reading", r.only(readers, r.save))
	mux.Handle("POST /studies/{uid}/sign", r.only(signers, r.sign))
	mux.Handle("POST /studies/{uid}/reject", r.only(signers, r.reject))
	mux.Handle("POST /studies/{uid}/reopen", r.only(signers, r.reopen))
	mux.Handle("POST /studies/{uid}/acknowledge", r.only(readers, r.acknowledge))
	mux.Handle("POST /studies/{uid}/redraft", r.only(readers, r.redraft))
	mux.Handle("GET /learning", r.only(nil, r.learning))
	mux.Handle("POST /learning/{act}", r.only([]access.Role{access.Trainer}, r.train))
	admins := []access.Role{access.Admin}
	mux.Handle("GET /admin", r.only(admins, r.admin))
	mux.Handle("POST /admin/{act}", r.only(admins, r.administer))
	r.handler = r.protect(mux)
}

func (r *Room) readAssets() error {
	digest := sha256.New()
	err := fs.WalkDir(files, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(digest, "%s %d %s", name, len(data), data)
		r.assets[path.Base(name)] = asset{data, kinds[path.Ext(name)]}
		return nil
	})
	r.sum = hex.EncodeToString(digest.Sum(nil)[:8])
	return err
}

// kinds are told here: what a system's own tables say differs.
var kinds = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}

func (r *Room) asset(w http.ResponseWriter, q *http.Request) {
	a, ok := r.assets[q.PathValue("name")]
	if !ok || q.PathValue("sum") != r.sum {
		http.NotFound(w, q)
		return
	}
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(a.data)
}

// frame is what every page has around its own content.
type frame struct {
	Title   string
	Page    string // name of the template: marks where we are
	User    access.User
	Starter bool
	Content any
}

// show renders a page whole before the first byte leaves, so that an error is an error page.
func (r *Room) show(w http.ResponseWriter, status int, f frame) {
	var buf bytes.Buffer
	if err := r.pages[f.Page].ExecuteTemplate(&buf, "frame", f); err != nil {
		r.log.Error("rendering a page", "page", f.Page, "error", err)
		http.Error(w, "the page cannot be shown; the log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes())
}

// fail answers with an error page, or with plain text where a script asked.
func (r *Room) fail(w http.ResponseWriter, q *http.Request, status int, message string) {
	if q.Method != http.MethodGet || q.Header.Get("Sec-Fetch-Dest") == "empty" {
		http.Error(w, message, status)
		return
	}
	r.show(w, status, frame{Title: http.StatusText(status), Page: "error", User: userOf(q), Content: message})
}

func (r *Room) functions() template.FuncMap {
	return template.FuncMap{
		"asset": func(name string) (string, error) {
			if _, ok := r.assets[name]; !ok {
				return "", fmt.Errorf("web: no asset %s", name)
			}
			return "/assets/" + r.sum + "/" + name, nil
		},
		"json": func(v any) (template.JS, error) {
			text, err := json.Marshal(v) // escapes <, > and & so that it cannot leave its element
			return template.JS(text), err
		},
		"starter": func() string { return study.StarterWarning },
		"unread":  func() string { return study.DraftWarning },
		"person":  personName,
		"signer":  func(s queue.Signature) string { return access.User{Name: s.User, FullName: s.Name}.DisplayName() },
		"date":    study.PlainDate,
		"clock":   func(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") },
		"machine": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"score":   study.ShownScore,
		"can":     func(u access.User, roles ...string) bool { return may(u, roles...) },
		"slug":    slug,
		"inc":     func(n int) int { return n + 1 },
		"percent": func(part, all int) int { return 100 * part / max(all, 1) },
		"bytes":   byteSize,
		"bar":     func(v float32) string { return fmt.Sprintf("%.1f", 100*max(v, 0)) },
		"sections": func() []study.Section {
			return []study.Section{study.SectionFindings, study.SectionImpression}
		},
		"title":       func(s study.Section) string { return strings.ToUpper(string(s[:1])) + string(s[1:]) },
		"statusClass": func(s worklist.Status) string { return strings.ReplaceAll(string(s), " ", "-") },
		"receivers":   func() []string { return receivers(r.appliance.Config()) },
		"roles": func(u access.User) string {
			var out []string
			for _, role := range u.Roles {
				out = append(out, string(role))
			}
			return strings.Join(out, ", ")
		},
	}
}

// receivers are all to whom a signed report goes.
func receivers(cfg config.Config) (out []string) {
	for _, d := range cfg.Destinations {
		out = append(out, d.String())
	}
	signed := string(study.ResultSigned)
	for _, d := range cfg.HL7.Destinations {
		if config.Sends(d.Send, signed) {
			out = append(out, d.Name+" (HL7)")
		}
	}
	for _, f := range cfg.FHIR {
		if config.Sends(f.Send, signed) {
			out = append(out, f.Name+" (FHIR)")
		}
	}
	for _, w := range cfg.Webhooks {
		if config.Sends(w.Events, signed) {
			out = append(out, w.Name+" (webhook)")
		}
	}
	return out
}

func may(u access.User, roles ...string) bool {
	for _, role := range roles {
		if u.Has(access.Role(role)) {
			return true
		}
	}
	return false
}

// personName shows a DICOM person name as lists do: Doe, Jane; a name that is written in several ways (PS3.5 6.2.1.1) with the others after the
// first: Yamada, Tarou (山田, 太郎).
func personName(pn string) string {
	var forms []string
	for group := range strings.SplitSeq(pn, "=") {
		part := append(strings.Split(group, "^"), "", "", "")
		name := strings.TrimSpace(part[0])
		if given := strings.TrimSpace(part[1] + " " + part[2]); given != "" {
			name += ", " + given
		}
		if name != "" {
			forms = append(forms, name)
		}
	}
	switch len(forms) {
	case 0:
		return "(no name)"
	case 1:
		return forms[0]
	}
	return forms[0] + " (" + strings.Join(forms[1:], "; ") + ")"
}

// slug makes a name of a finding fit for an attribute.
func slug(name fmt.Stringer) string {
	return strings.ReplaceAll(strings.ToLower(name.String()), " ", "-")
}

func byteSize(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, prefix := float64(n)/unit, 0
	for value >= unit && prefix < 3 {
		value, prefix = value/unit, prefix+1
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGT"[prefix])
}
