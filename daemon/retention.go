package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"llamaxr/internal/durable"
	"llamaxr/queue"
)

// Retention removes the files of studies whose way is over: images as received, documents and pictures. What traces a draft stays: the
// ledger's records, scores and texts. So an object that comes again is known, and a rejection note that comes late is obeyed.
//
// The ledger goes first: one transaction marks study and objects as gone and leaves a job that deletes the files. A crash in between leaves
// files that nobody counts on any more, and the job.

// kindExpire is the job that deletes the files of a study that was removed.
const kindExpire = "expire"

// sweepTime is how often retention looks.
const sweepTime = 10 * time.Minute

// retain removes what may go, now and then, until ctx is cancelled. The clock is looked at also where nothing is to go: it may be later.
func (a *Appliance) retain(ctx context.Context) {
	start := time.Now()
	var doubt clockDoubt
	for {
		believed, err := a.believeClock(&doubt, time.Since(start))
		if err == nil && believed && a.cfg().Retention.KeepDays > 0 {
			_, err = a.removeOld(ctx)
		}
		if err != nil && !isShutdown(err) {
			a.log.Error("removing old studies", "error", err)
		}
		if !pause(ctx, sweepTime) {
			return
		}
	}
}

// removeOld removes the studies that may go, oldest first, and returns how many; with a watermark only until so much space is free.
func (a *Appliance) removeOld(ctx context.Context) (removed int, err error) {
	type old struct {
		uid  string
		last time.Time
	}
	var all []old
	err = a.db.View(func(tx *queue.Tx) error {
		jobs, err := tx.Jobs("")
		if err != nil {
			return err
		}
		busy := map[string]bool{}
		for _, j := range jobs {
			busy[j.Study] = true
		}
		return tx.EachStudy(func(s *queue.Study) error {
			if busy[s.UID] {
				return nil
			}
			held, err := a.held(tx, s)
			if err == nil && held == "" {
				all = append(all, old{s.UID, agesFrom(s, tx.Now())})
			}
			return err
		})
	})
	if err != nil {
		return 0, err
	}
	slices.SortFunc(all, func(a, b old) int { return a.last.Compare(b.last) })
	free, err := a.spool.Free()
	if err != nil {
		return 0, err
	}
	for _, o := range all {
		if mark := a.cfg().Retention.BelowFree; mark > 0 && free >= mark || ctx.Err() != nil {
			break
		}
		bytes, gone, err := a.remove(o.uid)
		if err != nil {
			return removed, err
		}
		free += bytes
		if gone {
			removed++
		}
	}
	return removed, nil
}

// lastEvent is when something happened to a study the last time.
func lastEvent(s *queue.Study) time.Time {
	last := s.Last
	if s.AgesFrom.After(last) {
		last = s.AgesFrom
	}
	for _, e := range s.Events {
		if e.Time.After(last) {
			last = e.Time
		}
	}
	return last
}

// agesFrom is when something happened to a study the last time, but for what is stamped by a clock that was ahead.
func agesFrom(s *queue.Study, now time.Time) time.Time {
	if s.AgesFrom.IsZero() {
		return lastEvent(s)
	}
	past, until := queue.Study{AgesFrom: s.AgesFrom}, now.Add(clockSlack)
	if !s.Last.After(until) {
		past.Last = s.Last
	}
	past.Events = slices.DeleteFunc(slices.Clone(s.Events), func(e queue.Event) bool { return e.Time.After(until) })
	return lastEvent(&past)
}

// held says why the files of a study must stay, empty when they may go. That no job is about it is for the caller to know.
func (a *Appliance) held(tx *queue.Tx, s *queue.Study) (why string, err error) {
	now := tx.Now()
	switch {
	case !s.Removed.IsZero():
		return "they are gone", nil
	case s.State != queue.Delivered && s.State != queue.Refused && s.State != queue.Shadow:
		return "it is " + s.State, nil
	case agesFrom(s, now).AddDate(0, 0, a.cfg().Retention.KeepDays).After(now):
		return "it is not old enough", nil
	}
	for _, d := range s.Deliveries {
		if open(d.Commitment) && s.Withdrawal(d.Revision) == nil {
			return "a destination has not committed to the draft", nil
		}
	}
	for _, w := range s.Withdrawn {
		for _, d := range w.Deliveries {
			if d.Sent.IsZero() {
				return "a withdrawal is on its way", nil
			}
		}
	}
	if why, err := heldByReading(tx, s.UID); err != nil || why != "" {
		return why, err
	}
	for _, sop := range s.Instances {
		i, err := tx.Instance(sop)
		if err != nil {
			return "", err
		}
		if i != nil && i.PromisedUntil.After(now) {
			return "we committed to an object until " + i.PromisedUntil.Format(time.DateOnly), nil
		}
	}
	if s.ReadWith == "" {
		return "", nil
	}
	with, err := tx.Study(s.ReadWith)
	if err != nil || with == nil || !with.Removed.IsZero() || with.ReadWith != "" {
		return "", err
	}
	jobs, err := tx.Jobs(with.UID)
	if err != nil || len(jobs) > 0 {
		return "the study that it is read with is at work", err
	}
	return a.held(tx, with)
}

// heldByReading says what a reader has still to do.
func heldByReading(tx *queue.Tx, uid string) (why string, err error) {
	r, err := tx.Reading(uid)
	if err != nil || r == nil {
		return "", err
	}
	if r.State == queue.ReadingOpen {
		return "somebody is editing its report", nil
	}
	for _, signature := range r.Signatures {
		for _, state := range signature.Commitments {
			if open(state) {
				return "a destination has not committed to the signed report", nil
			}
		}
	}
	return "", nil
}

// open reports whether a destination was asked to commit and has not yet.
func open(c *queue.Commitment) bool { return c != nil && c.Committed.IsZero() }

// remove marks a study as removed, if it still may go, and has its files deleted; it returns how many bytes that will free.
func (a *Appliance) remove(uid string) (bytes int64, gone bool, err error) {
	err = a.db.Update(func(tx *queue.Tx) error {
		bytes, gone = 0, false
		s, err := tx.Study(uid)
		if err != nil || s == nil {
			return err
		}
		jobs, err := tx.Jobs(uid)
		if err != nil || len(jobs) > 0 {
			return err
		}
		if held, err := a.held(tx, s); err != nil || held != "" {
			return err
		}
		objects := 0
		for _, sop := range s.Instances {
			i, err := tx.Instance(sop)
			if err != nil {
				return err
			}
			if i == nil || i.Gone != "" {
				continue
			}
			i.Gone = queue.GoneRetention
			bytes += i.Size
			objects++
			if err := tx.PutInstance(i); err != nil {
				return err
			}
		}
		gone = true
		s.Removed = tx.Now().UTC()
		s.Note(s.Removed, fmt.Sprintf("%d objects, the documents and the pictures are removed: kept for %d days", objects, a.cfg().Retention.KeepDays))
		if err := tx.Again(expireJob(s)); err != nil {
			return err
		}
		return tx.PutStudy(s)
	})
	if err == nil && gone {
		a.log.Info("study removed by retention", "study", uid, "bytes", bytes)
		a.auditRemoval(uid)
	}
	return bytes, gone, err
}

// expiry is the payload of such a job: the study's newest revision and the time when it was removed.
type expiry struct {
	Revision int       `json:"revision"`
	Removed  time.Time `json:"removed"`
}

func expireJob(s *queue.Study) queue.Job {
	return queue.Job{ID: kindExpire + "/" + s.UID, Kind: kindExpire, Study: s.UID, Payload: mustJSON(expiry{s.Revision, s.Removed})}
}

// expire deletes the files of a study that was removed. What came again in the meantime, and drafts of a later revision, stay.
func (a *Appliance) expire(lease *queue.Lease) error {
	e, err := payloadOf[expiry](lease)
	if err != nil {
		return err
	}
	s, err := a.studyRecord(lease.Job.Study)
	if err != nil {
		return err
	}
	for _, sop := range s.Instances {
		if err := a.receiver.Forget(sop); err != nil {
			return err
		}
		if err := a.receiver.ForgetAside(sop, e.Removed); err != nil {
			return err
		}
	}
	for revision := 1; revision <= e.Revision; revision++ {
		if err := a.drafts.strip(s.UID, revision); err != nil {
			return err
		}
	}
	return a.done(lease, nil)
}

// strip deletes all files of a draft, documents and pictures, but the record that traces it, which loses its heat maps. The record goes first: it then
// misses nothing.
func (d drafts) strip(studyUID string, revision int) error {
	record, err := d.load(studyUID, revision)
	if err == nil && (record.Sums != nil || record.Maps != nil) {
		record.Sums, record.Maps = nil, nil
		err = d.save(record)
	}
	if err != nil && !lost(err) {
		return err
	}
	folder := d.folder(studyUID, revision)
	entries, err := os.ReadDir(folder)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the revision was refused
		}
		return fmt.Errorf("daemon: removing a draft's files: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), recordFile) {
			continue
		}
		if err := d.remove(studyUID, revision, e.Name()); err != nil {
			return err
		}
	}
	return durable.Names(folder)
}
