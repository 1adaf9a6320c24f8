package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"llamaxr/daemon/config"
	"llamaxr/dicomnet"
	"llamaxr/dicomnet/dimse"
	"llamaxr/ingest/dicomfile"
	"llamaxr/internal/dicomwrite"
	"llamaxr/queue"
	"llamaxr/study"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// The view that a study lacks, asked of the archive: the study's other radiographs or, where it has none, those of the other studies of the
// same patient, accession number and day, for a reader that gives each cassette a study of its own.

// kindFetch is the job that asks the archive, once for each study.
const kindFetch = "fetch"

// Bounds of what one asking takes in and brings: a chest study has a handful of images, and what passes this was not meant.
const (
	mostSiblings = 8
	mostSeries   = 64
	mostImages   = 16
)

// radiographModalities are the modalities of series that may hold the missing view; RG is what digitised films had.
var radiographModalities = []string{"CR", "DX", "RG"}

// ErrNoArchive is returned when no archive is configured.
var ErrNoArchive = errors.New("daemon: no archive is configured: archive.ae_title and archive.address name one")

// lacking is the view that a pair is without, ProjectionUnknown when it is not one view beyond doubt.
func lacking(p paired) study.Projection {
	switch {
	case !single(p.pair):
		return study.ProjectionUnknown
	case p.pair.Lateral == "":
		return study.Lateral
	}
	return study.Frontal
}

// asksArchive is the view that the archive is asked for when a study is about to be complete; ProjectionUnknown asks for nothing.
func (a *Appliance) asksArchive(uid string, p paired) (study.Projection, error) {
	view := lacking(p)
	if archive := a.cfg().Archive; !archive.On() || !archive.FetchMissing || view == study.ProjectionUnknown {
		return study.ProjectionUnknown, nil
	}
	mode, _, err := a.modeOf(uid, p)
	if mode == config.ModeStore { // there will be no draft
		view = study.ProjectionUnknown
	}
	return view, err
}

// awaitArchive is until when a study that lacks a view waits for the archive, which it has asked; not at all once it was answered or its
// time is over.
func (a *Appliance) awaitArchive(tx *queue.Tx, s *queue.Study, view study.Projection) (until time.Time, err error) {
	archive := a.cfg().Archive
	if view == study.ProjectionUnknown || s.Revision > 0 {
		return time.Time{}, nil
	}
	if s.Fetch == nil {
		s.Fetch = &queue.Fetch{Archive: archive.AETitle, View: view, Asked: tx.Now().UTC()}
		s.Note(tx.Now(), fmt.Sprintf("archive %s is asked for the missing %s view", archive.AETitle, view))
		if err := tx.Enqueue(queue.Job{ID: kindFetch + "/" + s.UID, Kind: kindFetch, Study: s.UID}); err != nil {
			return time.Time{}, err
		}
	}
	if until = s.Fetch.Asked.Add(archive.FetchTime); !s.Fetch.Ended.IsZero() || !tx.Now().Before(until) {
		return time.Time{}, nil
	}
	return until, nil
}

// fetchJob asks the archive for the view that a study lacks. It is not tried again: the study does not wait for longer.
func (a *Appliance) fetchJob(ctx context.Context, lease *queue.Lease) error {
	fetch, err := a.fetchMissing(ctx, lease.Job.Study)
	if errors.Is(err, ErrNoArchive) { // it was taken out of the configuration meanwhile
		return lease.Done(func(tx *queue.Tx) error {
			s, err := tx.Study(lease.Job.Study)
			if err != nil || s == nil || s.Fetch == nil {
				return err
			}
			fetch := *s.Fetch
			fetch.Result = "archive " + fetch.Archive + " was not asked"
			return a.endFetch(tx, s.UID, &fetch)
		})
	}
	if err != nil {
		return err
	}
	return lease.Done(func(tx *queue.Tx) error { return a.endFetch(tx, lease.Job.Study, fetch) })
}

// FetchMissing asks the archive for the view that a study lacks, and returns what came of it. The images arrive as any others do.
func (a *Appliance) FetchMissing(ctx context.Context, uid string) (*queue.Fetch, error) {
	fetch, err := a.fetchMissing(ctx, uid)
	if err != nil || fetch.View == study.ProjectionUnknown {
		return fetch, err
	}
	return fetch, a.db.Update(func(tx *queue.Tx) error { return a.endFetch(tx, uid, fetch) })
}

// fetchMissing asks the archive; what goes wrong there is in the result.
func (a *Appliance) fetchMissing(ctx context.Context, uid string) (*queue.Fetch, error) {
	archive := a.cfg().Archive
	if !archive.On() {
		return nil, ErrNoArchive
	}
	p, err := a.pairOf(uid)
	if err != nil {
		return nil, err
	}
	fetch := &queue.Fetch{Archive: archive.AETitle, View: lacking(p), Asked: time.Now().UTC()}
	if fetch.View == study.ProjectionUnknown {
		fetch.Result = "nothing is missing"
		return fetch, nil
	}
	header, err := a.headerOf(p.pair.Frontal + p.pair.Lateral)
	if err != nil {
		return nil, err
	}
	timed, cancel := context.WithTimeout(ctx, archive.FetchTime)
	defer cancel()
	r := &retrieval{a: a, ctx: timed, archive: archive, home: header, fetch: fetch}
	err = r.run()
	if ctx.Err() != nil {
		return nil, ctx.Err() // we are stopping: the job is here again
	}
	switch {
	case errors.Is(timed.Err(), context.DeadlineExceeded):
		fetch.Result = "archive " + archive.AETitle + " did not answer in time"
	case err != nil:
		fetch.Result, fetch.Error = "archive "+archive.AETitle+" could not be asked", err.Error()
	case len(fetch.Objects) == 0:
		fetch.Result = "archive " + archive.AETitle + " has no more images"
	default:
		fetch.Result = fmt.Sprintf("archive %s sent %d images", archive.AETitle, fetch.Images)
	}
	a.log.Info("archive asked for a missing view", "study", uid, "archive", archive.AETitle, "view", fetch.View, "result", fetch.Result, "error", fetch.Error)
	return fetch, nil
}

// headerOf is an object's header as the ledger has it.
func (a *Appliance) headerOf(sop string) (h study.Header, err error) {
	err = a.db.View(func(tx *queue.Tx) error {
		i, err := tx.Instance(sop)
		if err == nil && i == nil {
			err = fmt.Errorf("daemon: no instance %s", sop)
		}
		if err == nil {
			h = i.Header
		}
		return err
	})
	return h, err
}

// endFetch keeps what came of asking, and lets the study go on at once.
func (a *Appliance) endFetch(tx *queue.Tx, uid string, fetch *queue.Fetch) error {
	s, err := tx.Study(uid)
	if err != nil || s == nil {
		return err
	}
	fetch.Ended = tx.Now().UTC()
	if before := s.Fetch; before != nil {
		fetch.Objects = united(before.Objects, fetch.Objects)
		if fetch.View == study.ProjectionUnknown { // it came by itself meanwhile
			fetch.View = before.View
		}
	}
	s.Fetch = fetch
	why := ""
	if fetch.Error != "" {
		why = ": " + fetch.Error
	}
	s.Note(tx.Now(), fmt.Sprintf("missing %s view: %s%s", fetch.View, fetch.Result, why))
	if err := tx.PutStudy(s); err != nil || s.State != queue.Receiving {
		return err
	}
	return tx.Postpone(completionJob(uid, tx.Now(), true))
}

// saysFetch adds to a draft of one view what the archive said of the other.
func (a *Appliance) saysFetch(record *DraftRecord) error {
	if (record.Frontal == nil) == (record.Lateral == nil) {
		return nil
	}
	return a.db.View(func(tx *queue.Tx) error {
		s, err := tx.Study(record.Draft.StudyInstanceUID)
		if err != nil || s == nil || s.Fetch == nil {
			return err
		}
		if s.Fetch.Result == "" && tx.Now().Before(s.Fetch.Asked.Add(a.cfg().Archive.FetchTime)) {
			return nil // it is being asked
		}
		said := cmp.Or(s.Fetch.Result, "archive "+s.Fetch.Archive+" did not answer in time")
		record.Draft.Partial = strings.TrimPrefix(record.Draft.Partial+"; "+said, "; ")
		return nil
	})
}

// broughtFor is the study for whose sake the archive was asked for all that this one holds; empty when somebody sent something of it.
func (a *Appliance) broughtFor(uid string) (home string, err error) {
	err = a.db.View(func(tx *queue.Tx) error {
		s, err := tx.Study(uid)
		if err != nil || s == nil || len(s.Instances) == 0 {
			return err
		}
		i, err := tx.Instance(s.Instances[0])
		if err != nil || i == nil {
			return err
		}
		others, err := tx.StudiesOfAccession(i.Header.AccessionNumber)
		if err != nil {
			return err
		}
		for _, other := range others {
			o, err := tx.Study(other)
			if err != nil {
				return err
			}
			if other == uid || o == nil || o.Fetch == nil {
				continue
			}
			if !slices.ContainsFunc(s.Instances, func(sop string) bool { return !slices.Contains(o.Fetch.Objects, sop) }) {
				home = other
			}
		}
		return nil
	})
	return home, err
}

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
	contexts := []dicomnet.ProposedContext{dicomnet.ProposeHeaders(dicomnet.StudyRootFind, false), dicomnet.ProposeHeaders(dicomnet.StudyRootMove, false)}
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
		keys := keys{{tag.SOPInstanceUID, "UI", strings.Join(series[of], `\`)}, {tag.StudyInstanceUID, "UI", of.study}, {tag.SeriesInstanceUID, "UI", of.series}}
		var count dimse.SubOperations
		var err error
		if r.archive.Retrieve == config.RetrieveGet {
			count, err = r.association.Get(r.ctx, dicomnet.StudyRootGet, r.identifier(dicomnet.StudyRootGet, "IMAGE", keys), taker, nil)
		} else {
			count, err = r.association.Move(r.ctx, dicomnet.StudyRootMove, r.a.cfg().AETitle, r.identifier(dicomnet.StudyRootMove, "IMAGE", keys), nil)
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
	n := 0
	err := r.association.Find(r.ctx, dicomnet.StudyRootFind, r.identifier(dicomnet.StudyRootFind, level, k), func(match []byte) error {
		if n++; n > most {
			return fmt.Errorf("more than %d matches", most)
		}
		set, err := dicomfile.ReadDataSet(match, r.association.TransferSyntax(dicomnet.StudyRootFind))
		if err != nil {
			return fmt.Errorf("a match of the archive: %w", err)
		}
		return visit(set)
	})
	if err != nil {
		return fmt.Errorf("finding at level %s: %w", level, err)
	}
	return nil
}

// key is an attribute of an identifier: what it must be, or empty for what the archive is to say.
type key struct {
	tag       tag.Tag
	vr, value string
}

type keys []key

// identifier is a query as a data set (PS3.4 C.4.1.1.3).
func (r *retrieval) identifier(sopClass, level string, all keys) []byte {
	all = append(slices.Clone(all), key{tag.QueryRetrieveLevel, "CS", level})
	if slices.ContainsFunc(all, func(k key) bool { return len(k.value) != utf8.RuneCountInString(k.value) }) {
		all = append(all, key{tag.SpecificCharacterSet, "CS", "ISO_IR 192"})
	}
	slices.SortFunc(all, func(a, b key) int { return a.tag.Compare(b.tag) })
	out := &dicomwrite.Elements{Implicit: r.association.TransferSyntax(sopClass) == dicomnet.ImplicitVRLittleEndian}
	for _, k := range all {
		out.Text(k.tag, k.vr, k.value)
	}
	return out.Bytes()
}

// taking is a session for objects that a peer sends on an association of ours (C-GET).
func (a *Appliance) taking(aeTitle, address string) *session {
	return &session{a, &dicomnet.AssociationInfo{CallingAETitle: aeTitle, CalledAETitle: a.cfg().AETitle, RemoteAddr: address}, map[string]bool{}, time.Now()}
}

// answerFetch adds asking the archive to the state's socket.
func (a *Appliance) answerFetch(mux *http.ServeMux, reply func(http.ResponseWriter, any, error)) {
	mux.HandleFunc("POST /studies/{uid}/fetch", func(w http.ResponseWriter, r *http.Request) {
		uid := r.PathValue("uid")
		if _, err := (ledger{a.db, a.drafts}).study(uid); err != nil {
			reply(w, nil, err)
			return
		}
		fetch, err := a.FetchMissing(r.Context(), uid)
		reply(w, fetch, err)
	})
}

// FetchMissing has the running appliance ask its archive for the view that a study lacks.
func FetchMissing(state, uid string) (*queue.Fetch, error) {
	var fetch queue.Fetch
	running, err := ask(state, http.MethodPost, "/studies/"+url.PathEscape(uid)+"/fetch", nil, &fetch)
	if err == nil && !running {
		err = fmt.Errorf("daemon: no appliance runs on %s", state)
	}
	return &fetch, err
}
