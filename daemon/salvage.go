package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"llamaxr/ingest/dicomfile"
	"llamaxr/queue"
	"llamaxr/study"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// errBeyond says that a draft can no longer be taken back from here.
var errBeyond = errors.New("may have left and must be taken back by hand: its record and its documents are lost here")

// recordOf is the record of a draft that was taken back, or what its documents say.
func (a *Appliance) recordOf(uid string, revision int) (*DraftRecord, error) {
	record, err := a.drafts.load(uid, revision)
	if lost(err) {
		return a.salvaged(uid, revision)
	}
	return record, err
}

// salvaged is what the documents of a draft say whose record was lost: enough to tell whether it stands, and to take it back.
func (a *Appliance) salvaged(uid string, revision int) (*DraftRecord, error) {
	record, err := a.fromDocuments(uid, revision)
	if err != nil && !machineFault(err) {
		err = queue.Permanent(fmt.Errorf("daemon: revision %d %w: %w", revision, errBeyond, err))
	}
	return record, err
}

func (a *Appliance) fromDocuments(uid string, revision int) (*DraftRecord, error) {
	folder := a.drafts.folder(uid, revision)
	names, err := fs.Glob(os.DirFS(folder), "*.dcm")
	if err != nil {
		return nil, err
	}
	record := &DraftRecord{Draft: study.Draft{StudyInstanceUID: uid, Revision: revision}}
	for _, name := range names {
		if kind := strings.TrimSuffix(name, ".dcm"); name != withdrawalFile && !strings.HasPrefix(kind, "signed-") {
			h, err := dicomfile.Opener(a.object).ReadHeader(filepath.Join(folder, name))
			if err != nil {
				return nil, err
			}
			record.Documents = append(record.Documents, DocumentRecord{kind, h.SOPClassUID, h.SOPInstanceUID, h.SeriesInstanceUID, name})
		}
	}
	narrative, err := a.object(filepath.Join(folder, narrativeDocument+".dcm"))
	if err != nil {
		return nil, err
	}
	defer narrative.Close()
	for _, h := range evidenceOf(narrative) {
		if slices.ContainsFunc(record.Documents, func(d DocumentRecord) bool { return d.SOPInstanceUID == h.SOPInstanceUID }) {
			continue // a heat map as a presentation state
		}
		i, err := a.instance(h.SOPInstanceUID)
		if err != nil {
			return nil, err
		}
		if i != nil { // a document leaves out what is not as the standard has it
			h.PatientID, h.IssuerOfPatientID = cmp.Or(h.PatientID, i.Header.PatientID), cmp.Or(h.IssuerOfPatientID, i.Header.IssuerOfPatientID)
			h.PatientBirthDate, h.AccessionNumber = cmp.Or(h.PatientBirthDate, i.Header.PatientBirthDate), cmp.Or(h.AccessionNumber, i.Header.AccessionNumber)
		}
		if record.Frontal == nil {
			record.Frontal = &h
		} else {
			record.Lateral = &h
		}
	}
	if record.Frontal == nil {
		return nil, errors.New("its narrative names no image")
	}
	return record, nil
}

// evidenceOf are the objects that a document names as its evidence, each with the patient and the order that the document stands under.
func evidenceOf(document *dicomfile.File) (out []study.Header) {
	for _, list := range []tag.Tag{tag.CurrentRequestedProcedureEvidenceSequence, tag.PertinentOtherEvidenceSequence} {
		for _, of := range document.Sequence(list) {
			for _, series := range of.Sequence(tag.ReferencedSeriesSequence) {
				for _, sop := range series.Sequence(tag.ReferencedSOPSequence) {
					h := document.Header
					h.StudyInstanceUID, h.SeriesInstanceUID = of.Text(tag.StudyInstanceUID), series.Text(tag.SeriesInstanceUID)
					h.SOPClassUID, h.SOPInstanceUID = sop.Text(tag.ReferencedSOPClassUID), sop.Text(tag.ReferencedSOPInstanceUID)
					out = append(out, h)
				}
			}
		}
	}
	return out
}

// mayHaveLeft reports whether somebody may have a revision.
func mayHaveLeft(s *queue.Study, revision int) bool {
	for _, revisions := range s.Sent {
		if slices.Contains(revisions, revision) {
			return true
		}
	}
	for _, told := range s.Told {
		if slices.Contains(told.Drafts, revision) {
			return true
		}
	}
	return false
}
