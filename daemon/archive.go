package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"llamaxr/daemon/config"
	"llamaxr/queue"
	"llamaxr/study"
)

// The view that a study lacks, asked of the archive: the study's other radiographs or, where it has none, those of the other studies of the
// same patient, accession number and day, for a reader that gives each cassette a study of its own.

// kindFetch is the job that asks the archive, once for each study.
const kindFetch = "fetch"

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
		return a.done(lease, func(tx *queue.Tx) error {
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
	return a.done(lease, func(tx *queue.Tx) error { return a.endFetch(tx, lease.Job.Study, fetch) })
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
	sop := p.pair.Frontal + p.pair.Lateral
	home, err := a.instance(sop)
	if err == nil && home == nil {
		err = fmt.Errorf("daemon: no instance %s", sop)
	}
	if err != nil {
		return nil, err
	}
	timed, cancel := context.WithTimeout(ctx, archive.FetchTime)
	defer cancel()
	r := &retrieval{a: a, ctx: timed, archive: archive, home: home.Header, fetch: fetch}
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
	told := ""
	if fetch.Error != "" {
		told = unquoted(err)
	}
	a.log.Info("archive asked for a missing view", "study", uid, "archive", archive.AETitle, "view", fetch.View, "result", fetch.Result, "error", told)
	return fetch, nil
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
		record.Draft.Partial = study.Together(record.Draft.Partial, said)
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
		others, err := ofAccession(tx, i.Header.AccessionNumber)
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
