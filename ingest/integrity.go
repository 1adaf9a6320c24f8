package ingest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"llamaxr/dicomnet/part10"
	"llamaxr/ingest/atrest"
	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/spool"
	"llamaxr/queue"
	"llamaxr/study"
)

// ErrFileDamaged is returned for a stored file that is not what was received.
var ErrFileDamaged = errors.New("the file is not what was received")

// Verify holds the stored file of an instance against the ledger: its head names the object, its data set has the digest that it came with.
func Verify(s *spool.Spool, i *queue.Instance) error {
	meta, sum, size, err := digestOf(s, i.Path)
	switch {
	case err != nil:
		return err
	case size != i.Size || sum != i.SHA256:
		return fmt.Errorf("%w: SHA-256 of %d bytes", ErrFileDamaged, size)
	case meta.SOPInstanceUID != i.Header.SOPInstanceUID || meta.SOPClassUID != i.Header.SOPClassUID || meta.TransferSyntaxUID != i.Header.TransferSyntaxUID:
		return fmt.Errorf("%w: its head names another object", ErrFileDamaged)
	}
	return nil
}

// Open opens a stored object by its path on disk.
func Open(s *spool.Spool, path string) (*dicomfile.File, error) {
	file, err := s.Open(path)
	if err != nil {
		return nil, damaged(err)
	}
	return dicomfile.From(file)
}

// damaged makes what does not decrypt a damaged file.
func damaged(err error) error {
	if errors.Is(err, atrest.ErrDamaged) {
		return fmt.Errorf("%w: %w", ErrFileDamaged, err)
	}
	return err
}

// digestOf reads a stored file: its head, and digest and size of its data set.
func digestOf(s *spool.Spool, relative string) (meta *part10.Meta, sum string, size int64, err error) {
	file, err := s.Open(s.Path(relative))
	if err != nil {
		return nil, "", 0, damaged(err)
	}
	defer file.Close()
	head := make([]byte, part10.MaxMeta) // Decode does not tell a disk that does not read from a file that is no object
	n, err := io.ReadFull(file, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, "", 0, damaged(err)
	}
	if meta, err = part10.Decode(bytes.NewReader(head[:n])); err != nil {
		return nil, "", 0, fmt.Errorf("%w: %w", ErrFileDamaged, err)
	}
	if _, err := file.Seek(meta.Length, io.SeekStart); err != nil {
		return nil, "", 0, err
	}
	digest := sha256.New()
	if size, err = io.Copy(digest, file); err != nil {
		return nil, "", 0, damaged(err)
	}
	return meta, hex.EncodeToString(digest.Sum(nil)), size, nil
}

// Lose sets the damaged file of an instance aside and says so in the ledger; a resend brings the instance back.
func (r *Receiver) Lose(sopInstanceUID string, cause error) error {
	defer r.turns.take(sopInstanceUID)()
	var i *queue.Instance
	err := r.DB.View(func(tx *queue.Tx) (err error) {
		i, err = tx.Instance(sopInstanceUID)
		return err
	})
	if err != nil || i == nil || i.Gone != "" {
		return err
	}
	if Verify(r.Spool, i) == nil {
		return nil // it came again in the meantime
	}
	if err := r.Spool.SetAside(i.Path); err != nil {
		return err
	}
	r.Log.Error("a stored object is damaged; it is set aside", "sop_instance", sopInstanceUID, "path", i.Path, "error", cause)
	return r.DB.Update(func(tx *queue.Tx) error {
		i, err := tx.Instance(sopInstanceUID)
		if err != nil || i == nil {
			return err
		}
		i.Gone = queue.GoneDamaged
		if err := tx.PutInstance(i); err != nil {
			return err
		}
		s, err := tx.Study(i.Header.StudyInstanceUID)
		if err != nil || s == nil {
			return err
		}
		s.Note(tx.Now(), "the file of an object was damaged on the disk; sending it again brings it back")
		return tx.PutStudy(s)
	})
}

// Regain makes an instance whole again whose file was lost and is there, as when somebody took it from a backup.
func (r *Receiver) Regain(sopInstanceUID string) error {
	defer r.turns.take(sopInstanceUID)()
	return r.DB.Update(func(tx *queue.Tx) error { return r.returned(tx, sopInstanceUID) })
}

// Adopt takes a stored file that the ledger does not know into it and returns its study: its record was lost, or nobody was told of it yet. Of
// files of one SOP Instance UID the first to come is adopted first: a later one may correct its patient.
func (r *Receiver) Adopt(relative string) (studyInstanceUID string, err error) {
	path := r.Spool.Path(relative)
	header, note, err := r.read(path)
	if err != nil {
		return "", err
	}
	meta, sum, size, err := digestOf(r.Spool, relative)
	if err != nil {
		return "", err
	}
	if status := check(Incoming{SOPClassUID: meta.SOPClassUID, SOPInstanceUID: meta.SOPInstanceUID}, header); status != nil {
		return "", status
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	i := &queue.Instance{Instance: study.Instance{
		Header: header, SHA256: sum, Size: size, Path: relative, Calling: meta.SourceAETitle, Received: info.ModTime().UTC(),
	}}
	return header.StudyInstanceUID, r.adopt(i, note)
}

// later reports whether an object came after the one that is known: a later draft reads it or, where the drafts do not tell, its file is newer.
func (r *Receiver) later(i, known *queue.Instance) bool {
	if r.DraftOf != nil {
		uid := i.Header.StudyInstanceUID
		if its, other := r.DraftOf(uid, i.Path), r.DraftOf(uid, known.Path); its > 0 && other > 0 {
			return its > other
		}
	}
	return !i.Received.Before(known.Received)
}

// IsApart tells the files of objects whose UID is another's.
func IsApart(relative string) bool {
	return strings.HasPrefix(relative, "aside"+string(filepath.Separator))
}

// adopt makes what a stored file holds known.
func (r *Receiver) adopt(i *queue.Instance, note *study.RejectionNote) error {
	uid := i.Header.SOPInstanceUID
	defer r.turns.take(uid)()
	var known *queue.Instance
	err := r.DB.View(func(tx *queue.Tx) (err error) {
		known, err = tx.Instance(uid)
		return err
	})
	if err != nil {
		return err
	}
	if known != nil && known.SHA256 == i.SHA256 && known.Path == i.Path {
		return nil // it was on its way
	}
	apart := IsApart(i.Path)
	if known != nil && !apart {
		take, err := r.successor(r.Spool.Path(i.Path), i, known)
		if err != nil {
			return fmt.Errorf("holding it against %s: %v", known.Path, err) // what is wrong is not with this file
		}
		if take != nil && r.later(i, known) {
			return r.DB.Update(func(tx *queue.Tx) error { return take(tx, i, known) })
		}
	}
	return r.DB.Update(func(tx *queue.Tx) error {
		if known != nil || apart {
			return tx.SetAside(i)
		}
		aside, err := tx.AsideOf(uid)
		if err != nil {
			return err
		}
		for _, before := range aside {
			if !IsApart(before.Path) { // i corrects its patient, and it stays its sender's picture
				i.Calling = before.Calling
			}
		}
		s, err := tx.Study(i.Header.StudyInstanceUID)
		if err != nil {
			return err
		}
		if s != nil && (slices.Contains(s.Instances, uid) || slices.Contains(s.Notes, uid)) {
			if err := tx.PutInstance(i); err != nil {
				return err
			}
			if r.IsReport != nil && r.IsReport(i.Header.SOPClassUID) {
				return nil // it was read when it came
			}
			return r.Look(tx, i)
		}
		if note != nil {
			return r.recordNote(tx, i, note)
		}
		return r.record(tx, i)
	})
}
