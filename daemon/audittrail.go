package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"llamaxr/daemon/access"
	"llamaxr/daemon/auditmessage"
	"llamaxr/daemon/chain"
	"llamaxr/daemon/config"
	"llamaxr/daemon/worklist"
	"llamaxr/queue"
)

// auditCursor, in the state folder, holds how far the audit log has been sent.
const auditCursor = "audit.syslog"

// Times of the audit trail.
const (
	trailInterval = time.Second      // between looks at the log
	trailRetry    = 10 * time.Second // after a server that did not take messages
	trailLast     = 3 * time.Second  // for what is sent while stopping; the rest is sent after the next start
)

// auditTrail sends the audit log's entries to a syslog server, each at least once over TLS, in their order. nil sends nothing.
type auditTrail struct {
	a      *Appliance
	sender *auditmessage.Sender
	offset int64 // of the first entry that is not known to have arrived
}

// startAuditTrail goes on where the last run came to, or begins with what happens from now on.
func (a *Appliance) startAuditTrail() *auditTrail {
	cfg := a.cfg()
	if cfg.Audit.Syslog == "" {
		return nil
	}
	t := &auditTrail{a: a, sender: &auditmessage.Sender{Address: cfg.Audit.Syslog, Host: a.device.SerialNumber}}
	if t.sender.Host == "" {
		t.sender.Host = "-"
	}
	if cfg.Audit.ByTLS() {
		settings := cfg.Audit.TLS
		settings.On = true
		t.sender.DialTLS = settings.Credentials(cfg.TLS).DialTLS
	}
	var err error
	if t.offset, err = a.readAuditCursor(); err != nil {
		a.log.Warn("audit trail: begins with what happens from now on", "reason", err)
		t.offset = a.room.audit.Log().End()
		t.keep()
	}
	a.auditAct(access.Entry{Act: auditmessage.ActStarted})
	return t
}

func (a *Appliance) readAuditCursor() (offset int64, err error) {
	data, err := os.ReadFile(filepath.Join(a.cfg().State, auditCursor))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, errors.New("nothing was sent before")
	}
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(data, &offset); err != nil {
		return 0, fmt.Errorf("%s: %w", auditCursor, err)
	}
	if end := a.room.audit.Log().End(); offset < 0 || offset > end {
		return 0, fmt.Errorf("%s says %d, the log has %d bytes", auditCursor, offset, end)
	}
	return offset, nil
}

// keep writes down how far we are. Where that fails, messages are sent again after a restart.
func (t *auditTrail) keep() {
	if err := renameio.WriteFile(filepath.Join(t.a.cfg().State, auditCursor), mustJSON(t.offset), 0o600); err != nil {
		t.a.log.Error("audit trail: keeping how far it is", "error", err)
	}
}

func (t *auditTrail) run(ctx context.Context) {
	if t == nil {
		return
	}
	for {
		wait := trailInterval
		if err := t.send(ctx); err != nil && ctx.Err() == nil {
			t.a.log.Error("audit trail: messages wait", "error", err)
			wait = trailRetry
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// stop tells that the appliance stops.
func (t *auditTrail) stop() {
	if t == nil {
		return
	}
	t.a.auditAct(access.Entry{Act: auditmessage.ActStopped})
	ctx, cancel := context.WithTimeout(context.Background(), trailLast)
	defer cancel()
	if err := t.send(ctx); err != nil {
		t.a.log.Warn("audit trail: the last messages wait for the next start", "error", err)
	}
}

// send sends all that waits.
func (t *auditTrail) send(ctx context.Context) error {
	for {
		lines, err := t.a.room.audit.Log().After(t.offset)
		if err != nil || len(lines) == 0 {
			return err
		}
		messages := t.messages(lines)
		if len(messages) > 0 {
			if err := t.sender.Send(ctx, messages); err != nil {
				return err
			}
		}
		t.offset = lines[len(lines)-1].End
		t.keep()
	}
}

// messages are those of some lines; what cannot be one is logged and passed over, so that it does not stop the rest.
func (t *auditTrail) messages(lines []chain.Line) (messages []auditmessage.Message) {
	for _, line := range lines {
		var e access.Entry
		if err := json.Unmarshal(line.Data, &e); err != nil {
			t.a.log.Error("audit trail: an entry that cannot be read", "end", line.End, "error", err)
			continue
		}
		m, ok := auditmessage.Of(e, t.a.cfg().AETitle, t.a.patientOf(e.Study))
		if !ok {
			continue
		}
		if _, err := t.sender.Frame(m); err != nil {
			t.a.log.Error("audit trail: an entry that cannot be sent", "end", line.End, "error", err)
			continue
		}
		messages = append(messages, m)
	}
	return messages
}

// patientOf is whose study it is, as the worklist shows it; the zero value when it is not here.
func (a *Appliance) patientOf(uid string) (patient auditmessage.Patient) {
	if uid == "" {
		return patient
	}
	err := a.db.View(func(tx *queue.Tx) error {
		s, err := tx.StudyHead(uid)
		if err != nil || s == nil {
			return err
		}
		h, err := worklist.Header(tx, uid, s)
		patient = auditmessage.Patient{ID: h.PatientID, Name: h.PatientName}
		return err
	})
	if err != nil {
		a.log.Error("audit trail: looking for a study's patient", "study", uid, "error", err)
	}
	return patient
}

// auditAct enters an act of the appliance itself into the audit log.
func (a *Appliance) auditAct(e access.Entry) {
	e.Time = time.Now()
	if err := a.room.audit.Add(e); err != nil {
		a.log.Error("audit log", "error", err)
	}
}

// auditReceipt enters that an association brought objects of a study.
func (s *session) auditReceipt(uid string, released bool) {
	if s.a.cfg().Audit.Syslog == "" {
		return
	}
	host, _, _ := net.SplitHostPort(s.info.RemoteAddr)
	s.a.auditAct(access.Entry{Act: auditmessage.ActReceived, User: s.info.CallingAETitle, Address: host, Study: uid, Detail: outcome(!released)})
}

// auditRemoval enters that retention removed a study.
func (a *Appliance) auditRemoval(uid string) {
	if a.cfg().Audit.Syslog != "" {
		a.auditAct(access.Entry{Act: auditmessage.ActRemoved, Study: uid})
	}
}

// strangerRate bounds the entries of refused callers: each costs a write that is synced, and whoever knocks chooses how often.
func strangerRate() *access.Rate { return &access.Rate{PerSecond: 0.2, Burst: 60} }

// auditStranger enters that an association was refused for who calls.
func (a *Appliance) auditStranger(calling, remote string) {
	host, _, _ := net.SplitHostPort(remote)
	if a.cfg().Audit.Syslog != "" && a.strangers.Allow("", time.Now()) {
		a.auditAct(access.Entry{Act: auditmessage.ActStranger, User: calling, Address: host, Detail: auditmessage.Failed})
	}
}

// auditSetting enters that what the appliance works by was changed.
func (a *Appliance) auditSetting(act, detail string) {
	if a.cfg().Audit.Syslog != "" {
		a.auditAct(access.Entry{Act: act, Detail: detail})
	}
}

// auditSending enters that documents of a study begin to be sent.
func (a *Appliance) auditSending(uid string, to config.Destination) {
	if a.cfg().Audit.Syslog != "" {
		a.auditAct(access.Entry{Act: auditmessage.ActSending, User: to.String(), Study: uid})
	}
}

// auditDelivery enters that documents of a study were sent.
func (a *Appliance) auditDelivery(uid string, to config.Destination, failed bool) {
	if a.cfg().Audit.Syslog != "" {
		a.auditAct(access.Entry{Act: auditmessage.ActSent, User: to.String(), Study: uid, Detail: outcome(failed)})
	}
}

// outcome is the detail of an act of ours.
func outcome(failed bool) string {
	if failed {
		return auditmessage.Failed
	}
	return ""
}
