package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"llamaxr/daemon/chain"
	"llamaxr/daemon/config"
	"llamaxr/dicomnet/part10"
	"llamaxr/inference"
	"llamaxr/inference/engine"
	"llamaxr/ingest"
	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/pairing/viewnet"
	"llamaxr/ingest/spool"
	"llamaxr/internal/peertest"
	"llamaxr/queue"
	"llamaxr/study"
)

// withPicture is an appliance that looks at pixels, and what sends it a radiograph and returns its SOP Instance UID.
func withPicture(t *testing.T) (a *Appliance, receive func() string) {
	t.Helper()
	a = withLedger(t)
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

// leaseExamine takes the next job that looks at pixels; there must be one.
func leaseExamine(t *testing.T, a *Appliance) *queue.Lease {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	lease, err := a.db.Lease(ctx, leaseTime, kindExamine)
	if err != nil {
		t.Fatalf("nobody looks at it: %v", err)
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

// TestAStudyGoesOnWithoutWhatIsNotLookedAt: an image of which looking at it was given up holds up neither its study, once another comes, nor the draft.
func TestAStudyGoesOnWithoutWhatIsNotLookedAt(t *testing.T) {
	k := newKeeper(t, config.Retention{})
	k.newMetrics("test")
	const uid, unseen, late = "2.25.1", "2.25.1.1", "2.25.1.2"
	k.receive(uid, unseen)
	k.fail(leaseExamine(t, k.Appliance), queue.Permanent(errors.New("no")))
	if s, err := k.studyRecord(uid); err != nil || s.State != queue.Failed {
		t.Fatalf("%v: %+v", err, s)
	}
	k.receive(uid, late)
	k.update(func(tx *queue.Tx) error {
		i, err := tx.Instance(late)
		if err != nil {
			return err
		}
		i.Examined = &queue.Examination{}
		return tx.PutInstance(i)
	})
	for range 3 { // the job's time is that of a commit later than the object's
		k.pass(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if lease, err := k.db.Lease(ctx, leaseTime, kindComplete); err == nil {
			if err := k.complete(lease); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
	}
	s, err := k.studyRecord(uid)
	if err != nil || s.State != queue.Complete || len(s.Drafted) != 1 || s.Drafted[0] != late {
		t.Errorf("%v: %+v", err, s)
	}
	p, err := k.pairOf(uid)
	if err != nil || !p.looked || !strings.Contains(fmt.Sprint(p.pair.Choices), "looking at it was given up") {
		t.Errorf("%v: %+v", err, p)
	}
}

// TestLookedAtAfterAll: what is looked at when its dead letter is sent again is read in the next revision where the newest does not rest on it; what the
// newest was made without regard to makes the study well again.
func TestLookedAtAfterAll(t *testing.T) {
	for name, c := range map[string]struct {
		study func(s *queue.Study, sop string)
		want  string
	}{
		"never drafted":         {func(s *queue.Study, _ string) { s.State = queue.Failed }, queue.Receiving},
		"drafted without it":    {func(s *queue.Study, _ string) { s.State, s.Revision = queue.Drafted, 1 }, queue.Receiving},
		"kept beside the draft": {func(s *queue.Study, sop string) { s.State, s.Revision, s.Drafted = queue.Failed, 1, []string{sop} }, queue.Delivered},
	} {
		t.Run(name, func(t *testing.T) {
			a, receive := withPicture(t)
			sop := receive()
			lease := leaseExamine(t, a)
			uid := lease.Job.Study
			a.fail(lease, queue.Permanent(errors.New("no")))
			err := a.db.Update(func(tx *queue.Tx) error {
				s, err := tx.Study(uid)
				if err != nil {
					return err
				}
				c.study(s, sop)
				return errors.Join(tx.PutStudy(s), tx.End(kindComplete+"/"+uid))
			})
			if err = errors.Join(err, a.Resend(lease.Job.ID)); err != nil {
				t.Fatal(err)
			}
			if err := a.examine(t.Context(), leaseExamine(t, a)); err != nil {
				t.Fatal(err)
			}
			s, err := a.studyRecord(uid)
			jobs, jobsErr := a.Jobs()
			if err = errors.Join(err, jobsErr); err != nil || s.State != c.want || (len(jobs) == 1) != (c.want == queue.Receiving) {
				t.Errorf("%v: it is %s (%s), %d jobs", err, s.State, s.Reason, len(jobs))
			}
		})
	}
}

// TestUnreadableComesBack: an image that the disk does not read to the last try is lost; sending it again brings it back, and it is looked at.
func TestUnreadableComesBack(t *testing.T) {
	a, receive := withPicture(t)
	sop := receive()
	i, err := a.instance(sop)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(a.spool.Path(i.Path), i.Size/2); err != nil { // what it says to a reader
		t.Fatal(err)
	}
	a.fail(leaseExamine(t, a), queue.Permanent(fmt.Errorf("looking: %w", &fs.PathError{Op: "read", Path: "x", Err: syscall.EIO})))
	if i, err = a.instance(sop); err != nil || i.Gone != queue.GoneDamaged {
		t.Fatalf("%v: %+v", err, i)
	}
	receive()
	if err := a.examine(t.Context(), leaseExamine(t, a)); err != nil {
		t.Fatal(err)
	}
	if i, err = a.instance(sop); err != nil || i.Gone != "" || i.Examined == nil || i.Examined.Reason != "" {
		t.Errorf("%v: %+v", err, i)
	}
}

// TestGoneBeforeItWasLookedAt: an image whose file is damaged or gone before anybody looked at it is left out for that, and no path is told; sent again, or put
// back, it is looked at.
func TestGoneBeforeItWasLookedAt(t *testing.T) {
	flip := func(a *Appliance, i *queue.Instance) error {
		raw, err := os.ReadFile(a.spool.Path(i.Path))
		if err != nil {
			return err
		}
		raw[len(raw)/2] ^= 1
		return os.WriteFile(a.spool.Path(i.Path), raw, 0o600)
	}
	remove := func(a *Appliance, i *queue.Instance) error { return os.Remove(a.spool.Path(i.Path)) }
	expire := func(a *Appliance, i *queue.Instance) error {
		object := study.ObjectReference{StudyInstanceUID: i.Header.StudyInstanceUID, SOPInstanceUID: i.Header.SOPInstanceUID}
		note := &queue.Instance{Instance: study.Instance{Header: study.Header{SOPInstanceUID: "2.25.9"}}}
		return errors.Join(a.receiver.Obey(note, &study.RejectionNote{Title: study.RejectedRetention, Objects: []study.ObjectReference{object}}), a.receiver.Forget(object.SOPInstanceUID))
	}
	for name, c := range map[string]struct {
		lose  func(*Appliance, *queue.Instance) error
		tries int // until it is known
		older bool
	}{
		"a flipped bit": {flip, 2, false}, "no file": {remove, 2, false}, "expired": {expire, 1, false}, "as older programs kept it": {remove, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			a, receive := withPicture(t)
			sop := receive()
			i, err := a.instance(sop)
			if err != nil {
				t.Fatal(err)
			}
			uid := i.Header.StudyInstanceUID
			if err := c.lose(a, i); err != nil {
				t.Fatal(err)
			}
			for range c.tries {
				lease := leaseExamine(t, a)
				if err := a.examine(t.Context(), lease); err != nil {
					a.fail(lease, err)
				}
			}
			p, err := a.pairOf(uid)
			if said := fmt.Sprint(p.pair); err != nil || !p.looked || !strings.Contains(said, "its file is gone") || strings.Contains(said, "objects/") {
				t.Errorf("%v: %+v", err, p)
			}
			err = a.db.Update(func(tx *queue.Tx) error { // it was refused
				i, err := tx.Instance(sop)
				if c.older {
					i.Examined = &queue.Examination{Reason: "open objects/x: no such file"}
				}
				s, studyErr := tx.Study(uid)
				if err = errors.Join(err, studyErr); err != nil {
					return err
				}
				s.State, s.Revision, s.Drafted = queue.Refused, 1, []string{sop}
				return errors.Join(tx.PutInstance(i), tx.PutStudy(s), tx.End(kindComplete+"/"+uid))
			})
			if err != nil {
				t.Fatal(err)
			}
			receive()
			if err := a.examine(t.Context(), leaseExamine(t, a)); err != nil {
				t.Fatal(err)
			}
			i, err = a.instance(sop)
			s, studyErr := a.studyRecord(uid)
			if err = errors.Join(err, studyErr); err != nil || i.Examined == nil || i.Examined.Reason != "" || s.State != queue.Receiving {
				t.Errorf("%v: the study is %s, the image was looked at: %+v", err, s.State, i.Examined)
			}
		})
	}
}

// TestAStudyThatIsMadeAgainIsDrafted: a study whose record was lost, and made again from its object, is drafted though a first revision of it had been refused or
// given up.
func TestAStudyThatIsMadeAgainIsDrafted(t *testing.T) {
	const uid, sop = "2.25.1", "2.25.1.1"
	for _, dead := range []bool{false, true} {
		k := newKeeper(t, config.Retention{})
		k.newMetrics("test")
		k.receive(uid, sop)
		look := func() {
			t.Helper()
			err := leaseExamine(t, k.Appliance).Done(func(tx *queue.Tx) error {
				i, err := tx.Instance(sop)
				if err != nil {
					return err
				}
				i.Examined = &queue.Examination{Reason: "nothing to see"}
				return tx.PutInstance(i)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		look()
		complete := func() *queue.Lease {
			t.Helper()
			for range 3 {
				k.pass(time.Minute)
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				if lease, err := k.db.Lease(ctx, leaseTime, kindComplete); err == nil {
					if err := k.complete(lease); err != nil {
						t.Fatal(err)
					}
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			lease, err := k.db.Lease(ctx, leaseTime, kindDraft)
			if err != nil {
				s, _ := k.studyRecord(uid)
				t.Fatalf("nobody drafts it: %+v", s)
			}
			return lease
		}
		if lease := complete(); dead {
			k.fail(lease, queue.Permanent(errors.New("no")))
		} else if err := k.draft(t.Context(), lease); err != nil {
			t.Fatal(err)
		}
		mend := survey{k.Appliance, new(FsckReport), true, false}
		k.update(func(tx *queue.Tx) error { return tx.PutStudy(&queue.Study{UID: uid, State: queue.Refused}) }) // its list is lost
		i, err := k.instance(sop)
		if err = errors.Join(err, mend.rejoin(i)); err != nil {
			t.Fatal(err)
		}
		if err := k.draft(t.Context(), complete()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDraftLostBeforeItLeft: a draft whose record is damaged before anything of it left is made again, with its documents; until they are there nothing is said to
// be delivered.
func TestDraftLostBeforeItLeft(t *testing.T) {
	a, receive := withPicture(t)
	cfg := a.Config()
	cfg.Destinations = []config.Destination{{AETitle: "PACS", Address: "127.0.0.1:1"}}
	a.settings.Store(&cfg)
	eng, err := engine.Open(engine.Auto)
	if err != nil {
		t.Fatal(err)
	}
	if a.reader, err = inference.OpenStarter(eng); err != nil {
		t.Fatal(err)
	}
	if a.record, err = chain.Open(filepath.Join(t.TempDir(), recordLog), maxRecordLine); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.record.Close() })
	do := func(kind string) error {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		lease, err := a.db.Lease(ctx, leaseTime, kind)
		if err != nil {
			t.Fatalf("nobody does its %s: %v", kind, err)
		}
		if err = a.perform(t.Context(), lease); err != nil {
			a.fail(lease, err)
		}
		return err
	}
	receive()
	for _, kind := range []string{kindExamine, kindComplete, kindDraft, kindReport} {
		if err := do(kind); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
	}
	var uid string
	err = a.db.View(func(tx *queue.Tx) error { return tx.EachStudy(func(s *queue.Study) error { uid = s.UID; return nil }) })
	if err = errors.Join(err, os.Truncate(filepath.Join(a.drafts.folder(uid, 1), recordFile), 1000)); err != nil {
		t.Fatal(err)
	}
	if err := do(kindDeliver); !lost(err) {
		t.Fatalf("the damaged draft: %v", err)
	}
	if err := do(kindDraft); err != nil {
		t.Fatal(err)
	}
	if err := do(kindDeliver); !errors.Is(err, errNoDocuments) {
		t.Errorf("without documents: %v", err)
	}
	if s, err := a.studyRecord(uid); err != nil || len(s.Sent) > 0 {
		t.Errorf("%v: it may have left: %v", err, s.Sent)
	}
	if err := do(kindReport); err != nil {
		t.Fatal(err)
	}
	s, err := a.studyRecord(uid)
	record, recordErr := a.drafts.load(uid, 1)
	if err = errors.Join(err, recordErr); err != nil || s.State != queue.Drafted || s.Revision != 1 || len(record.Documents) == 0 {
		t.Errorf("%v: %s, revision %d", err, s.State, s.Revision)
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
