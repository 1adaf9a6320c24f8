package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"llamaxr/daemon/access"
	"llamaxr/daemon/chain"
	"llamaxr/daemon/config"
	"llamaxr/daemon/dicomweb"
	"llamaxr/daemon/signon"
	"llamaxr/daemon/worklist"
	"llamaxr/dicomnet"
	"llamaxr/finetune/tune"
	"llamaxr/inference/models"
	"llamaxr/ingest/pixel"
	"llamaxr/ingest/spool"
	"llamaxr/queue"
	"llamaxr/study"
)

// Files of the reading room in the state folder.
const (
	usersFile = "users.json"
	auditFile = "audit.log"
)

// room is what the reading room adds to the appliance.
type room struct {
	users *access.Users
	audit *access.AuditLog
	list  *worklist.List
	// signOn is the site's OpenID provider; nil without one.
	signOn *signon.Provider
}

func (a *Appliance) openRoom() error {
	var err error
	if a.room.users, err = access.OpenUsers(filepath.Join(a.cfg().State, usersFile)); err != nil {
		return err
	}
	if a.room.audit, err = access.OpenAuditLog(filepath.Join(a.cfg().State, auditFile)); err != nil {
		return err
	}
	if a.cfg().OIDC.On() {
		if a.room.signOn, err = signon.New(a.cfg().OIDC, a.cfg().HTTPAddress); err != nil {
			return err
		}
	}
	if a.record, err = chain.Open(filepath.Join(a.cfg().State, recordLog), maxRecordLine); err != nil {
		return err
	}
	a.room.list = worklist.New(a.db, a.cfg().CriticalFindings())
	return nil
}

// followStudies keeps the worklist; without it the page says what it knows and the appliance works on.
func (a *Appliance) followStudies(ctx context.Context) {
	if err := a.room.list.Run(ctx); err != nil && !isShutdown(err) {
		a.log.Error("the worklist stands still", "error", err)
	}
}

// Users are who may log in.
func (a *Appliance) Users() *access.Users { return a.room.users }

// Audit is the log of views and acts.
func (a *Appliance) Audit() *access.AuditLog { return a.room.audit }

// SignOn is the OpenID provider by which people log in; nil without one.
func (a *Appliance) SignOn() *signon.Provider { return a.room.signOn }

// Worklist is the list of studies.
func (a *Appliance) Worklist() *worklist.List { return a.room.list }

// Config is what the appliance was told.
func (a *Appliance) Config() config.Config { return *a.cfg() }

// Status says whether the appliance works and what waits.
func (a *Appliance) Status() Status { return a.status() }

// Study says where one study stands.
func (a *Appliance) Study(uid string) (*StudyReport, error) { return ledger{a.db, a.drafts}.study(uid) }

// Draft returns the record of a revision's draft.
func (a *Appliance) Draft(uid string, revision int) (*DraftRecord, error) {
	return a.drafts.load(uid, revision)
}

// Values decodes an object of a study at full depth: one of its own, or one of another study that its draft reads.
func (a *Appliance) Values(ctx context.Context, uid, sopInstanceUID string) (*pixel.Values, error) {
	var instance *queue.Instance
	var s *queue.Study
	err := a.db.View(func(tx *queue.Tx) (err error) {
		if s, err = tx.Study(uid); err == nil {
			instance, err = tx.Instance(sopInstanceUID)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if s == nil || instance == nil {
		return nil, ErrNoStudy
	}
	if read := s.Pair; instance.Header.StudyInstanceUID != uid && (read == nil || read.Frontal != sopInstanceUID && read.Lateral != sopInstanceUID) {
		return nil, ErrNoStudy
	}
	file, err := a.picture(a.spool.Path(instance.Path))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	frame, err := pixel.Decode(ctx, file)
	if err != nil {
		return nil, err
	}
	return pixel.FrameValues(file, frame)
}

// Jobs lists what waits and what was given up.
func (a *Appliance) Jobs() ([]*queue.Job, error) { return ledger{a.db, a.drafts}.jobs() }

// Resend gives a dead letter another round of attempts.
func (a *Appliance) Resend(id string) error {
	return a.db.Update(func(tx *queue.Tx) error { return tx.Resend(id) })
}

// Corrections lists what is kept for fine-tuning.
func (a *Appliance) Corrections() (CorrectionList, error) {
	return ledger{a.db, a.drafts}.corrections()
}

// TuningRuns lists the fine-tuning runs, oldest first.
func (a *Appliance) TuningRuns() ([]*tune.Record, error) { return a.tuningRuns() }

// StopTuning ends the run under way and returns its identifier.
func (a *Appliance) StopTuning() (string, error) {
	a.tuner.mu.Lock()
	id, stop := a.tuner.running, a.tuner.stop
	a.tuner.mu.Unlock()
	if id == "" {
		return "", ErrNoRun
	}
	stop()
	return id, nil
}

// Models are the models in use.
func (a *Appliance) Models() []study.ModelCard { return a.reader.Cards() }

// RollBackAdapter goes back to the adapter that was in use before the present one and returns its name.
func (a *Appliance) RollBackAdapter() (string, error) {
	a.adapting.Lock()
	defer a.adapting.Unlock()
	return a.useAdapter((*models.Store).UsePreviousAdapter)
}

// echoTime bounds an echo test.
const echoTime = 10 * time.Second

// Echo asks a destination or the archive whether it is there, by C-ECHO or by a search, and returns how long it took.
func (a *Appliance) Echo(ctx context.Context, node string) (time.Duration, error) {
	to, err := a.destination(node)
	if archive := a.cfg().Archive; err != nil && archive.On() && archive.Node().String() == node {
		to, err = archive.Node(), nil
	}
	if err != nil {
		return 0, err
	}
	if to.STOW != "" {
		return EchoWeb(ctx, a.web(to))
	}
	return Echo(ctx, a.client(to.AETitle, to.TLS), to.Address)
}

// EchoWeb asks a DICOMweb service whether it is there, by a search, and returns how long it took.
func EchoWeb(ctx context.Context, client *dicomweb.Client) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, echoTime)
	defer cancel()
	started := time.Now()
	err := client.Echo(ctx)
	return time.Since(started), err
}

// Echo asks a peer whether it is there (C-ECHO) and returns how long it took.
func Echo(ctx context.Context, client dicomnet.Client, address string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, echoTime)
	defer cancel()
	started := time.Now()
	association, err := client.Dial(ctx, address, []dicomnet.ProposedContext{
		{AbstractSyntax: dicomnet.Verification, TransferSyntaxes: []string{dicomnet.ImplicitVRLittleEndian}},
	})
	if err != nil {
		return 0, err
	}
	if err := association.Echo(ctx); err != nil {
		return 0, err
	}
	return time.Since(started), association.Release()
}

// UserChange is what is asked about users.
type UserChange struct {
	access.User
	Secret string `json:"secret,omitempty"`
}

// answerUsers adds the questions and commands about users to the state's socket.
func (a *Appliance) answerUsers(mux *http.ServeMux, reply func(http.ResponseWriter, any, error)) {
	mux.HandleFunc("GET /users", func(w http.ResponseWriter, _ *http.Request) { reply(w, a.room.users.List(), nil) })
	mux.HandleFunc("POST /users/{act}", func(w http.ResponseWriter, r *http.Request) {
		var change UserChange
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxUserRequest)).Decode(&change); err != nil {
			reply(w, nil, fmt.Errorf("daemon: users: %w", err))
			return
		}
		said, err := changeUsers(a.room.users, a.room.audit, r.PathValue("act"), change, "state socket")
		reply(w, said, err)
	})
}

const maxUserRequest = 64 << 10

// changeUsers enters a change into the audit log and makes it, and enters too when it was not made. It returns the token that it made, if it made one.
func changeUsers(users *access.Users, audit *access.AuditLog, act string, change UserChange, from string) (token string, err error) {
	const most = 300
	entry := access.Entry{Time: time.Now(), Act: "user " + act, Detail: change.Name[:min(len(change.Name), most)], Address: from}
	if err := audit.Add(entry); err != nil {
		return "", err
	}
	token, err = changeUser(users, act, change)
	if err != nil {
		said := entry.Detail + ": " + err.Error()
		entry.Act, entry.Detail = entry.Act+" failed", said[:min(len(said), 2*most)]
		err = errors.Join(err, audit.Add(entry))
	}
	return token, err
}

func changeUser(users *access.Users, act string, change UserChange) (token string, err error) {
	switch act {
	case "add":
		return "", users.Add(change.User, change.Secret)
	case "add machine":
		return users.AddMachine(change.User)
	case "passwd":
		return "", users.SetPassword(change.Name, change.Secret)
	case "token":
		return users.SetToken(change.Name)
	case "remove":
		return "", users.Remove(change.Name)
	}
	return "", fmt.Errorf("daemon: users cannot %s", act)
}

// ChangeUsers adds a user, sets a password or removes a user ("add", "passwd", "remove"), in the running daemon or in the state itself. A
// machine ("add machine", "token") is given a token, which is returned.
func ChangeUsers(state, act string, change UserChange) (token string, err error) {
	path := "/users/" + url.PathEscape(act)
	if running, err := ask(state, http.MethodPost, path, change, &token); running {
		return token, err
	}
	db, err := queue.Open(filepath.Join(state, databaseFile), queue.Options{}) // an appliance that starts meanwhile would keep the users as they were
	if err != nil {
		if running, asked := ask(state, http.MethodPost, path, change, &token); running {
			return token, asked // it has started
		}
		return "", err
	}
	defer db.Close()
	users, err := access.OpenUsers(filepath.Join(state, usersFile))
	if err != nil {
		return "", err
	}
	audit, err := access.OpenAuditLog(filepath.Join(state, auditFile))
	if err != nil {
		return "", err
	}
	defer audit.Close()
	return changeUsers(users, audit, act, change, "state folder")
}

// UserList lists the users of a state, without their passwords.
func UserList(state string) (out []access.User, err error) {
	if running, err := ask(state, http.MethodGet, "/users", nil, &out); running {
		return out, err
	}
	users, err := access.OpenUsers(filepath.Join(state, usersFile))
	if err != nil {
		return nil, err
	}
	return users.List(), nil
}

// ReadAudit visits the audit log of a state, oldest first, returns its head and fails where its chain is broken.
func ReadAudit(state string, visit func(access.Entry)) (chain.Head, error) {
	if err := isState(state); err != nil {
		return chain.Head{}, err
	}
	return access.ReadAudit(filepath.Join(state, auditFile), visit)
}

// Storage is the free disk space of the state folder and the size of its database, in bytes; -1 where it cannot be told.
func (a *Appliance) Storage() (free, database int64) {
	free, database = -1, -1
	if n, err := (spool.OS{}).Free(a.cfg().State); err == nil {
		free = n
	}
	if info, err := os.Stat(filepath.Join(a.cfg().State, databaseFile)); err == nil {
		database = info.Size()
	}
	return free, database
}
