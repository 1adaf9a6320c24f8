package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"llamaxr/dicomnet"
	"llamaxr/dicomnet/dimse"
	"llamaxr/ingest/dicomfile"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// Query names studies at an archive: by Study Instance UID or by Accession Number, one of the two.
type Query struct{ StudyInstanceUID, AccessionNumber string }

// Fetched is one study that an archive was asked to send.
type Fetched struct {
	StudyInstanceUID string `json:"study_instance_uid"`
	Sent             int    `json:"sent"`
	Failed           int    `json:"failed"`
	Error            string `json:"error,omitempty"`
}

// ErrNoMatch is returned when the archive has no study that fits.
var ErrNoMatch = errors.New("the archive has no such study")

// mostFetched is how many studies one query may bring: more is a query that was not meant.
const mostFetched = 20

// Fetch asks an archive for studies (C-FIND, PS3.4 C.4.1) and has it send them to destination, an AE title that the archive knows (C-MOVE,
// C.4.2): the appliance takes them as it takes all others. progress is told how far a study is.
func Fetch(
	ctx context.Context, client dicomnet.Client, address string, q Query, destination string, progress func(study string, done dimse.SubOperations),
) ([]Fetched, error) {
	association, err := client.Dial(ctx, address, findAndMove())
	if err != nil {
		return nil, err
	}
	var studies []string
	syntax := association.TransferSyntax(dicomnet.StudyRootFind)
	err = association.Find(ctx, dicomnet.StudyRootFind, q.keys().identifier("STUDY", syntax), func(match []byte) error {
		set, err := readMatch(match, syntax)
		if err != nil {
			return err
		}
		uid := set.Text(tag.StudyInstanceUID)
		if !dicomfile.ValidUID(uid) {
			return errors.New("a match of the archive has no Study Instance UID")
		}
		if !slices.Contains(studies, uid) {
			studies = append(studies, uid)
		}
		if len(studies) > mostFetched {
			return fmt.Errorf("more than %d studies fit", mostFetched)
		}
		return nil
	})
	if err != nil {
		association.Abort()
		return nil, fmt.Errorf("finding the study: %w", err)
	}
	var out []Fetched
	for _, uid := range studies {
		one := Query{StudyInstanceUID: uid}.keys().identifier("STUDY", association.TransferSyntax(dicomnet.StudyRootMove))
		count, err := association.Move(ctx, dicomnet.StudyRootMove, destination, one, func(done dimse.SubOperations) {
			if progress != nil {
				progress(uid, done)
			}
		})
		f := Fetched{StudyInstanceUID: uid, Sent: int(count.Completed) + int(count.Warning), Failed: int(count.Failed)}
		if err != nil {
			f.Error = err.Error()
		}
		out = append(out, f)
		if status := new(dimse.StatusError); err != nil && !errors.As(err, &status) {
			association.Abort()
			return out, fmt.Errorf("moving study %s: %w", uid, err)
		}
	}
	if err := association.Release(); err != nil {
		return out, err
	}
	if len(studies) == 0 {
		return nil, ErrNoMatch
	}
	return out, nil
}

func (q Query) keys() keys {
	all := keys{{tag.StudyInstanceUID, "UI", q.StudyInstanceUID}}
	if q.AccessionNumber != "" {
		all = append(all, key{tag.AccessionNumber, "SH", q.AccessionNumber})
	}
	return all
}
