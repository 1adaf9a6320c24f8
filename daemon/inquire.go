package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"llamaxr/queue"
)

// socketFile is where a running daemon answers questions about its state: the database file is locked while it runs. Only who may
// read the state folder can reach it.
const socketFile = "llamaxr.sock"

// maxAnswer bounds what a question may return.
const maxAnswer = 256 << 20

// ErrNoStudy is returned for a study that the ledger does not know.
var ErrNoStudy = errors.New("daemon: no such study")

// StudyReport is where a study stands and why.
type StudyReport struct {
	queue.Study
	Objects []*queue.Instance `json:"objects"`
	Jobs    []*queue.Job      `json:"jobs,omitempty"`
	Draft   *DraftRecord      `json:"draft,omitempty"`
	// Rejected is what rejection notes said of the study's objects, those that never came too.
	Rejected []*queue.Rejection `json:"rejected,omitempty"`
}

// ledger answers questions from an open database.
type ledger struct {
	db     *queue.DB
	drafts drafts
}

func (l ledger) studies() (out []*queue.Study, err error) {
	err = l.db.View(func(tx *queue.Tx) error {
		return tx.EachStudy(func(s *queue.Study) error { out = append(out, s); return nil })
	})
	return out, err
}

func (l ledger) study(uid string) (*StudyReport, error) {
	report := new(StudyReport)
	err := l.db.View(func(tx *queue.Tx) error {
		s, err := tx.Study(uid)
		if err != nil {
			return err
		}
		if s == nil {
			return fmt.Errorf("%w: %s", ErrNoStudy, uid)
		}
		report.Study = *s
		for _, sop := range s.Instances {
			i, err := tx.Instance(sop)
			if err != nil {
				return err
			}
			report.Objects = append(report.Objects, i)
		}
		if report.Rejected, err = tx.Rejections(uid); err != nil {
			return err
		}
		report.Jobs, err = tx.Jobs(uid)
		return err
	})
	if err != nil {
		return nil, err
	}
	if report.Revision > 0 {
		if record, err := l.drafts.load(uid, report.Revision); err == nil {
			report.Draft = record
		}
	}
	return report, nil
}

func (l ledger) jobs() (out []*queue.Job, err error) {
	err = l.db.View(func(tx *queue.Tx) error {
		out, err = tx.Jobs("")
		return err
	})
	return out, err
}

// answer serves questions on the state folder's socket until ctx is cancelled.
func (a *Appliance) answer(ctx context.Context) error {
	path := filepath.Join(a.cfg().State, socketFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("daemon: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("daemon: state socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		listener.Close()
		return fmt.Errorf("daemon: state socket: %w", err)
	}
	l := ledger{a.db, a.drafts}
	mux := http.NewServeMux()
	reply := func(w http.ResponseWriter, value any, err error) {
		switch {
		case errors.Is(err, ErrNoStudy), errors.Is(err, ErrNoRun):
			http.Error(w, err.Error(), http.StatusNotFound)
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		default:
			_ = json.NewEncoder(w).Encode(value)
		}
	}
	mux.HandleFunc("GET /studies", func(w http.ResponseWriter, _ *http.Request) { out, err := l.studies(); reply(w, out, err) })
	mux.HandleFunc("GET /studies/{uid}", func(w http.ResponseWriter, r *http.Request) {
		out, err := l.study(r.PathValue("uid"))
		reply(w, out, err)
	})
	mux.HandleFunc("GET /jobs", func(w http.ResponseWriter, _ *http.Request) { out, err := l.jobs(); reply(w, out, err) })
	mux.HandleFunc("POST /jobs/resend", func(w http.ResponseWriter, r *http.Request) {
		id := r.URL.Query().Get("id")
		reply(w, "resent", a.db.Update(func(tx *queue.Tx) error { return tx.Resend(id) }))
	})
	a.answerTuning(mux, reply)
	a.answerFetch(mux, reply)
	a.answerUsers(mux, reply)
	mux.HandleFunc("GET /moment", a.answerMoment)
	mux.HandleFunc("GET /condition", func(w http.ResponseWriter, _ *http.Request) { reply(w, a.condition(), nil) })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: httpTimeout}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// serveAnswers logs what keeps the socket from being served; the appliance works without it.
func (a *Appliance) serveAnswers(ctx context.Context, log *slog.Logger) {
	if err := a.answer(ctx); err != nil {
		log.Warn("studies cannot be asked about while running", "error", err)
	}
}

// ask puts a question to the running daemon; running is false when there is none.
func ask(state, method, path string, body, into any) (running bool, err error) {
	data, err := json.Marshal(body)
	if err != nil {
		return false, err
	}
	request, err := http.NewRequest(method, "http://daemon"+path, bytes.NewReader(data))
	if err != nil {
		return false, err
	}
	response, running, err := knock(state, request)
	if err != nil || !running {
		return running, err
	}
	defer response.Body.Close()
	data, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return true, fmt.Errorf("daemon: asking the running daemon: %w", err)
	}
	switch response.StatusCode {
	case http.StatusOK:
		return true, json.Unmarshal(data, into)
	case http.StatusNotFound:
		return true, ErrNoStudy
	}
	return true, errors.New(strings.TrimSpace(string(data)))
}

// knock sends a request to the running daemon; running is false when there is none. The response's body is the caller's to close.
func knock(state string, request *http.Request) (response *http.Response, running bool, err error) {
	socket := filepath.Join(state, socketFile)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: httpTimeout}).DialContext(ctx, "unix", socket)
	}}}
	response, err = client.Do(request)
	switch {
	case err == nil:
		return response, true, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, false, nil
	}
	return nil, true, fmt.Errorf("daemon: asking the running daemon: %w", err)
}

// openStopped opens the database of an appliance that does not run, to be read. None starts while it is open, and that of an older program
// stays one.
func openStopped(state string) (*queue.DB, error) {
	if err := isState(state); err != nil {
		return nil, err
	}
	return queue.OpenReadOnly(filepath.Join(state, databaseFile))
}

// isState refuses a folder that no appliance has worked in: nothing to be found there says nothing.
func isState(folder string) error {
	if _, err := os.Stat(filepath.Join(folder, databaseFile)); err != nil {
		return fmt.Errorf("daemon: %s holds no state of the appliance: %w", folder, err)
	}
	return nil
}

// inquire asks the running daemon, or reads the state itself when none runs.
func inquire[T any](state, path string, read func(ledger) (T, error)) (out T, err error) {
	if running, err := ask(state, http.MethodGet, path, nil, &out); running {
		return out, err
	}
	db, err := openStopped(state)
	if err != nil {
		return out, err
	}
	defer db.Close()
	return read(ledger{db, drafts{root: filepath.Join(state, "drafts")}})
}

// Studies lists the studies of a state folder.
func Studies(state string) ([]*queue.Study, error) {
	return inquire(state, "/studies", ledger.studies)
}

// StudyOf says where one study stands.
func StudyOf(state, uid string) (*StudyReport, error) {
	return inquire(state, "/studies/"+url.PathEscape(uid), func(l ledger) (*StudyReport, error) { return l.study(uid) })
}

// Jobs lists what waits and what was given up.
func Jobs(state string) ([]*queue.Job, error) { return inquire(state, "/jobs", ledger.jobs) }

// Resend gives a dead letter another round.
func Resend(state, id string) error {
	var said string
	if running, err := ask(state, http.MethodPost, "/jobs/resend?id="+url.QueryEscape(id), nil, &said); running {
		return err
	}
	if err := isState(state); err != nil {
		return err
	}
	db, err := queue.Open(filepath.Join(state, databaseFile), queue.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Update(func(tx *queue.Tx) error { return tx.Resend(id) })
}

// DraftFolder is where the documents of a revision lie.
func DraftFolder(state, uid string, revision int) string {
	return drafts{root: filepath.Join(state, "drafts")}.folder(uid, revision)
}
