package daemon

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"llamaxr/ingest/atrest"
	"llamaxr/internal/durable"
	"llamaxr/queue"
	"llamaxr/study"

	"github.com/google/renameio/v2"
	"golang.org/x/sync/errgroup"
)

// Bounds of what is read back.
const (
	maxRecordSize   = 16 << 20  // of a draft's record; a real one is under 200 KiB
	maxDocumentSize = 256 << 20 // of a document or picture; a real one is under 4 MiB
)

// DraftRecord is all that is kept of one draft: enough to make its documents again, byte for byte.
type DraftRecord struct {
	Draft   study.Draft     `json:"draft"`
	Maps    []study.HeatMap `json:"maps"`
	Frontal *study.Header   `json:"frontal,omitempty"`
	Lateral *study.Header   `json:"lateral,omitempty"`
	// Paths of the images, relative to the state folder.
	FrontalPath string `json:"frontal_path,omitempty"`
	LateralPath string `json:"lateral_path,omitempty"`
	// Views is how each image was laid onto the classifier's input.
	Views map[study.Projection]study.Geometry `json:"views"`
	// Made is in the site's time zone, as the documents say it, whatever zone they are made again in.
	Made time.Time `json:"made"`
	// Shadow says that nothing of the draft may leave.
	Shadow bool `json:"shadow,omitempty"`
	// Took is the time each step needed.
	Took map[string]time.Duration `json:"took"`
	// Documents are those that were made of it, which go to the destinations.
	Documents []DocumentRecord `json:"documents,omitempty"`
	// PDF is whether a page was asked for when the draft was made: its documents can be made again though the site has changed its mind.
	PDF bool `json:"pdf,omitempty"`
	// HeatMap is the form that the heat map was asked for in; empty, as of drafts of older programs, is a picture.
	HeatMap string `json:"heat_map,omitempty"`
	// Sections is how the narrative was asked to be divided; empty, as of drafts of older programs, is plainly.
	Sections string `json:"sections,omitempty"`
	// Sums are the SHA-256 of the documents and pictures, by file name.
	Sums map[string]string `json:"sums,omitempty"`
}

// images are the headers of the views, nil for one that was not acquired.
func (r *DraftRecord) images() map[study.Projection]*study.Header {
	return map[study.Projection]*study.Header{study.Frontal: r.Frontal, study.Lateral: r.Lateral}
}

// Header is that of the frontal view, or else of the lateral; nil when there is neither.
func (r *DraftRecord) Header() *study.Header {
	if r.Frontal != nil {
		return r.Frontal
	}
	return r.Lateral
}

// patient is whom the draft is about.
func (r *DraftRecord) patient() (p study.Patient) {
	if h := r.Header(); h != nil {
		p = h.Patient()
	}
	return p
}

// DocumentRecord is one document of a draft, written and ready to be sent.
type DocumentRecord struct {
	Kind              string `json:"kind"`
	SOPClassUID       string `json:"sop_class_uid"`
	SOPInstanceUID    string `json:"sop_instance_uid"`
	SeriesInstanceUID string `json:"series_instance_uid"`
	File              string `json:"file"` // within the draft's folder
}

// drafts keeps draft records and documents as files under the state folder, one folder a revision. Folder names come from a
// digest of the Study Instance UID: nothing a peer sends chooses a path.
type drafts struct {
	root string
	key  *atrest.Key // nil writes plain files
}

func (d drafts) folder(studyUID string, revision int) string {
	sum := sha256.Sum256([]byte(studyUID))
	return filepath.Join(d.root, hex.EncodeToString(sum[:16]), strconv.Itoa(revision))
}

const recordFile = "draft.json"

// save makes the record durable before it returns.
func (d drafts) save(record *DraftRecord) error {
	text, err := encodeRecord(record)
	if err != nil {
		return err
	}
	return d.write(record.Draft.StudyInstanceUID, record.Draft.Revision, recordFile, text)
}

// write stores one file of a draft.
func (d drafts) write(studyUID string, revision int, name string, data []byte) error {
	return d.writeAll(studyUID, revision, map[string][]byte{name: data})
}

// writeAll stores files of a draft: written aside, synced, renamed, all at the same time, since each waits for the disk; then their folders are
// synced.
func (d drafts) writeAll(studyUID string, revision int, files map[string][]byte) error {
	folder := d.folder(studyUID, revision)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("daemon: making a draft's folder: %w", err)
	}
	var waiting errgroup.Group
	for name, data := range files {
		waiting.Go(func() error {
			data, err := d.key.Bytes(data)
			if err != nil {
				return err
			}
			if err := renameio.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
				return fmt.Errorf("daemon: writing %s of a draft: %w", name, err)
			}
			return nil
		})
	}
	if err := waiting.Wait(); err != nil {
		return err
	}
	for _, dir := range []string{folder, filepath.Dir(folder), d.root} {
		if err := durable.Names(dir); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes one file of a draft, if it is there.
func (d drafts) remove(studyUID string, revision int, name string) error {
	folder := d.folder(studyUID, revision)
	if err := os.Remove(filepath.Join(folder, name)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("daemon: removing %s of a draft: %w", name, err)
	}
	return durable.Names(folder)
}

func (d drafts) load(studyUID string, revision int) (*DraftRecord, error) {
	path := filepath.Join(d.folder(studyUID, revision), recordFile)
	text, err := d.key.ReadFile(path, maxRecordSize)
	if err != nil {
		return nil, fmt.Errorf("daemon: reading a draft: %w", err)
	}
	return decodeRecord(text)
}

// has reports whether a revision's record is there.
func (d drafts) has(studyUID string, revision int) bool {
	_, err := os.Stat(filepath.Join(d.folder(studyUID, revision), recordFile))
	return err == nil
}

// newest is the highest revision of a study of which there is a folder, 0 when there is none.
func (d drafts) newest(studyUID string) (revision int) {
	entries, err := os.ReadDir(filepath.Dir(d.folder(studyUID, 1)))
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			revision = max(revision, n)
		}
	}
	return revision
}

// anywhere stands in Study.Sent for every destination: where those revisions went is lost.
const anywhere = ""

// regain has a study know of the drafts on the disk that the ledger has lost. Each may have gone anywhere.
func (d drafts) regain(s *queue.Study) {
	newest := d.newest(s.UID)
	if newest <= s.Revision {
		return
	}
	s.Revision = newest
	for revision := 1; revision <= newest; revision++ {
		record, err := d.load(s.UID, revision)
		if err != nil || record.Shadow || len(record.Documents) == 0 || slices.Contains(s.Sent[anywhere], revision) {
			continue
		}
		if s.Sent == nil {
			s.Sent = map[string][]int{}
		}
		s.Sent[anywhere] = append(s.Sent[anywhere], revision)
	}
}

// ahead reports whether there are drafts of a study that the ledger has lost. One of the same images, the next, is not among them: made anew it has the same UIDs.
func (d drafts) ahead(tx *queue.Tx, s *queue.Study, pair study.Pair) (bool, error) {
	next := s.Revision + 1
	if newest := d.newest(s.UID); newest != next {
		return newest > next, nil
	}
	record, err := d.load(s.UID, next)
	if err != nil {
		return true, nil
	}
	for _, view := range []struct{ sop, path string }{{pair.Frontal, record.FrontalPath}, {pair.Lateral, record.LateralPath}} {
		i, err := tx.Instance(view.sop)
		if err != nil {
			return false, err
		}
		if i == nil && view.path != "" || i != nil && i.Path != view.path {
			return true, nil
		}
	}
	return false, nil
}

// reading is the newest revision of a study whose draft reads the object at a path relative to the state folder, 0 when none does.
func (d drafts) reading(studyUID, path string) int {
	for revision := d.newest(studyUID); revision > 0; revision-- {
		if record, err := d.load(studyUID, revision); err == nil && (record.FrontalPath == path || record.LateralPath == path) {
			return revision
		}
	}
	return 0
}

// setAside renames the record of a draft that cannot be read.
func (d drafts) setAside(studyUID string, revision int) error {
	folder := d.folder(studyUID, revision)
	path := filepath.Join(folder, recordFile)
	if err := os.Rename(path, path+".damaged"); err != nil {
		return fmt.Errorf("daemon: setting a draft aside: %w", err)
	}
	return durable.Names(folder)
}
