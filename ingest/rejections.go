package ingest

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"llamaxr/queue"
	"llamaxr/study"
)

// StatusNotAuthorised answers an object that was rejected for good (PS3.7 C.5.15): no toolkit takes it for a passing state, as it
// would 0xA7xx, so the sender does not try for ever.
const StatusNotAuthorised uint16 = 0x0124

// RejectedObjects are objects of one study that a note takes back.
type RejectedObjects struct {
	Title study.RejectionTitle
	Note  string   // its SOP Instance UID
	Known []string // SOP Instance UIDs of those that the ledger holds
}

// refused returns the status of an object that was rejected for good, before or after it came.
func refused(tx *queue.Tx, h study.Header) (*StatusError, error) {
	r, err := tx.Rejection(h.StudyInstanceUID, h.SOPInstanceUID)
	if err != nil || r == nil || !r.Title.Final() {
		return nil, err
	}
	return &StatusError{StatusNotAuthorised, clip(fmt.Sprintf("instance was rejected (%s): %s", r.Title, r.Title.Reason())), nil}, nil
}

// recordNote makes a rejection note part of the ledger and obeys it: each object that it names is remembered as rejected, those that
// are here are told to their study.
func (r *Receiver) recordNote(tx *queue.Tx, i *queue.Instance, note *study.RejectionNote) error {
	event := fmt.Sprintf("received a rejection note for %d objects from %s: %s", len(note.Objects), i.Calling, note.Title.Reason())
	if err := recordBeside(tx, i, "a rejection note", event); err != nil {
		return err
	}
	return r.obey(tx, i, note)
}

// Obey obeys a note that is part of the ledger once more: what it said was lost.
func (r *Receiver) Obey(i *queue.Instance, note *study.RejectionNote) error {
	return r.DB.Update(func(tx *queue.Tx) error { return r.obey(tx, i, note) })
}

func (r *Receiver) obey(tx *queue.Tx, i *queue.Instance, note *study.RejectionNote) error {
	known := map[string][]string{}
	var studies []string
	for _, o := range note.Objects {
		if err := r.reject(tx, i, note.Title, o); err != nil {
			return err
		}
		held, err := tx.Instance(o.SOPInstanceUID)
		if err != nil {
			return err
		}
		if held == nil {
			// Of a study that was made again from its drafts alone no object is known.
			if s, err := tx.Study(o.StudyInstanceUID); err != nil {
				return err
			} else if s == nil || len(s.Instances) > 0 || s.Revision == 0 || note.Title == study.RejectedRetention {
				continue
			}
		} else if held.Header.StudyInstanceUID != o.StudyInstanceUID {
			continue
		}
		if known[o.StudyInstanceUID] == nil {
			studies = append(studies, o.StudyInstanceUID)
		}
		known[o.StudyInstanceUID] = append(known[o.StudyInstanceUID], o.SOPInstanceUID)
	}
	for _, uid := range studies {
		if err := r.tellStudy(tx, uid, RejectedObjects{note.Title, i.Header.SOPInstanceUID, known[uid]}); err != nil {
			return err
		}
	}
	return nil
}

// reject remembers one object. Expiry says nothing of an object that comes later: it is deleted where it lies and may come again.
func (r *Receiver) reject(tx *queue.Tx, note *queue.Instance, title study.RejectionTitle, o study.ObjectReference) error {
	if title == study.RejectedRetention {
		return nil
	}
	return tx.Reject(&queue.Rejection{Object: o, Title: title, Note: note.Header.SOPInstanceUID, Time: note.Received})
}

// tellStudy lets the study bear the loss. What we committed to does not expire by a note: retention takes it when it may.
func (r *Receiver) tellStudy(tx *queue.Tx, uid string, lost RejectedObjects) error {
	s, err := tx.Study(uid)
	if err != nil || s == nil {
		return err
	}
	if lost.Title == study.RejectedRetention {
		named := lost.Known
		lost.Known = nil
		for _, sop := range named {
			i, err := tx.Instance(sop)
			if err != nil {
				return err
			}
			if i.PromisedUntil.After(tx.Now()) {
				continue
			}
			lost.Known = append(lost.Known, sop)
			i.Gone = study.RejectedRetention.Reason()
			if err := tx.PutInstance(i); err != nil {
				return err
			}
		}
		if kept := len(named) - len(lost.Known); kept > 0 {
			s.Note(tx.Now(), fmt.Sprintf("%d objects are kept that a note lets expire: we committed to them", kept))
		}
	}
	if len(lost.Known) > 0 {
		if err := r.Rejected(tx, s, lost); err != nil {
			return err
		}
	}
	return tx.PutStudy(s)
}

// Forget deletes the cached copy of an instance that a note let expire, unless it came again in the meantime.
func (r *Receiver) Forget(sopInstanceUID string) error {
	defer r.turns.take(sopInstanceUID)()
	var i *queue.Instance
	err := r.DB.View(func(tx *queue.Tx) (err error) {
		i, err = tx.Instance(sopInstanceUID)
		return err
	})
	if err != nil || i == nil || i.Gone == "" {
		return err
	}
	if err := r.Spool.Remove(i.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("deleting an expired object: %w", err)
	}
	return nil
}

// ForgetAside deletes the files of an instance that are kept aside since before a time; that they came stays known.
func (r *Receiver) ForgetAside(sopInstanceUID string, before time.Time) error {
	defer r.turns.take(sopInstanceUID)()
	var aside []*queue.Instance
	var present *queue.Instance
	err := r.DB.View(func(tx *queue.Tx) (err error) {
		if present, err = tx.Instance(sopInstanceUID); err != nil {
			return err
		}
		aside, err = tx.AsideOf(sopInstanceUID)
		return err
	})
	for _, i := range aside {
		if i.Received.After(before) || present != nil && present.Path == i.Path { // a correction of it was undone
			continue
		}
		if err := r.Spool.Remove(i.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("deleting an object that was kept aside: %w", err)
		}
	}
	return err
}

// returned makes an instance whose file the disk had lost, or let expire, whole again. One that retention had removed is that of a study whose
// way is over: it is kept again, and read when something new comes.
func (r *Receiver) returned(tx *queue.Tx, uid string) error {
	i, err := tx.Instance(uid)
	if err != nil || i == nil || i.Gone == "" {
		return err
	}
	removed := i.Gone == queue.GoneRetention
	i.Gone = ""
	if !removed && i.Examined != nil && i.Examined.Reason != "" {
		i.Examined = nil // it may be of the file that was gone
	}
	if err := tx.PutInstance(i); err != nil {
		return err
	}
	s, err := tx.Study(i.Header.StudyInstanceUID)
	if err != nil || s == nil {
		return err
	}
	s.Note(tx.Now(), "an object whose file was gone came again")
	s.Removed = time.Time{}
	switch {
	case !slices.Contains(s.Instances, uid):
	case removed:
		if err := r.Look(tx, i); err != nil { // where other bytes of it came
			return err
		}
	case i.Examined == nil || s.Pair == nil || s.Pair.Frontal != uid && s.Pair.Lateral != uid:
		if err := r.reopen(tx, s, uid, "a lost object came again"); err != nil {
			return err
		}
	}
	return tx.PutStudy(s)
}
