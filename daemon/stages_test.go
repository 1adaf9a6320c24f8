package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"llamaxr/daemon/config"
	"llamaxr/dicomnet"
	"llamaxr/dicomnet/part10"
	"llamaxr/ingest"
	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/pairing/viewnet"
	"llamaxr/ingest/spool"
	"llamaxr/internal/peertest"
	"llamaxr/queue"
	"llamaxr/study"
)

// withPicture is an appliance that looks at pixels and awaits no more of a study, and what sends it a radiograph and returns its SOP Instance UID.
func withPicture(t *testing.T) (a *Appliance, receive func() string) {
	t.Helper()
	a = withLedger(t)
	cfg := a.Config()
	cfg.QuietTime = 0
	a.settings.Store(&cfg)
	a.newMetrics("test")
	a.drafts = drafts{root: t.TempDir()}
	var err error
	if a.spool, err = spool.Open(t.TempDir(), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.spool.Close() })
	if a.views, err = viewnet.Shipped(); err != nil {
		t.Fatal(err)
	}
	a.receiver, a.pictures = a.newReceiver(), newPictureRoom()
	return a, func() string {
		t.Helper()
		file, err := os.Open(peertest.SharedData(t, "dicom/radiographs/RG1_JLSN.dcm"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		meta, err := part10.Decode(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Seek(meta.Length, 0); err != nil {
			t.Fatal(err)
		}
		in := ingest.Incoming{SOPClassUID: meta.SOPClassUID, SOPInstanceUID: meta.SOPInstanceUID, TransferSyntaxUID: meta.TransferSyntaxUID}
		in.Head = part10.Encode(*meta, "1.2.3", "TEST")
		if _, err := a.receiver.Receive(in, file); err != nil {
			t.Fatal(err)
		}
		if err := a.spool.Settle(); err != nil {
			t.Fatal(err)
		}
		return meta.SOPInstanceUID
	}
}

// TestNothingNewCompletesNothing: an association that brought again what is there, or was refused, does not end the quiet time of a study that another still sends.
func TestNothingNewCompletesNothing(t *testing.T) {
	k := newKeeper(t, config.Retention{})
	k.newMetrics("test")
	k.receiver.ReadHeader = func(path string) (study.Header, error) {
		data, err := k.disk.Read(path)
		_, line, _ := strings.Cut(string(data), "1.2|") // after the head
		return headerOf("1.2|" + line), err
	}
	send := func(line string, refused, want bool) {
		t.Helper()
		s := k.sessionOf(&dicomnet.AssociationInfo{CallingAETitle: "PACS"})
		req := &dicomnet.StoreRequest{SOPClassUID: headerOf(line).SOPClassUID, SOPInstanceUID: headerOf(line).SOPInstanceUID}
		if err := s.Store(t.Context(), req, strings.NewReader(line)); (err != nil) != refused {
			t.Error(err)
		}
		s.Close(true)
		var ready bool
		err := k.db.View(func(tx *queue.Tx) error {
			j, err := tx.Job(completionJob("1.2", time.Time{}, false).ID)
			ready = j != nil && !j.NotBefore.After(tx.Now())
			return err
		})
		if err != nil || ready != want {
			t.Errorf("%q: asked at once %v (%v), want %v", line, ready, err, want)
		}
	}
	k.receive("1.2", "1.2.1") // on an association that goes on
	again := "1.2|1.2.1" + strings.Repeat(" ", 91)
	send(again, false, false)
	send(again+" ", true, false)
	send("1.2|1.2.2", false, true)
}

// leaseJob takes the next job of a kind; there must be one.
func leaseJob(t *testing.T, a *Appliance, kind string) *queue.Lease {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	lease, err := a.db.Lease(ctx, leaseTime, kind)
	if err != nil {
		t.Fatalf("nobody does its %s: %v", kind, err)
	}
	return lease
}

// TestAStopSaysNothingOfAPicture: a picture that is being decoded when the appliance stops is looked at by the next start, and not one that
// cannot be read for ever after.
func TestAStopSaysNothingOfAPicture(t *testing.T) {
	a, receive := withPicture(t)
	sop := receive()
	stopping, stop := context.WithCancel(t.Context())
	stop()
	lease, err := a.db.Lease(t.Context(), leaseTime, kindExamine)
	if err != nil {
		t.Fatal(err)
	}
	examine := func(ctx context.Context) (*queue.Examination, error) {
		err := a.examine(ctx, lease)
		i, ledgerErr := a.instance(sop)
		if ledgerErr != nil || i == nil {
			t.Fatal(i, ledgerErr)
		}
		return i.Examined, err
	}
	if looked, err := examine(stopping); !errors.Is(err, context.Canceled) || looked != nil {
		t.Fatalf("while it stops: %+v, %v", looked, err)
	}
	if looked, err := examine(t.Context()); err != nil || looked == nil || looked.Reason != "" {
		t.Errorf("the next start: %+v, %v", looked, err)
	}
}

// TestAFaultOfTheMachineSaysNothingOfAPicture: what the system refuses to open or to read now it may open at the next try.
func TestAFaultOfTheMachineSaysNothingOfAPicture(t *testing.T) {
	views, err := viewnet.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	for cause, machine := range map[error]bool{
		&fs.PathError{Op: "open", Path: "x", Err: syscall.EMFILE}: true,
		&fs.PathError{Op: "read", Path: "x", Err: syscall.EIO}:    true,
		&fs.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}: false,
		dicomfile.ErrNotDICOM: false,
	} {
		open := func(string) (*dicomfile.File, error) { return nil, fmt.Errorf("opening: %w", cause) }
		seen := Examine(t.Context(), views, open, "x")
		if (seen.Fault != nil) != machine || seen.Reason == "" {
			t.Errorf("%v: reason %q, fault %v", cause, seen.Reason, seen.Fault)
		}
	}
}

// TestQuietTimeFollowsTheClock: a study that came before the clock was set back is complete after the quiet time, not when the clock is where it
// was.
func TestQuietTimeFollowsTheClock(t *testing.T) {
	k := newKeeper(t, config.Retention{})
	k.receive("2.25.1", "2.25.1.1")
	k.update(func(tx *queue.Tx) error {
		i, err := tx.Instance("2.25.1.1")
		if err != nil {
			return err
		}
		i.Examined = &queue.Examination{Reason: "nothing to see"}
		return tx.PutInstance(i)
	})
	complete := func() string {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if lease, err := k.db.Lease(ctx, leaseTime, kindComplete); err == nil {
			if err := k.complete(lease); err != nil {
				t.Fatal(err)
			}
		}
		state := ""
		k.update(func(tx *queue.Tx) error {
			s, err := tx.Study("2.25.1")
			if err == nil {
				state = s.State
			}
			return err
		})
		return state
	}
	complete()
	k.pass(-3 * time.Hour)
	if got := complete(); got != queue.Receiving {
		t.Errorf("before its time it is %s", got)
	}
	for range 2 { // the job's time is that of a commit later than the object's
		k.pass(k.cfg().QuietTime + time.Second)
		complete()
	}
	if got := complete(); got != queue.Complete {
		t.Errorf("after the quiet time it is %s", got)
	}
}

// TestWholenessThatWasGivenUp: a study of which it could not be said whether it is whole is drafted when that is asked again, unless its images were not looked at.
func TestWholenessThatWasGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		failed string // what the job failed with before
		looked bool
		want   string
	}{
		"given up":             {"no", true, queue.Complete},
		"of another job":       {"", true, queue.Failed},
		"nobody looks at them": {"no", false, queue.Failed},
	} {
		a := withLedger(t)
		const uid = "2.25.1"
		putView(t, a, uid, "PA", -6)
		err := a.db.Update(func(tx *queue.Tx) error {
			s, err := tx.Study(uid)
			if err != nil {
				return err
			}
			i, err := tx.Instance(uid + ".1")
			if err != nil {
				return err
			}
			if !c.looked {
				i.Examined = nil
			}
			s.State, s.Reason = queue.Failed, "complete: no"
			job := completionJob(uid, time.Time{}, false)
			job.LastError = c.failed
			return errors.Join(tx.PutStudy(s), tx.PutInstance(i), tx.Enqueue(job))
		})
		if err != nil {
			t.Fatal(err)
		}
		lease, err := a.db.Lease(t.Context(), time.Minute, kindComplete)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.complete(lease); err != nil {
			t.Fatal(err)
		}
		if s, err := a.studyRecord(uid); err != nil || s.State != c.want || (s.Reason == "") != (c.want == queue.Complete) {
			t.Errorf("%s: the study is %s (%s), want %s: %v", name, s.State, s.Reason, c.want, err)
		}
	}
}

// TestAnOvertakenDraftIsNotMade: a revision whose turn comes after a later one was drafted is not drafted, and its documents are not made: it would seem newer, and
// neither names the other. One of which there are documents has them made again.
func TestAnOvertakenDraftIsNotMade(t *testing.T) {
	const uid = "2.25.1"
	for kind, first := range map[string]func(a *Appliance) error{
		kindDraft: func(a *Appliance) error { return os.RemoveAll(a.drafts.folder(uid, 1)) },
		kindReport: func(a *Appliance) error {
			record, err := a.drafts.load(uid, 1)
			if err != nil {
				return err
			}
			record.Documents = nil
			return a.drafts.save(record)
		},
	} {
		job := func(revision int) queue.Job {
			return queue.Job{ID: fmt.Sprintf("%s/%s/%d", kind, uid, revision), Kind: kind, Study: uid, Payload: mustJSON(revision)}
		}
		// made reports whether the job goes about making revision 1, for which a draft has no image to read.
		made := func(a *Appliance, before ...func(a *Appliance) error) bool {
			t.Helper()
			for _, happens := range before {
				if err := happens(a); err != nil {
					t.Fatal(err)
				}
			}
			if err := a.db.Update(func(tx *queue.Tx) error { return tx.Enqueue(job(1)) }); err != nil {
				t.Fatal(err)
			}
			lease, err := a.db.Lease(t.Context(), leaseTime, kind)
			if err != nil {
				t.Fatal(err)
			}
			if err := a.perform(t.Context(), lease); err != nil {
				return true
			}
			record, err := a.drafts.load(uid, 1)
			return err == nil && len(record.Sums) > 0
		}
		later := func(a *Appliance) error {
			return a.db.Update(func(tx *queue.Tx) error { return errors.Join(tx.Enqueue(job(2)), tx.End(job(2).ID)) })
		}
		if !made(withDrafts(t, 2, &queue.Study{UID: uid}), first) {
			t.Errorf("%s: a revision before one that waits too is not made", kind)
		}
		a := withDrafts(t, 2, &queue.Study{UID: uid})
		if made(a, first, later) {
			t.Errorf("%s: it is made", kind)
		}
		s, err := a.studyRecord(uid)
		if err != nil || len(s.Events) != 1 || s.State != queue.Delivered {
			t.Errorf("%s: %v: the study is %+v", kind, err, s)
		}
		if kind == kindReport && !made(withDrafts(t, 2, &queue.Study{UID: uid}), later) {
			t.Error("documents that are there are not made again")
		}
	}
}
