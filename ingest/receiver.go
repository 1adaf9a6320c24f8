package ingest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"runtime"
	"sync"
	"syscall"
	"time"

	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/rejection"
	"llamaxr/ingest/spool"
	"llamaxr/queue"
	"llamaxr/study"
)

// Statuses of C-STORE that a receiver gives (PS3.4, table B.2-1).
const (
	StatusProcessingFailure uint16 = 0x0110
	StatusDuplicate         uint16 = 0x0111
	StatusOutOfResources    uint16 = 0xA700
	StatusMismatch          uint16 = 0xA900
	StatusCannotUnderstand  uint16 = 0xC000
)

// maxReaders bounds the headers that are read at a time, on a machine of any number of cores.
const maxReaders = 8

// StatusError is the status that the sender hears, with its comment.
type StatusError struct {
	Status  uint16
	Comment string
	Err     error // the cause, for the log
}

// Error implements error.
func (e *StatusError) Error() string { return fmt.Sprintf("status %#04x: %s", e.Status, e.Comment) }

// Unwrap returns the cause.
func (e *StatusError) Unwrap() error { return e.Err }

// Incoming describes an object that arrives.
type Incoming struct {
	SOPClassUID, SOPInstanceUID, TransferSyntaxUID string
	// StudyInstanceUID is the study that the object must be of; empty is any.
	StudyInstanceUID string
	Calling          string
	Association      uint64
	// Head is the file's head, written before the data set.
	Head []byte
	// Brought, where it is set, is told when the object was not there already and is not kept aside: its study may be complete with it.
	Brought func(studyInstanceUID string)
}

// Ledger is the durable state that a receiver needs; *queue.DB is one.
type Ledger interface {
	View(read func(*queue.Tx) error) error
	Update(apply func(*queue.Tx) error) error
}

// Receiver stores objects.
type Receiver struct {
	DB    Ledger
	Spool *spool.Spool
	// ReadHeader reads a stored file, within bounds.
	ReadHeader func(path string) (study.Header, error)
	// AcceptDuplicates answers the same UID with other bytes with success; they are kept aside either way.
	AcceptDuplicates bool
	// Complete schedules the study's completion, in the transaction that makes an object known.
	Complete func(tx *queue.Tx, s *queue.Study) error
	// Look has the pixels of an object looked at that were not yet.
	Look func(tx *queue.Tx, i *queue.Instance) error
	// ReadNote reads a stored Key Object Selection document as a rejection note; nil when it is none.
	ReadNote func(path string) (*study.RejectionNote, error)
	// IsReport tells documents from images by their SOP class, Report is told of each that comes, in the transaction that makes it known: a
	// report is no object of its study and does not re-open it.
	IsReport func(sopClassUID string) bool
	Report   func(tx *queue.Tx, i *queue.Instance) error
	// Unsuited says why an object cannot be read for a draft, empty when it can. One that cannot does not re-open a study that has a revision; nil is
	// for a receiver to which all objects are the same.
	Unsuited func(h study.Header) string
	// Rejected is told of each study that loses objects, in the transaction that makes the note known.
	Rejected func(tx *queue.Tx, s *queue.Study, lost RejectedObjects) error
	// SamePicture compares the pixel data of two files, or what two documents say; nil takes no object for a correction of its patient.
	SamePicture func(a, b string) (bool, error)
	// Moved is told of a study and its object that is another patient's or of another order now, in the transaction that makes the correction known.
	Moved func(tx *queue.Tx, s *queue.Study, i *queue.Instance) error
	// DraftOf returns the newest revision of a study's draft that reads the object in a file of the spool, 0 when none does; nil knows of no drafts.
	DraftOf func(studyInstanceUID, path string) int
	Log     *slog.Logger

	turns   turns
	readers readers
	pace    pace
}

// Receive streams the data set to disk, makes the object known and returns its header. When the error is nil the object is durable: file, folder and
// ledger are synced.
func (r *Receiver) Receive(in Incoming, data io.Reader) (study.Header, error) {
	r.pace.note(time.Now())
	w, err := r.Spool.Begin(in.Head)
	if err != nil {
		return study.Header{}, resources(err)
	}
	if _, err := io.Copy(w, data); err != nil {
		w.Abort()
		return study.Header{}, resources(err)
	}
	if err := w.End(); err != nil {
		w.Abort()
		return study.Header{}, resources(err)
	}
	header, note, err := r.read(w.Path())
	if err != nil {
		w.Abort()
		return header, unreadable(err)
	}
	if status := check(in, header); status != nil {
		w.Abort()
		return header, status
	}
	instance := &queue.Instance{Instance: study.Instance{Header: header, SHA256: w.SHA256(), Size: w.Size(), Calling: in.Calling}}
	err = r.keep(w, instance, note)
	if err == nil && in.Brought != nil && instance.Path != "" && !IsApart(instance.Path) {
		in.Brought(header.StudyInstanceUID)
	}
	return header, err
}

// read reads a stored file's header, and its note if it is one that rejects. A file that makes its reader panic is one that cannot be read.
func (r *Receiver) read(path string) (header study.Header, note *study.RejectionNote, err error) {
	defer r.readers.take()()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reading it panicked: %v", p)
		}
	}()
	header, err = r.ReadHeader(path)
	if err == nil && r.ReadNote != nil && header.SOPClassUID == rejection.KeyObjectSelection {
		note, err = r.ReadNote(path)
	}
	return header, note, err
}

// keep makes a whole object durable, and says where it lies unless it was there already. Two objects of one SOP Instance UID come here one after the other: else the second could
// replace, or after a failure remove, the file of the first.
func (r *Receiver) keep(w *spool.Writer, instance *queue.Instance, note *study.RejectionNote) error {
	uid := instance.Header.SOPInstanceUID
	defer r.turns.take(uid)()
	var known *queue.Instance
	var rejected *StatusError
	err := r.DB.View(func(tx *queue.Tx) (err error) {
		if rejected, err = refused(tx, instance.Header); err != nil {
			return err
		}
		known, err = tx.Instance(uid)
		return err
	})
	if err != nil {
		w.Abort()
		return internal(err)
	}
	if rejected != nil {
		w.Abort()
		return rejected
	}
	switch {
	case known == nil:
		if instance.Path, err = w.Commit(uid + "/" + instance.SHA256); err != nil {
			return resources(err)
		}
		// When the ledger fails the file stays: whether the commit reached the disk is unknown. The next start takes it in or the
		// sender sends again.
		err := r.DB.Update(func(tx *queue.Tx) error {
			if note != nil {
				return r.recordNote(tx, instance, note)
			}
			return r.record(tx, instance)
		})
		return resources(err)
	case known.SHA256 != instance.SHA256:
		take, err := r.successor(w.Path(), instance, known)
		if err != nil {
			w.Abort()
			return internal(err)
		}
		if take != nil {
			if instance.Path, err = w.Commit(uid + "/" + instance.SHA256); err != nil {
				return resources(err)
			}
			return resources(r.DB.Update(func(tx *queue.Tx) error { return take(tx, instance, known) }))
		}
		before, err := r.aside(uid, instance.SHA256)
		if err != nil {
			w.Abort()
			return internal(err)
		}
		if before != nil { // a second file of it would be one that nobody knows
			w.Abort()
			return r.different(before, known)
		}
		if instance.Path, err = w.CommitAside(uid + "/" + instance.SHA256); err != nil {
			return resources(err)
		}
		return r.different(instance, known)
	case known.Gone == "" && r.Spool.Has(known.Path, known.Size):
		w.Abort()
		return nil
	}
	// The ledger knows the object and the disk has lost it: the sender brings it back.
	if instance.Path, err = w.Commit(uid + "/" + instance.SHA256); err != nil {
		return resources(err)
	}
	if known.Gone != "" {
		return resources(r.DB.Update(func(tx *queue.Tx) error { return r.returned(tx, uid) }))
	}
	r.Log.Warn("a lost file came back with a resend", "sop_instance", uid)
	return nil
}

// aside returns the object with these bytes that is kept aside, nil when there is none or its file is gone.
func (r *Receiver) aside(sopInstanceUID, sha256 string) (found *queue.Instance, err error) {
	err = r.DB.View(func(tx *queue.Tx) error {
		all, err := tx.AsideOf(sopInstanceUID)
		for _, i := range all {
			if i.SHA256 == sha256 && r.Spool.Has(i.Path, i.Size) {
				found = i
			}
		}
		return err
	})
	return found, err
}

// readers lets a few headers be read at a time: one whose attributes are as long as they may be takes some 100 MB while it is read, and a
// hostile sender has many associations. Reading is work for the processor; more at a time would not be faster.
type readers struct {
	once  sync.Once
	slots chan struct{}
}

// take waits for a slot and returns what gives it back.
func (r *readers) take() (give func()) {
	r.once.Do(func() { r.slots = make(chan struct{}, max(2, min(runtime.GOMAXPROCS(0), maxReaders))) })
	r.slots <- struct{}{}
	return func() { <-r.slots }
}

// turns lets the holders of one key pass one after the other. The zero value is ready.
type turns struct {
	mu   sync.Mutex
	held map[string]chan struct{}
}

// take waits for the key and returns what gives it back.
func (t *turns) take(key string) (give func()) {
	for {
		t.mu.Lock()
		wait := t.held[key]
		if wait == nil {
			if t.held == nil {
				t.held = map[string]chan struct{}{}
			}
			mine := make(chan struct{})
			t.held[key] = mine
			t.mu.Unlock()
			return func() {
				t.mu.Lock()
				delete(t.held, key)
				t.mu.Unlock()
				close(mine)
			}
		}
		t.mu.Unlock()
		<-wait
	}
}

// record makes the instance part of the ledger and its study.
func (r *Receiver) record(tx *queue.Tx, i *queue.Instance) error {
	if r.IsReport != nil && r.IsReport(i.Header.SOPClassUID) {
		return r.recordReport(tx, i)
	}
	now := tx.Now().UTC()
	came(i, now)
	s, err := tx.Study(i.Header.StudyInstanceUID)
	if err != nil {
		return err
	}
	if s == nil {
		s = &queue.Study{UID: i.Header.StudyInstanceUID, First: now}
	}
	s.Instances = append(s.Instances, i.Header.SOPInstanceUID)
	s.Note(now, fmt.Sprintf("received %s object %d from %s", modality(i.Header), len(s.Instances), i.Calling))
	if err := tx.PutInstance(i); err != nil {
		return err
	}
	if err := tx.IndexAccession(i.Header.AccessionNumber, s.UID); err != nil {
		return err
	}
	if r.beside(s, i.Header) {
		s.Last, s.Removed = now, time.Time{}
		s.Drafted = append(s.Drafted, i.Header.SOPInstanceUID)
		return errors.Join(r.Look(tx, i), tx.PutStudy(s))
	}
	if err := r.reopen(tx, s, i.Header.SOPInstanceUID, "a late image re-opened the study"); err != nil {
		return err
	}
	return tx.PutStudy(s)
}

// beside reports whether an object is kept beside the study's draft and does not re-open it. A draft that opened a revision when its archive sends it back would
// be drafted, sent and sent back again for ever.
func (r *Receiver) beside(s *queue.Study, h study.Header) bool {
	return s.Revision > 0 && s.State != queue.Receiving && r.Unsuited != nil && r.Unsuited(h) != ""
}

// came notes when an object came: now, or when its file says.
func came(i *queue.Instance, now time.Time) {
	if i.Received.IsZero() || i.Received.After(now) {
		i.Received = now
	}
}

// recordReport makes a report part of the ledger beside its study.
func (r *Receiver) recordReport(tx *queue.Tx, i *queue.Instance) error {
	if err := recordBeside(tx, i, "a report", "received a report from "+i.Calling); err != nil {
		return err
	}
	return r.Report(tx, i)
}

// recordBeside makes a document that is no image part of the ledger: its study is not completed anew for it, and one that has nothing else
// gets no draft. what names the document, event what happened.
func recordBeside(tx *queue.Tx, i *queue.Instance, what, event string) error {
	now := tx.Now().UTC()
	came(i, now)
	s, err := tx.Study(i.Header.StudyInstanceUID)
	if err != nil {
		return err
	}
	if s == nil {
		s = &queue.Study{UID: i.Header.StudyInstanceUID, First: now, Last: now, State: queue.Refused, Reason: "only " + what + " came, no image"}
	}
	s.Notes = append(s.Notes, i.Header.SOPInstanceUID)
	s.Note(now, event)
	if err := tx.PutInstance(i); err != nil {
		return err
	}
	return errors.Join(tx.IndexAccession(i.Header.AccessionNumber, s.UID), tx.PutStudy(s))
}

func modality(h study.Header) string {
	if h.Modality == "" {
		return "an"
	}
	return "a " + h.Modality
}

// different records an object that is kept aside, and answers it.
func (r *Receiver) different(instance, known *queue.Instance) error {
	err := r.DB.Update(func(tx *queue.Tx) error {
		instance.Received = tx.Now().UTC()
		if s, err := tx.Study(known.Header.StudyInstanceUID); err == nil && s != nil {
			s.Note(tx.Now(), "the same SOP Instance UID came again with other bytes; they are kept aside")
			if err := tx.PutStudy(s); err != nil {
				return err
			}
		}
		return tx.SetAside(instance)
	})
	if err != nil {
		return resources(err)
	}
	r.Log.Warn("SOP instance sent again with other bytes; kept aside", "sop_instance", instance.Header.SOPInstanceUID,
		"first", known.SHA256[:12], "now", instance.SHA256[:12])
	if r.AcceptDuplicates {
		return nil
	}
	return &StatusError{StatusDuplicate, "SOP instance exists with other content; kept aside", nil}
}

// check holds the data set against the command and its own rules.
func check(in Incoming, h study.Header) error {
	switch {
	case h.SOPClassUID != in.SOPClassUID:
		return &StatusError{StatusMismatch, "SOP Class UID of data set and command differ", nil}
	case h.SOPInstanceUID != in.SOPInstanceUID:
		return &StatusError{StatusMismatch, "SOP Instance UID of data set and command differ", nil}
	case in.StudyInstanceUID != "" && h.StudyInstanceUID != in.StudyInstanceUID:
		return &StatusError{StatusMismatch, "the object is of another study than the request", nil}
	}
	for _, uid := range []struct{ name, value string }{
		{"SOP Instance UID", h.SOPInstanceUID}, {"Study Instance UID", h.StudyInstanceUID}, {"Series Instance UID", h.SeriesInstanceUID},
	} {
		if !dicomfile.ValidUID(uid.value) {
			return &StatusError{StatusCannotUnderstand, clip(uid.name + " is missing or not a UID"), nil}
		}
	}
	return nil
}

func resources(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, spool.ErrNoSpace) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) { // the ledger's disk too
		return &StatusError{StatusOutOfResources, clip("out of disk space"), err}
	}
	return internal(err)
}

// unreadable tells a data set that breaks its rules from a disk that cannot be read: only the first is the sender's doing.
func unreadable(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return internal(err)
	}
	return &StatusError{StatusCannotUnderstand, clip("data set cannot be read: " + err.Error()), err}
}

func internal(err error) error {
	return &StatusError{StatusProcessingFailure, "internal error", err}
}

// clip shortens a comment to what Error Comment (LO) holds.
func clip(text string) string { return text[:min(len(text), 64)] }

// Known returns the paths of all files that the ledger knows, for Spool.Unknown.
func Known(db Ledger) (map[string]bool, error) {
	known := map[string]bool{}
	err := db.View(func(tx *queue.Tx) error {
		aside, err := tx.Aside()
		if err != nil {
			return err
		}
		for _, i := range aside {
			known[i.Path] = true
		}
		return tx.EachInstancePath(func(path string) error { known[path] = true; return nil })
	})
	return known, err
}
