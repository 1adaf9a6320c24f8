package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"llamaxr/daemon/config"
	"llamaxr/daemon/metrics"
	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/spool"
	"llamaxr/internal/peertest"
	"llamaxr/queue"
	"llamaxr/reporting/sr"
	"llamaxr/study"

	"go.etcd.io/bbolt"
)

// TestLostJobsAreAskedForAgain: whatever a study waits for has a job, though the record of the job was lost; what is over has none.
func TestLostJobsAreAskedForAgain(t *testing.T) {
	const uid, to = "2.25.1", "PACS@127.0.0.1:1"
	signature := queue.Signature{Number: 1, Revision: 1, Findings: "Clear.", Impression: "Normal."}
	made, arrived := signature, signature
	made.SOPInstanceUID, arrived.SOPInstanceUID, arrived.Delivered = "2.25.5", "2.25.5", map[string]time.Time{to: time.Now()}
	reading := func(s queue.Signature) func(*queue.Tx) error {
		return func(tx *queue.Tx) error {
			return tx.PutReading(&queue.Reading{StudyInstanceUID: uid, Revision: 1, State: queue.ReadingSigned, Signatures: []queue.Signature{s}})
		}
	}
	failed := func(tx *queue.Tx) error {
		s, err := tx.Study(uid)
		if err != nil {
			return err
		}
		s.State, s.Reason = queue.Failed, "deliver: no"
		return tx.PutStudy(s)
	}
	oneOfTwo := func(tx *queue.Tx) error {
		s, err := tx.Study(uid)
		if err != nil {
			return err
		}
		s.State, s.Deliveries[to].Revision = queue.Failed, 0
		report := reportJob(uid, 1)
		return errors.Join(tx.PutStudy(s), tx.Enqueue(report), tx.End(report.ID), tx.Enqueue(queue.Job{ID: "x", Kind: "x", Study: uid}))
	}
	for name, c := range map[string]struct {
		happens func(*queue.Tx) error
		want    string // kind of the job
	}{
		"nothing":          {func(*queue.Tx) error { return nil }, ""},
		"a signature":      {reading(signature), kindSign},
		"a signed report":  {reading(made), kindDeliverSigned},
		"one that arrived": {reading(arrived), ""},
		"a dead letter":    {failed, kindReport},
		"the delivery to one destination where that to another was given up": {oneOfTwo, kindDeliver},
		"one that is still there": {func(tx *queue.Tx) error {
			return errors.Join(failed(tx), tx.Enqueue(queue.Job{ID: "x", Kind: "x", Study: uid}))
		}, ""},
		"the withdrawal of what rests on a rejected image": {func(tx *queue.Tx) error {
			return tx.Reject(&queue.Rejection{Object: study.ObjectReference{StudyInstanceUID: uid, SOPInstanceUID: uid + ".1"}, Title: study.RejectedSafety, Note: "2.25.8"})
		}, kindWithdraw},
	} {
		t.Run(name, func(t *testing.T) {
			a := withDrafts(t, 1, &queue.Study{UID: uid, Deliveries: map[string]*queue.Delivery{to: {Revision: 1}}})
			err := a.db.Update(func(tx *queue.Tx) error {
				i, err := tx.Instance(uid + ".1")
				if err != nil {
					return err
				}
				i.Examined = new(queue.Examination)
				return errors.Join(tx.PutInstance(i), c.happens(tx))
			})
			if err != nil {
				t.Fatal(err)
			}
			var due []queue.Job
			if err := a.db.View(func(tx *queue.Tx) (err error) { due, err = a.due(tx, uid); return err }); err != nil {
				t.Fatal(err)
			}
			if got := len(due); got > 1 || (got == 1) != (c.want != "") || got == 1 && due[0].Kind != c.want {
				t.Errorf("due is %+v, want %q", due, c.want)
			}
		})
	}
}

// TestDamagedJobsAreMadeAgain: what the records of jobs say that go bad is asked for again: other systems are told what they were to be told, an open alert is
// escalated, a peer hears what it asked, and the files of a removed study are deleted; what was done is not.
func TestDamagedJobsAreMadeAgain(t *testing.T) {
	const uid, removed, asked, told = "1.2.3", "1.2.4", "1.2.5", "1.2.6"
	k := newKeeper(t, config.Retention{KeepDays: 30})
	all := func(string) bool { return true }
	k.outlets = []outlet{
		{kind: kindHL7, name: "RIS", results: true, wants: resultEvent},
		{kind: kindWebhook, name: "a/b", wants: all},
		{kind: kindMail, name: "x@y", wants: func(e string) bool { return e == config.EventAlert || e == config.EventEscalated }},
	}
	cfg := k.Config()
	cfg.Escalation = config.Escalation{After: time.Hour, Times: 2}
	k.settings.Store(&cfg)
	k.delivered(removed)
	k.wait(31)
	k.sweep()
	k.delivered(uid)
	k.study(uid, func(tx *queue.Tx, s *queue.Study) error {
		alert := &queue.Alert{Number: 1, Revision: 1, Raised: tx.Now()}
		s.Alerts = []*queue.Alert{alert}
		signature := queue.Signature{Number: 1, Revision: 1, SOPInstanceUID: "1.2.9", Delivered: map[string]time.Time{"PACS@pacs:104": tx.Now()}}
		done := announcement{Event: string(study.ResultDraft), Revision: 1}
		return errors.Join(
			k.announce(tx, s, done), tx.End(k.outlets[0].job(uid, done)), k.announce(tx, s, announcementOf(signature)),
			k.announce(tx, s, announcement{Event: config.EventAlert, Revision: 1, Number: 1}), k.scheduleEscalation(tx, s, alert),
			tx.PutReading(&queue.Reading{StudyInstanceUID: uid, Revision: 1, State: queue.ReadingSigned, Signatures: []queue.Signature{signature}}),
			tx.PutPromise(asked, &queue.Promise{TransactionUID: asked}), tx.Enqueue(promiseJob(asked)),
			tx.PutPromise(told, &queue.Promise{TransactionUID: told, Reported: tx.Now()}),
		)
	})
	jobs := func() (ids []string) {
		t.Helper()
		all, err := k.Jobs()
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range all {
			ids = append(ids, j.ID)
		}
		slices.Sort(ids)
		return ids
	}
	want := jobs()
	if err := k.db.Close(); err != nil {
		t.Fatal(err)
	}
	bolt, err := bbolt.Open(filepath.Join(k.state, databaseFile), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = bolt.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("jobs"))
		for _, id := range want {
			raw := bytes.Clone(b.Get([]byte(id)))
			raw[len(raw)-1] ^= 1
			if err := b.Put([]byte(id), raw); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, bolt.Close()); err != nil {
		t.Fatal(err)
	}
	k.start()
	if got := jobs(); len(want) != 8 || !slices.Equal(got, want) {
		t.Errorf("jobs are\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestFsckLeavesTheChoiceToTheSite: an image that only some sites read re-opens its study when it is taken in: what the appliance is configured to read, fsck
// does not know.
func TestFsckLeavesTheChoiceToTheSite(t *testing.T) {
	image, err := os.ReadFile(peertest.SharedData(t, "dicom/radiographs/RG1_JLSN.dcm"))
	if err != nil {
		t.Fatal(err)
	}
	image = bytes.Replace(image, []byte("19400305"), []byte("19900305"), 1) // the patient is a child
	file, err := dicomfile.Read(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	state, uid := t.TempDir(), file.Header.StudyInstanceUID
	change := func(apply func(*queue.Tx) error) {
		t.Helper()
		db, err := queue.Open(filepath.Join(state, databaseFile), queue.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Update(apply), db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	change(func(tx *queue.Tx) error {
		return tx.PutStudy(&queue.Study{UID: uid, State: queue.Delivered, Revision: 1})
	})
	objects := filepath.Join(state, "objects", "00")
	if err := errors.Join(os.MkdirAll(objects, 0o700), os.WriteFile(filepath.Join(objects, "lost.dcm"), image, 0o600)); err != nil {
		t.Fatal(err)
	}
	if report, err := Fsck(state, true, nil, slog.New(slog.DiscardHandler)); err != nil || !report.Sound() {
		t.Fatalf("%v: %+v", err, report)
	}
	change(func(tx *queue.Tx) error {
		s, err := tx.Study(uid)
		if err == nil && (s.State != queue.Receiving || len(s.Instances) != 1 || len(s.Drafted) > 0) {
			t.Errorf("the study is %s with %d images, drafted of %d", s.State, len(s.Instances), len(s.Drafted))
		}
		return err
	})
}

// withSigned is withDrafts with a signed report and a withdrawal of the first revision, which go to a destination.
func withSigned(t *testing.T, to config.Destination) *Appliance {
	t.Helper()
	const uid = "2.25.1"
	a := withDrafts(t, 1, &queue.Study{UID: uid})
	cfg := a.Config()
	cfg.Destinations = []config.Destination{to}
	a.settings.Store(&cfg)
	a.metrics = metrics.New(metrics.Labels{})
	var err error
	if a.spool, err = spool.Open(t.TempDir(), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.spool.Close() })
	record, err := a.drafts.load(uid, 1)
	if err != nil {
		t.Fatal(err)
	}
	record.Frontal.SOPClassUID, record.Frontal.SeriesInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", uid+".2"
	record.Documents[0].SOPClassUID, record.Documents[0].SeriesInstanceUID = sr.BasicTextSR, "2.25.91"
	signature := queue.Signature{Number: 1, Revision: 1, Name: "Doe^Jane", Findings: "Clear.", Impression: "Normal.", Time: time.Now()}
	reading := &queue.Reading{StudyInstanceUID: uid, Revision: 1, State: queue.ReadingSigned, Signatures: []queue.Signature{signature}}
	document, err := a.signedReport(record, reading, signature)
	if err != nil {
		t.Fatal(err)
	}
	made := &reading.Signatures[0]
	made.SOPInstanceUID, made.SeriesInstanceUID = document.SOPInstanceUID, document.SeriesInstanceUID
	w := &queue.Withdrawal{
		Revision: 1, Title: study.RejectedSafety, Reason: "wrong side marked", Time: time.Now(), Deliveries: map[string]*queue.Delivery{to.String(): {Revision: 1}},
	}
	made.SHA256, err = a.writeDocument(uid, 1, signedFile(1), document)
	if err := errors.Join(err, a.writeWithdrawal(record, w), a.drafts.save(record)); err != nil {
		t.Fatal(err)
	}
	err = a.db.Update(func(tx *queue.Tx) error {
		s, err := tx.Study(uid)
		if err != nil {
			return err
		}
		s.Withdrawn = []*queue.Withdrawal{w}
		return errors.Join(tx.PutStudy(s), tx.PutReading(reading))
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestLostFilesAreMadeAgain: a signed report, and our rejection note of a draft, whose file is gone, cut short or says something else is found so, and is the
// same again when it is to be sent, or by the job that fsck asks for.
func TestLostFilesAreMadeAgain(t *testing.T) {
	const uid = "2.25.1"
	a := withSigned(t, config.Destination{AETitle: "PACS", Address: "127.0.0.1:1"})
	for name, c := range map[string]struct {
		whole func() (string, error)
		kind  string
	}{
		signedFile(1): {func() (string, error) {
			reading, signature, err := a.signature(uid, 1)
			if err != nil {
				return "", err
			}
			return a.wholeSigned(reading, signature)
		}, kindSign},
		withdrawalFile: {func() (string, error) { return a.wholeWithdrawal(uid, 1) }, kindRetract},
	} {
		path := filepath.Join(a.drafts.folder(uid, 1), name)
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		other := bytes.ReplaceAll(bytes.ReplaceAll(want, []byte("Normal."), []byte("Edema. ")), []byte("wrong side"), []byte("right side"))
		for how, lose := range map[string]func() error{
			"not":            func() error { return nil },
			"gone":           func() error { return os.Remove(path) },
			"cut short":      func() error { return os.Truncate(path, 100) },
			"something else": func() error { return os.WriteFile(path, other, 0o600) },
		} {
			again := func(by string, err error) {
				t.Helper()
				got, readErr := os.ReadFile(path)
				if err := errors.Join(err, readErr); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s, %s, %s: %v, %d bytes of %d", name, how, by, err, len(got), len(want))
				}
			}
			if err := lose(); err != nil {
				t.Fatal(err)
			}
			at, err := c.whole()
			again("to be sent", err)
			if at != path {
				t.Errorf("%s is at %s", name, at)
			}
			if err := lose(); err != nil {
				t.Fatal(err)
			}
			fsck, found := survey{a, new(FsckReport), true, true}, 0
			err = fsck.studies()
			for _, f := range fsck.report.Findings {
				if strings.HasPrefix(f.What, "daemon: "+name) {
					found++
				}
			}
			if err != nil || !fsck.report.Sound() || found > 1 || (found == 1) != (how != "not") {
				t.Errorf("%s, %s: fsck finds %+v, %v", name, how, fsck.report.Findings, err)
			}
			if how == "not" {
				continue
			}
			lease, err := a.db.Lease(t.Context(), leaseTime, c.kind)
			if err != nil {
				t.Fatal(err)
			}
			if err = a.perform(t.Context(), lease); c.kind == kindRetract {
				err = lease.Done(nil) // nobody listens there
			}
			again("by its job", err)
		}
	}
}

// TestASlowDestinationKeepsItsJob: what is sent by DICOM is sent by one deliverer, however long the destination takes.
func TestASlowDestinationKeepsItsJob(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	const uid = "2.25.1"
	to := config.Destination{AETitle: "PACS", Address: silent.Addr().String()}
	a := withSigned(t, to)
	if err := a.db.Update(func(tx *queue.Tx) error { return tx.Enqueue(retractJob(uid, 1, to.String())) }); err != nil {
		t.Fatal(err)
	}
	const ttl = time.Second
	lease, err := a.db.Lease(t.Context(), ttl, kindRetract)
	if err != nil {
		t.Fatal(err)
	}
	sending, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.perform(sending, lease) }()
	waiting, cancel := context.WithTimeout(t.Context(), 2*ttl)
	defer cancel()
	if _, err := a.db.Lease(waiting, ttl, kindRetract); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("another deliverer has the job: %v", err)
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the first ended: %v", err)
	}
}

// TestANoteWaitsForWhatItTakesBack: a rejection note goes after whatever sends its draft: the delivery, and storage commitment, which sends again what was not committed to.
func TestANoteWaitsForWhatItTakesBack(t *testing.T) {
	const uid = "2.25.1"
	to := config.Destination{AETitle: "PACS", Address: "127.0.0.1:1"}
	sent := committal{Revision: 1, Destination: to.String()}
	for kind, job := range map[string]queue.Job{
		kindDeliver: {ID: deliveryID(uid, 1, to.String()), Kind: kindDeliver, Study: uid, Payload: mustJSON(delivery{1, to.String()})},
		kindCommit:  sent.job(uid),
	} {
		t.Run(kind, func(t *testing.T) {
			a := withSigned(t, to)
			s, err := a.studyRecord(uid)
			if err != nil {
				t.Fatal(err)
			}
			w := s.Withdrawn[0]
			s.Withdrawn, s.Sent = nil, map[string][]int{to.String(): {1}}
			if err := a.db.Update(func(tx *queue.Tx) error { return errors.Join(tx.PutStudy(s), tx.Enqueue(job)) }); err != nil {
				t.Fatal(err)
			}
			sending, err := a.db.Lease(t.Context(), leaseTime, kind)
			if err != nil {
				t.Fatal(err)
			}
			if err := a.db.Update(func(tx *queue.Tx) error { return a.recordWithdrawals(tx, uid, []*queue.Withdrawal{w}) }); err != nil {
				t.Fatal(err)
			}
			note := func() (*queue.Job, error) {
				lease, err := a.db.Lease(t.Context(), leaseTime, kindRetract)
				if err != nil {
					t.Fatal(err)
				}
				return &lease.Job, a.retract(t.Context(), lease)
			}
			for range 2 {
				if job, err := note(); err != nil || job.Attempts != 1 {
					t.Fatalf("while the draft is being sent: attempt %d, %v", job.Attempts, err)
				}
			}
			if err := sending.Done(nil); err != nil {
				t.Fatal(err)
			}
			if _, err := note(); err == nil { // nobody listens there
				t.Error("the note is not sent")
			}
		})
	}
}
