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
	"llamaxr/inference"
	"llamaxr/inference/engine"
	"llamaxr/ingest/atrest"
	"llamaxr/queue"
	"llamaxr/study"
)

// TestAStudyGoesOnWithoutWhatIsNotLookedAt: an image of which looking at it was given up holds up neither its study, once another comes, nor the draft.
func TestAStudyGoesOnWithoutWhatIsNotLookedAt(t *testing.T) {
	k := newKeeper(t, config.Retention{})
	k.newMetrics("test")
	const uid, unseen, late = "2.25.1", "2.25.1.1", "2.25.1.2"
	k.receive(uid, unseen)
	k.fail(leaseJob(t, k.Appliance, kindExamine), queue.Permanent(errors.New("no")))
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
			lease := leaseJob(t, a, kindExamine)
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
			if err := a.examine(t.Context(), leaseJob(t, a, kindExamine)); err != nil {
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

// TestUnreadableComesBack: an image that the disk does not read to the last try is lost; sending it again brings it back, and it is looked at, or drafted.
func TestUnreadableComesBack(t *testing.T) {
	for _, kind := range []string{kindExamine, kindDraft} {
		t.Run(kind, func(t *testing.T) {
			a, receive := withPicture(t)
			sop := receive()
			if kind == kindDraft {
				if err := a.examine(t.Context(), leaseJob(t, a, kindExamine)); err != nil {
					t.Fatal(err)
				}
				if err := a.complete(leaseJob(t, a, kindComplete)); err != nil {
					t.Fatal(err)
				}
			}
			i, err := a.instance(sop)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(a.spool.Path(i.Path), i.Size/2); err != nil { // what it says to a reader
				t.Fatal(err)
			}
			a.fail(leaseJob(t, a, kind), queue.Permanent(fmt.Errorf("reading: %w", &fs.PathError{Op: "read", Path: "x", Err: syscall.EIO})))
			if i, err = a.instance(sop); err != nil || i.Gone != queue.GoneDamaged {
				t.Fatalf("%v: %+v", err, i)
			}
			receive()
			if kind == kindExamine {
				if err := a.examine(t.Context(), leaseJob(t, a, kind)); err != nil {
					t.Fatal(err)
				}
			}
			i, err = a.instance(sop)
			s, studyErr := a.studyRecord(i.Header.StudyInstanceUID)
			if err = errors.Join(err, studyErr); err != nil || i.Gone != "" || i.Examined == nil || i.Examined.Reason != "" || s.State != queue.Receiving {
				t.Errorf("%v: the study is %s, the image %q, looked at %+v", err, s.State, i.Gone, i.Examined)
			}
		})
	}
}

// TestUnreadableIsNotDamaged: an image or a draft that fsck may not read, or has no key for, is told and stays where and what it is.
func TestUnreadableIsNotDamaged(t *testing.T) {
	key, err := atrest.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	refused := func(paths ...string) (err error) {
		for _, path := range paths { // a link to itself is there, and the system does not open it
			err = errors.Join(err, os.Remove(path), os.Symlink(filepath.Base(path), path))
		}
		return err
	}
	for name, c := range map[string]struct {
		key  *atrest.Key
		lose func(paths ...string) error
		deep bool
	}{
		"refused, deep":      {nil, refused, true},
		"refused, at a look": {nil, refused, false},
		"no key":             {key, func(...string) error { return nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			a, receive := withPicture(t)
			a.spool.EncryptWith(c.key)
			a.drafts.key = c.key
			i, err := a.instance(receive())
			if err != nil {
				t.Fatal(err)
			}
			uid := i.Header.StudyInstanceUID
			err = a.db.Update(func(tx *queue.Tx) error {
				s, err := tx.Study(uid)
				if err != nil {
					return err
				}
				s.Revision, s.State = 1, queue.Delivered
				return tx.PutStudy(s)
			})
			object, record := a.spool.Path(i.Path), filepath.Join(a.drafts.folder(uid, 1), recordFile)
			err = errors.Join(err, a.drafts.save(&DraftRecord{Draft: study.Draft{StudyInstanceUID: uid, Revision: 1}}), c.lose(object, record))
			if err != nil {
				t.Fatal(err)
			}
			a.spool.EncryptWith(nil)
			a.drafts.key = nil
			fsck, told := survey{a, new(FsckReport), true, c.deep}, 0
			if err := fsck.run(); err != nil {
				t.Fatal(err)
			}
			for _, f := range fsck.report.Findings {
				if !f.Repaired && f.Repair == "" {
					told++
				}
			}
			if told == 0 || c.deep && told != 2 {
				t.Errorf("told are %+v", fsck.report.Findings)
			}
			for _, path := range []string{object, record} {
				if _, err := os.Lstat(path); err != nil {
					t.Errorf("taken for damaged: %v", err)
				}
			}
			if i, err = a.instance(i.Header.SOPInstanceUID); err != nil || i.Gone != "" {
				t.Errorf("%v: the image is gone: %q", err, i.Gone)
			}
		})
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
				lease := leaseJob(t, a, kindExamine)
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
			if err := a.examine(t.Context(), leaseJob(t, a, kindExamine)); err != nil {
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
			err := leaseJob(t, k.Appliance, kindExamine).Done(func(tx *queue.Tx) error {
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
			return leaseJob(t, k.Appliance, kindDraft)
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
		lease := leaseJob(t, a, kind)
		err := a.perform(t.Context(), lease)
		if err != nil {
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
