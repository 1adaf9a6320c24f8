package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"llamaxr/daemon/config"
	"llamaxr/dicomnet"
	"llamaxr/dicomnet/dimse"
	"llamaxr/ingest/dicomfile"
	"llamaxr/queue"
	"llamaxr/study"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// Bounds of what one asking takes in and brings: a chest study has a handful of images, and what passes this was not meant.
const (
	mostSiblings = 8
	mostSeries   = 64
	mostImages   = 16
)

// radiographModalities are the modalities of series that may hold the missing view; RG is what digitised films had.
var radiographModalities = []string{"CR", "DX", "RG"}

// retrieval is one asking of an archive.
type retrieval struct {
	a       *Appliance
	ctx     context.Context
	archive config.Archive
	home    study.Header // of the view that is here
	fetch   *queue.Fetch

	association *dicomnet.Association
}

// radiograph is an image at the archive.
type radiograph struct{ study, series, instance string }

// run finds the radiographs that are not here, and has them sent.
func (r *retrieval) run() (err error) {
	contexts := findAndMove()
	if r.archive.Retrieve == config.RetrieveGet {
		contexts = dicomnet.ProposeRetrieval()
	}
	if r.association, err = r.a.client(r.archive.AETitle, r.archive.TLS).Dial(r.ctx, r.archive.Address, contexts); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			r.association.Abort()
		} else {
			_ = r.association.Release() // all is here: how the association ends changes nothing
		}
	}()
	images, err := r.radiographs(r.home.StudyInstanceUID)
	if err != nil {
		return err
	}
	if len(images) == 0 {
		siblings, err := r.siblings()
		if err != nil {
			return err
		}
		for _, uid := range siblings {
			more, err := r.radiographs(uid)
			if err != nil {
				return err
			}
			images = append(images, more...)
		}
	}
	if len(images) > mostImages {
		return fmt.Errorf("%d radiographs are there, more than %d", len(images), mostImages)
	}
	if len(images) == 0 {
		return nil
	}
	if err := r.announce(images); err != nil {
		return err
	}
	return r.bring(images)
}

// announce makes known what will arrive because it was asked for: a study of nothing else is not drafted for itself.
func (r *retrieval) announce(images []radiograph) error {
	for _, i := range images {
		r.fetch.Objects = append(r.fetch.Objects, i.instance)
	}
	return r.a.db.Update(func(tx *queue.Tx) error {
		s, err := tx.Study(r.home.StudyInstanceUID)
		if err != nil || s == nil {
			return err
		}
		if s.Fetch == nil {
			s.Fetch = &queue.Fetch{Archive: r.fetch.Archive, View: r.fetch.View, Asked: r.fetch.Asked}
		}
		s.Fetch.Objects = united(s.Fetch.Objects, r.fetch.Objects)
		return tx.PutStudy(s)
	})
}

// united are the texts of both, each once.
func united(a, b []string) []string {
	return append(slices.Clone(a), slices.DeleteFunc(slices.Clone(b), func(s string) bool { return slices.Contains(a, s) })...)
}

// siblings are the other studies of the same patient, order and day.
func (r *retrieval) siblings() (uids []string, err error) {
	if r.home.AccessionNumber == "" || r.home.PatientID == "" {
		return nil, nil
	}
	keys := keys{
		{tag.StudyDate, "DA", r.home.StudyDate},
		{tag.AccessionNumber, "SH", r.home.AccessionNumber},
		{tag.PatientID, "LO", r.home.PatientID},
		{tag.StudyInstanceUID, "UI", ""},
	}
	err = r.find("STUDY", keys, mostSiblings, func(match *dicomfile.Dataset) error {
		uid := match.Text(tag.StudyInstanceUID)
		// An archive may read more into a key than was meant, an asterisk for one.
		same := match.Text(tag.AccessionNumber) == r.home.AccessionNumber && match.Text(tag.PatientID) == r.home.PatientID && match.Text(tag.StudyDate) == r.home.StudyDate
		if same && uid != r.home.StudyInstanceUID && dicomfile.ValidUID(uid) {
			uids = append(uids, uid)
		}
		return nil
	})
	return uids, err
}

// radiographs are the images of a study's radiographic series that are not here.
func (r *retrieval) radiographs(uid string) (images []radiograph, err error) {
	var series []string
	err = r.find("SERIES", keys{{tag.Modality, "CS", ""}, {tag.StudyInstanceUID, "UI", uid}, {tag.SeriesInstanceUID, "UI", ""}}, mostSeries, func(match *dicomfile.Dataset) error {
		one := match.Text(tag.SeriesInstanceUID)
		if slices.Contains(radiographModalities, match.Text(tag.Modality)) && dicomfile.ValidUID(one) {
			series = append(series, one)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, one := range series {
		err := r.find("IMAGE", keys{{tag.SOPInstanceUID, "UI", ""}, {tag.StudyInstanceUID, "UI", uid}, {tag.SeriesInstanceUID, "UI", one}}, mostImages, func(match *dicomfile.Dataset) error {
			sop := match.Text(tag.SOPInstanceUID)
			if !dicomfile.ValidUID(sop) {
				return errors.New("a match of the archive has no SOP Instance UID")
			}
			return r.a.db.View(func(tx *queue.Tx) error {
				if here, err := tx.Instance(sop); err != nil || here != nil {
					return err
				}
				images = append(images, radiograph{uid, one, sop})
				return nil
			})
		})
		if err != nil {
			return nil, err
		}
	}
	return images, nil
}

// bring has the archive send images, a series at a time: an identifier names one (PS3.4 C.4.2.2.1).
func (r *retrieval) bring(images []radiograph) error {
	series := map[radiograph][]string{}
	for _, i := range images {
		of := radiograph{study: i.study, series: i.series}
		series[of] = append(series[of], i.instance)
	}
	taker := r.a.taking(r.archive.AETitle, r.archive.Address)
	defer func() { taker.Close(true) }()
	for _, of := range slices.SortedFunc(maps.Keys(series), func(a, b radiograph) int {
		return cmp.Or(cmp.Compare(a.study, b.study), cmp.Compare(a.series, b.series))
	}) {
		k := keys{{tag.SOPInstanceUID, "UI", strings.Join(series[of], `\`)}, {tag.StudyInstanceUID, "UI", of.study}, {tag.SeriesInstanceUID, "UI", of.series}}
		var count dimse.SubOperations
		var err error
		if r.archive.Retrieve == config.RetrieveGet {
			count, err = r.association.Get(r.ctx, dicomnet.StudyRootGet, k.identifier("IMAGE", r.association.TransferSyntax(dicomnet.StudyRootGet)), taker, nil)
		} else {
			count, err = r.association.Move(r.ctx, dicomnet.StudyRootMove, r.a.cfg().AETitle, k.identifier("IMAGE", r.association.TransferSyntax(dicomnet.StudyRootMove)), nil)
		}
		r.fetch.Images += int(count.Completed) + int(count.Warning)
		if err == nil && count.Failed > 0 {
			err = fmt.Errorf("%d images could not be sent", count.Failed)
		}
		if err != nil {
			return fmt.Errorf("retrieving series %s: %w", of.series, err)
		}
	}
	return nil
}

// find asks for matches at a level, most of them at most.
func (r *retrieval) find(level string, k keys, most int, visit func(*dicomfile.Dataset) error) error {
	n, syntax := 0, r.association.TransferSyntax(dicomnet.StudyRootFind)
	err := r.association.Find(r.ctx, dicomnet.StudyRootFind, k.identifier(level, syntax), func(match []byte) error {
		if n++; n > most {
			return fmt.Errorf("more than %d matches", most)
		}
		set, err := readMatch(match, syntax)
		if err != nil {
			return err
		}
		return visit(set)
	})
	if err != nil {
		return fmt.Errorf("finding at level %s: %w", level, err)
	}
	return nil
}

// taking is a session for objects that a peer sends on an association of ours (C-GET).
func (a *Appliance) taking(aeTitle, address string) *session {
	return a.sessionOf(&dicomnet.AssociationInfo{CallingAETitle: aeTitle, CalledAETitle: a.cfg().AETitle, RemoteAddr: address})
}
