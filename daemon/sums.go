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
	path := filepath.Join(d.folder(record.Draft.StudyInstanceUID, record.Draft.Revision), name)
	want, known := record.Sums[name]
	if !known {
		_, err := os.Stat(path)
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("daemon: %s of a draft: %w", name, err)
	}
	if sha256Of(data) != want {
		return fmt.Errorf("daemon: %s of a draft: %w", name, errDamaged)
	}
	return nil
}

// lost reports whether an error says that a file is gone or not what it was.
func lost(err error) bool { return errors.Is(err, errDamaged) || errors.Is(err, fs.ErrNotExist) }

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
