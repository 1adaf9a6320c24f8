package daemon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"llamaxr/ingest"
	"llamaxr/ingest/atrest"
	"llamaxr/queue"
)

// errDamaged is returned for a file of a draft that is not what was written.
var errDamaged = errors.New("its checksum does not fit")

// sealedRecord is a draft's record as a file: the digest is of the record's bytes as they stand there.
type sealedRecord struct {
	SHA256 string          `json:"sha256"`
	Record json.RawMessage `json:"record"`
}

func sha256Of(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// encodeRecord is the file of a record.
func encodeRecord(record *DraftRecord) ([]byte, error) {
	text, err := json.Marshal(record)
	if err != nil {
		return nil, fmt.Errorf("daemon: encoding a draft: %w", err)
	}
	return json.Marshal(sealedRecord{sha256Of(text), text})
}

// decodeRecord reads the file of a record. One of an older program has no checksum.
func decodeRecord(text []byte) (*DraftRecord, error) {
	var sealed sealedRecord
	if err := json.Unmarshal(text, &sealed); err != nil {
		return nil, fmt.Errorf("daemon: draft record: %w: %w", errDamaged, err)
	}
	switch {
	case sealed.Record == nil && bytes.Contains(text[:min(len(text), 64)], []byte(`"draft"`)):
		sealed.Record = text
	case sha256Of(sealed.Record) != sealed.SHA256:
		return nil, fmt.Errorf("daemon: draft record: %w", errDamaged)
	}
	record := new(DraftRecord)
	if err := json.Unmarshal(sealed.Record, record); err != nil {
		return nil, fmt.Errorf("daemon: draft record: %w", err)
	}
	return record, nil
}

// verify holds a file of a draft against the record's digest of it. Files of an older program have none.
func (d drafts) verify(record *DraftRecord, name string) error {
	folder := d.folder(record.Draft.StudyInstanceUID, record.Draft.Revision)
	want, known := record.Sums[name]
	if !known {
		_, err := os.Stat(filepath.Join(folder, name))
		return err
	}
	return d.hold(folder, name, want)
}

// stands holds a file in a draft's folder against its SHA-256 or, where the record is an older one that has none, against what is read in it.
func (d drafts) stands(folder, name, want string, read func() (fits bool, err error)) error {
	if want != "" {
		return d.hold(folder, name, want)
	}
	switch fits, err := read(); {
	case err != nil && machineFault(err):
		return err
	case err != nil || !fits:
		return errDamaged
	}
	return nil
}

// hold holds a file in a draft's folder against its SHA-256.
func (d drafts) hold(folder, name, want string) error {
	data, err := d.key.ReadFile(filepath.Join(folder, name), maxDocumentSize)
	if err != nil {
		return fmt.Errorf("daemon: %s of a draft: %w", name, err)
	}
	if sha256Of(data) != want {
		return fmt.Errorf("daemon: %s of a draft: %w", name, errDamaged)
	}
	return nil
}

// lost reports whether an error says that a file is gone or not what it was.
func lost(err error) bool {
	return errors.Is(err, errDamaged) || errors.Is(err, atrest.ErrDamaged) || errors.Is(err, fs.ErrNotExist)
}

// wholeDocuments makes the documents of a draft again when one of them is gone or not what was written.
func (a *Appliance) wholeDocuments(ctx context.Context, record *DraftRecord) error {
	for _, d := range record.Documents {
		err := a.drafts.verify(record, d.File)
		if err == nil {
			continue
		}
		if !lost(err) {
			return err
		}
		uid, revision := record.Draft.StudyInstanceUID, record.Draft.Revision
		a.log.Warn("a document of a draft was lost and is made again", "study", uid, "revision", revision, "error", err)
		previous, err := a.replaced(uid, revision, record)
		if err != nil {
			return err
		}
		return a.makeDocuments(ctx, record, previous)
	}
	return nil
}

// whole holds the file of an image against what was received, before it is read. A damaged one is set aside, and the job that wanted it
// asks again how the study is to be read without it.
func (a *Appliance) whole(i *queue.Instance) error {
	if i == nil || i.Gone != "" {
		return nil
	}
	cause := ingest.Verify(a.spool, i)
	if !lostImage(cause) {
		return cause
	}
	if err := a.receiver.Lose(i.Header.SOPInstanceUID, cause); err != nil {
		return err
	}
	return fmt.Errorf("daemon: instance %s: %w", i.Header.SOPInstanceUID, cause)
}

// lostImage reports whether what Verify says is that the file of an image is gone or not what was received, rather than that it cannot be read now.
func lostImage(err error) bool {
	return errors.Is(err, ingest.ErrFileDamaged) || errors.Is(err, fs.ErrNotExist)
}

// unreadable sets aside the images that the disk does not read, when the job that wanted them is given up: sending them again brings them back.
func (a *Appliance) unreadable(job queue.Job, cause error) {
	if !errors.Is(cause, syscall.EIO) {
		return
	}
	var wanted []string
	var err error
	switch job.Kind {
	case kindExamine:
		wanted = make([]string, 1)
		err = json.Unmarshal(job.Payload, &wanted[0])
	case kindDraft:
		var p paired
		p, err = a.pairOf(job.Study)
		wanted = []string{p.pair.Frontal, p.pair.Lateral}
	}
	for _, sop := range wanted {
		err = errors.Join(err, a.receiver.Lose(sop, cause)) // one that is whole, or not there, is not lost
	}
	if err != nil && !isShutdown(err) {
		a.log.Error("setting unreadable objects aside", "study", job.Study, "error", err)
	}
}

// remake has a draft whose record was lost made again: as the same revision when nothing of it left, else as the next, since it would not be
// the same bytes. It returns the error with which the job that wanted it waits.
func (a *Appliance) remake(uid string, revision int, cause error) error {
	if !lost(cause) {
		return cause
	}
	if !errors.Is(cause, fs.ErrNotExist) {
		if err := a.drafts.setAside(uid, revision); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	left := false
	err := a.db.Update(func(tx *queue.Tx) error {
		s, err := tx.Study(uid)
		if err != nil || s == nil {
			return err
		}
		left = mayHaveLeft(s, revision)
		switch {
		case left && s.Revision == revision && s.State != queue.Receiving:
			s.Note(tx.Now(), fmt.Sprintf("the draft of revision %d was lost on the disk; the study is drafted again", revision))
			s.State, s.Reason = queue.Receiving, ""
			if err := tx.Postpone(completionJob(uid, tx.Now(), false)); err != nil {
				return err
			}
			return tx.PutStudy(s)
		case left || s.Revision != revision:
			return nil
		}
		return tx.Again(draftJob(s))
	})
	if err != nil {
		return err
	}
	if left {
		return queue.Permanent(fmt.Errorf("daemon: revision %d was lost on the disk and is drafted again as the next: %w", revision, cause))
	}
	return cause
}
