package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"llamaxr/queue"
)

// draftOfCorrection finds the one draft that a report is about; reason says why there is none. Nothing is guessed: what the report says of
// study, order and patient must agree with what came with the images.
func draftOfCorrection(tx *queue.Tx, drafts drafts, in CorrectionInput) (s *queue.Study, record *DraftRecord, reason string, err error) {
	if in.Conflict != "" {
		return nil, nil, in.Conflict, nil
	}
	if s, reason, err = studyOfCorrection(tx, in); err != nil || reason != "" {
		return s, nil, reason, err
	}
	revision := in.Revision
	if revision == 0 && len(in.Replaces) > 0 {
		if revision, err = revisionOf(tx, drafts, s, in.Replaces); err != nil {
			return s, nil, "", err
		}
	}
	record, err = drafts.load(s.UID, cmp.Or(revision, s.Revision))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil, "the study has no draft", nil
	}
	if err != nil {
		return s, nil, "", err
	}
	if !samePatient(in.PatientIDs, record) {
		return s, nil, otherPatient, nil
	}
	return s, record, "", nil
}

const otherPatient = "it is of another patient than the images"

// everOfPatient says why a source's numbers are those of no patient whom a draft of the study was ever of; empty when they are, or there is none to compare.
func everOfPatient(drafts drafts, s *queue.Study, ids []string) (reason string, err error) {
	for revision := s.Revision; revision > 0; revision-- {
		record, err := drafts.load(s.UID, revision)
		if lost(err) {
			continue
		}
		if err != nil {
			return "", err
		}
		if samePatient(ids, record) {
			return "", nil
		}
		reason = otherPatient
	}
	return reason, nil
}

// samePatient reports whether one of the source's numbers is that of the images; where one side has none it cannot differ.
func samePatient(ids []string, record *DraftRecord) bool {
	h := record.Frontal
	if h == nil {
		h = record.Lateral
	}
	if len(ids) == 0 || strings.TrimSpace(h.PatientID) == "" {
		return true
	}
	ours := append(strings.Split(h.OtherPatientIDs, `\`), h.PatientID)
	return slices.ContainsFunc(ids, func(id string) bool {
		return slices.ContainsFunc(ours, func(own string) bool {
			return strings.TrimSpace(own) != "" && strings.TrimSpace(own) == strings.TrimSpace(id)
		})
	})
}

// studyOfCorrection finds the one study that a report is about; reason says why there is none. A study whose lateral view is read by
// another's draft stands for that one.
func studyOfCorrection(tx *queue.Tx, in CorrectionInput) (s *queue.Study, reason string, err error) {
	var ordered []string
	for _, number := range append([]string{in.AccessionNumber}, in.OrderNumbers...) {
		if err := studiesOfOrder(tx, number, &ordered); err != nil {
			return nil, "", err
		}
	}
	switch {
	case in.StudyInstanceUID != "":
		if s, err = drafted(tx, in.StudyInstanceUID); err != nil {
			return nil, "", err
		}
		if s == nil {
			return nil, "no study has this Study Instance UID", nil
		}
		if len(ordered) > 0 && !slices.Contains(ordered, s.UID) {
			return nil, "its Study Instance UID and its accession number are of different studies", nil
		}
		return s, "", nil
	case strings.TrimSpace(in.AccessionNumber+strings.Join(in.OrderNumbers, "")) == "":
		return nil, "it names neither a Study Instance UID nor an accession number", nil
	case len(ordered) == 0:
		return nil, "no study has this accession number", nil
	case len(ordered) > 1:
		return nil, fmt.Sprintf("%d studies have this accession number", len(ordered)), nil
	}
	s, err = tx.Study(ordered[0])
	return s, "", err
}

// studiesOfOrder adds the studies that hold an object of an accession number.
func studiesOfOrder(tx *queue.Tx, number string, into *[]string) error {
	uids, err := tx.StudiesOfAccession(number)
	if err != nil {
		return err
	}
	for _, uid := range uids {
		s, err := tx.Study(uid)
		if err != nil {
			return err
		}
		if s == nil {
			continue
		}
		holds := false
		for _, sop := range s.Instances { // the index keeps numbers that were corrected since
			i, err := tx.Instance(sop)
			if err != nil {
				return err
			}
			holds = holds || i != nil && strings.TrimSpace(i.Header.AccessionNumber) == strings.TrimSpace(number)
		}
		if !holds {
			continue
		}
		if s, err = drafted(tx, uid); err != nil {
			return err
		}
		if s != nil && !slices.Contains(*into, s.UID) {
			*into = append(*into, s.UID)
		}
	}
	return nil
}

// drafted is the study whose draft reads the images of a study: itself, or the one that it is read with.
func drafted(tx *queue.Tx, uid string) (*queue.Study, error) {
	s, err := tx.Study(uid)
	if err != nil || s == nil || s.ReadWith == "" {
		return s, err
	}
	home, err := tx.Study(s.ReadWith)
	if err != nil || home == nil {
		return s, err
	}
	return home, nil
}

// revisionOf finds the draft that one of the documents belongs to, or that the signed text it is began from; 0 when it is none of ours.
func revisionOf(tx *queue.Tx, drafts drafts, s *queue.Study, documents []string) (int, error) {
	reading, err := tx.Reading(s.UID)
	if err != nil {
		return 0, err
	}
	if reading != nil {
		for _, signature := range reading.Signatures {
			if slices.Contains(documents, signature.SOPInstanceUID) {
				return signature.Revision, nil
			}
		}
	}
	for revision := s.Revision; revision > 0; revision-- {
		record, err := drafts.load(s.UID, revision)
		if lost(err) {
			continue
		}
		if err != nil {
			return 0, err
		}
		if slices.ContainsFunc(record.Documents, func(d DocumentRecord) bool { return slices.Contains(documents, d.SOPInstanceUID) }) {
			return revision, nil
		}
	}
	return 0, nil
}

// words are a text's words alone: the same report is the same however its lines were broken on its way.
func words(text string) string { return strings.Join(strings.Fields(text), " ") }

// settling reports whether a study's draft is still to come.
func settling(s *queue.Study) bool {
	return s != nil && (s.State == queue.Receiving || s.State == queue.Complete)
}
