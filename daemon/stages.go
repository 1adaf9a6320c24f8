package daemon

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"path/filepath"

	"llamaxr/daemon/config"
	"llamaxr/dicomnet"
	"llamaxr/dicomnet/dimse"
	"llamaxr/dicomnet/part10"
	"llamaxr/inference"
	"llamaxr/ingest/atrest"
	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/pairing"
	"llamaxr/queue"
	"llamaxr/reporting/pdf"
	"llamaxr/reporting/picture"
	"llamaxr/reporting/sr"
	"llamaxr/study"
)

// examine looks at one object's pixels: what the picture says of its view.
func (a *Appliance) examine(ctx context.Context, lease *queue.Lease) error {
	uid, err := payloadOf[string](lease)
	if err != nil {
		return err
	}
	instance, err := a.instance(uid)
	if err != nil || instance == nil {
		return fmt.Errorf("daemon: instance %s: %w", uid, err)
	}
	looked := &queue.Examination{Reason: pairing.Unsuited(instance.Header, a.pairing())}
	if err := a.whole(instance); err != nil {
		return err
	}
	if looked.Reason == "" {
		looked = Examine(ctx, a.views, a.object, a.spool.Path(instance.Path)).Examination()
	}
	return lease.Done(func(tx *queue.Tx) error {
		instance, err := tx.Instance(uid)
		if err != nil || instance == nil {
			return err
		}
		instance.Examined = looked
		return tx.PutInstance(instance)
	})
}

func (a *Appliance) pairing() pairing.Config {
	return pairing.Config{MinimumAge: a.cfg().MinimumAge, Captures: a.cfg().Captures}
}

func candidateOf(i *queue.Instance) pairing.Candidate {
	c := pairing.Candidate{Header: i.Header, Received: i.Received}
	if i.Gone != "" {
		c.NoImage = "its file is gone: " + i.Gone
	} else if e := i.Examined; e != nil {
		if e.Reason != "" {
			c.NoImage = e.Reason
		} else {
			c.Picture = &pairing.Picture{LogOddsLateral: e.LogOddsLateral, POther: e.POther, Inverted: e.Inverted}
		}
	}
	return c
}

// errNotExamined makes a draft wait for the pixels to be looked at.
var errNotExamined = errors.New("daemon: an object of the study was not looked at yet")

// draft pairs, scores, writes and guards one revision.
func (a *Appliance) draft(ctx context.Context, lease *queue.Lease) error {
	uid := lease.Job.Study
	revision, err := payloadOf[int](lease)
	if err != nil {
		return err
	}
	p, err := a.pairOf(uid)
	if err != nil {
		return err
	}
	if !p.looked {
		return errNotExamined
	}
	if p.partner == uid {
		return lease.Done(func(tx *queue.Tx) error { return a.elsewhere(tx, p, uid, revision) })
	}
	mode, source, err := a.modeOf(uid, p)
	if err != nil {
		return err
	}
	pair := p.pair
	if pair.Refusal == "" && mode == config.ModeStore {
		pair.Refusal = storeOnly(source)
	}
	if home, err := a.broughtFor(uid); err != nil {
		return err
	} else if home != "" && p.partner == "" && pair.Refusal == "" {
		pair.Refusal = "it was brought from the archive for study " + home + ", which is not read with it"
	}
	if pair.Refusal != "" {
		a.log.Info("no draft", "study", uid, "reason", pair.Refusal)
		a.metrics.Refused.Inc()
		return lease.Done(func(tx *queue.Tx) error {
			if err := a.lookBack(tx, uid, revision); err != nil {
				return err
			}
			return a.setState(tx, uid, revision, queue.Refused, pair.Refusal, func(s *queue.Study) { s.Pair, s.Summary, s.Mode = &pair, nil, sentMode(mode) })
		})
	}
	frontal, lateral, err := a.instances(pair)
	if err != nil {
		return err
	}
	for _, i := range []*queue.Instance{frontal, lateral} {
		if err := a.whole(i); err != nil {
			return err
		}
	}
	path := func(i *queue.Instance) string {
		if i == nil {
			return ""
		}
		return a.spool.Path(i.Path)
	}
	write, err := a.writing(uid, revision)
	if err != nil {
		return err
	}
	politely := func(ctx context.Context, scores study.PairScores) (*inference.Written, error) {
		a.readers.giveWay(ctx)
		return write(ctx, scores)
	}
	record, err := MakeDraft(ctx, a.reader, politely, pair, a.object, path(frontal), path(lateral))
	if err != nil {
		return err
	}
	record.Draft.StudyInstanceUID, record.Draft.Revision = uid, revision
	if err := a.saysFetch(record); err != nil {
		return err
	}
	record.PDF, record.HeatMap, record.Sections = a.cfg().PDF, heatMapOf(a.cfg().HeatMap, record), a.cfg().Sections
	record.Shadow = mode == config.ModeShadow
	record.latestPatient(frontal, lateral)
	for _, v := range []struct {
		i    *queue.Instance
		into *string
	}{{frontal, &record.FrontalPath}, {lateral, &record.LateralPath}} {
		if v.i != nil {
			*v.into = v.i.Path
		}
	}
	if err := a.drafts.save(record); err != nil {
		return err
	}
	if err := a.enterDraft(record, frontal, lateral); err != nil {
		return err
	}
	said := summary(record)
	err = lease.Done(func(tx *queue.Tx) error {
		scored := queue.ScoredStudy{Study: uid, Time: tx.Now(), Classifier: a.classifierDigest(), Scores: record.Draft.Scores}
		if err := tx.AddScores(scored, scoreWindow); err != nil {
			return err
		}
		err := a.setState(tx, uid, revision, queue.Complete, "", func(s *queue.Study) {
			s.Pair, s.Summary, s.Mode = &pair, said, sentMode(mode)
			s.Note(tx.Now(), fmt.Sprintf("revision %d drafted: %d sentences, %s", revision, len(record.Draft.Sentences), record.Draft.Engine))
		})
		if err != nil {
			return err
		}
		if err := readHere(tx, p); err != nil {
			return err
		}
		if err := a.lookBack(tx, uid, revision); err != nil {
			return err
		}
		id := fmt.Sprintf("%s/%s/%d", kindReport, uid, revision)
		return tx.Enqueue(queue.Job{ID: id, Kind: kindReport, Study: uid, Payload: mustJSON(revision)})
	})
	if err == nil {
		a.counted(record, said.Changed)
	}
	return err
}

// lookBack has the earlier drafts of a study held against what is known now.
func (a *Appliance) lookBack(tx *queue.Tx, uid string, revision int) error {
	if revision == 1 {
		return nil
	}
	return tx.Enqueue(queue.Job{ID: fmt.Sprintf("%s/%s/%d", kindWithdraw, uid, revision), Kind: kindWithdraw, Study: uid})
}

// setState changes a study unless it has moved on to another revision.
func (a *Appliance) setState(tx *queue.Tx, uid string, revision int, state, reason string, change func(*queue.Study)) error {
	s, err := tx.Study(uid)
	if err != nil || s == nil {
		return err
	}
	if change != nil {
		change(s)
	}
	if s.Revision == revision && s.State != queue.Receiving {
		s.State, s.Reason = state, reason
		if state == queue.Refused {
			s.Note(tx.Now(), "no draft: "+reason)
		}
	}
	return tx.PutStudy(s)
}

func (a *Appliance) instances(pair study.Pair) (frontal, lateral *queue.Instance, err error) {
	err = a.db.View(func(tx *queue.Tx) error {
		if pair.Frontal != "" {
			if frontal, err = tx.Instance(pair.Frontal); err != nil {
				return err
			}
		}
		if pair.Lateral != "" {
			lateral, err = tx.Instance(pair.Lateral)
		}
		return err
	})
	return frontal, lateral, err
}

// Kinds of documents, which are also their files' names.
const (
	narrativeDocument = "narrative"
	scoresDocument    = "scores"
	heatMapDocument   = "heatmap"
	chartDocument     = "chart"
	pageDocument      = "page" // where the site asks for it
)

// report makes the documents of a revision and asks for their delivery.
func (a *Appliance) report(ctx context.Context, lease *queue.Lease) error {
	uid := lease.Job.Study
	revision, err := payloadOf[int](lease)
	if err != nil {
		return err
	}
	record, err := a.drafts.load(uid, revision)
	if err != nil {
		return a.remake(uid, revision, err)
	}
	previous, err := a.replaced(uid, revision, record)
	if err != nil {
		return err
	}
	if err := a.makeDocuments(ctx, record, previous); err != nil {
		return err
	}
	if record.Shadow {
		return lease.Done(func(tx *queue.Tx) error {
			return a.setState(tx, uid, revision, queue.Shadow, "", func(s *queue.Study) {
				s.Note(tx.Now(), fmt.Sprintf("revision %d stays here: shadow mode", revision))
			})
		})
	}
	destinations := a.cfg().Destinations
	return lease.Done(func(tx *queue.Tx) error {
		state := queue.Drafted
		if s, err := tx.Study(uid); err == nil && s != nil && a.delivered(s, revision) {
			state = queue.Delivered // the documents were made again
		}
		var announced error
		err := a.setState(tx, uid, revision, state, "", func(s *queue.Study) {
			for _, d := range destinations {
				if s.Deliveries == nil {
					s.Deliveries = map[string]*queue.Delivery{}
				}
				if s.Deliveries[d.String()] == nil {
					s.Deliveries[d.String()] = &queue.Delivery{}
				}
			}
			announced = a.announceDraft(tx, s, record)
		})
		if err := cmp.Or(err, announced); err != nil {
			return err
		}
		for _, d := range destinations {
			id := deliveryID(uid, revision, d.String())
			if err := tx.Enqueue(queue.Job{ID: id, Kind: kindDeliver, Study: uid, Payload: mustJSON(delivery{revision, d.String()})}); err != nil {
				return err
			}
		}
		return nil
	})
}

// makeDocuments writes the documents and pictures of a draft and keeps their names and digests in its record. The same draft gives the
// same bytes, so a lost file is made again by it.
func (a *Appliance) makeDocuments(ctx context.Context, record, previous *DraftRecord) error {
	uid, revision := record.Draft.StudyInstanceUID, record.Draft.Revision
	documents, files, err := Documents(ctx, record, previous, a.device, func(relative string) (*dicomfile.File, error) { return a.object(a.spool.Path(relative)) })
	if err != nil {
		return err
	}
	record.Documents, record.Sums = nil, map[string]string{}
	for _, d := range documents {
		kind := d.Kind
		var buf bytes.Buffer
		if _, err := d.WriteTo(&buf); err != nil {
			return err
		}
		if err := a.drafts.write(uid, revision, kind+".dcm", buf.Bytes()); err != nil {
			return err
		}
		record.Sums[kind+".dcm"] = sha256Of(buf.Bytes())
		record.Documents = append(record.Documents, DocumentRecord{kind, d.SOPClassUID, d.SOPInstanceUID, d.SeriesInstanceUID, kind + ".dcm"})
	}
	for name, data := range files {
		if err := a.drafts.write(uid, revision, name, data); err != nil {
			return err
		}
		record.Sums[name] = sha256Of(data)
	}
	return a.drafts.save(record)
}

// Documents makes the documents of a draft, those that others refer to first, and its pictures as PNG. open is given the paths of its record.
func Documents(ctx context.Context, record, previous *DraftRecord, device sr.Device, open dicomfile.Opener) ([]*sr.Document, map[string][]byte, error) {
	in := sr.Input{Draft: record.Draft, Maps: record.Maps, Frontal: record.Frontal, Lateral: record.Lateral, Time: record.Made, Device: device}
	in.Sectioned = record.Sections == config.SectionsRSNA
	replaced := func(kind string) *sr.Predecessor {
		if previous == nil {
			return nil
		}
		for _, d := range previous.Documents {
			if d.Kind == kind {
				return &sr.Predecessor{SOPClassUID: d.SOPClassUID, SOPInstanceUID: d.SOPInstanceUID, SeriesInstanceUID: d.SeriesInstanceUID}
			}
		}
		return nil
	}
	views, displays, err := pictures(ctx, record, open)
	if err != nil {
		return nil, nil, err
	}
	heat, err := picture.HeatMaps(record.Draft, record.Maps, views)
	if err != nil {
		return nil, nil, err
	}
	heatDocuments, err := heatMapDocuments(&in, record.HeatMap, displays, heat)
	if err != nil {
		return nil, nil, err
	}
	in.Predecessor = replaced(narrativeDocument)
	narrative, err := sr.Narrative(in)
	if err != nil {
		return nil, nil, err
	}
	in.Predecessor = replaced(scoresDocument)
	scores, err := sr.ScoresReport(in)
	if err != nil {
		return nil, nil, err
	}
	in.Predecessor = nil
	chart, err := picture.Chart(record.Draft)
	if err != nil {
		return nil, nil, err
	}
	chartDoc, err := sr.Capture(in, chartDocument, "AI probability chart - unverified", sr.ChartSeries, chart)
	if err != nil {
		return nil, nil, err
	}
	files, drawn := map[string][]byte{}, png.Encoder{CompressionLevel: png.BestSpeed}
	for name, img := range map[string]image.Image{"heatmap.png": heat, "chart.png": chart} {
		var buf bytes.Buffer
		if err := drawn.Encode(&buf, img); err != nil {
			return nil, nil, fmt.Errorf("daemon: %s: %w", name, err)
		}
		files[name] = buf.Bytes()
	}
	for _, v := range views {
		var buf bytes.Buffer
		if err := drawn.Encode(&buf, v.Image); err != nil {
			return nil, nil, fmt.Errorf("daemon: picture of a view: %w", err)
		}
		files[v.Projection.String()+".png"] = buf.Bytes()
	}
	documents := append([]*sr.Document{narrative, scores}, append(heatDocuments, chartDoc)...)
	if record.PDF {
		page, err := pdf.Page(record.Draft, in.Images()[0], heat, record.Made)
		if err != nil {
			return nil, nil, err
		}
		pageDoc, err := sr.Encapsulate(in, pageDocument, page)
		if err != nil {
			return nil, nil, err
		}
		documents, files["page.pdf"] = append(documents, pageDoc), page
	}
	return documents, files, nil
}

// delivery is the payload of a delivery job.
type delivery struct {
	Revision    int    `json:"revision"`
	Destination string `json:"destination"`
}

// deliver sends the documents of a revision to one destination, all on one association. What the destination has already is sent
// again after a failure: the UIDs are the same, so it is one object there.
func (a *Appliance) deliver(ctx context.Context, lease *queue.Lease) error {
	d, err := payloadOf[delivery](lease)
	if err != nil {
		return err
	}
	to, err := a.destination(d.Destination)
	if err != nil {
		return err
	}
	uid := lease.Job.Study
	record, err := a.drafts.load(uid, d.Revision)
	if err != nil {
		return a.remake(uid, d.Revision, err)
	}
	if goes, err := a.leaves(lease, d, record); err != nil {
		return err
	} else if !goes {
		return a.stays(lease, d)
	}
	folder := a.drafts.folder(uid, d.Revision)
	if err := a.wholeDocuments(ctx, record); err != nil {
		return err
	}
	var paths []string
	for _, doc := range record.Documents {
		paths = append(paths, filepath.Join(folder, doc.File))
	}
	if err := a.sendTo(ctx, to, uid, paths...); err != nil {
		return err
	}
	a.log.Info("draft delivered", "study", uid, "revision", d.Revision, "destination", d.Destination, "documents", len(paths))
	return lease.Done(func(tx *queue.Tx) error {
		s, err := tx.Study(uid)
		if err != nil || s == nil {
			return err
		}
		if s.Deliveries == nil {
			s.Deliveries = map[string]*queue.Delivery{}
		}
		asked, err := a.askCommitment(tx, uid, committal{Revision: d.Revision, Destination: d.Destination})
		if err != nil {
			return err
		}
		s.Deliveries[d.Destination] = &queue.Delivery{Revision: d.Revision, Sent: tx.Now().UTC(), Commitment: asked}
		s.Note(tx.Now(), fmt.Sprintf("revision %d delivered to %s", d.Revision, d.Destination))
		if s.Revision == d.Revision {
			if err := a.wellAgain(tx, s); err != nil {
				return err
			}
		}
		if err := a.announce(tx, s, announcement{Event: config.EventDelivered, Revision: d.Revision, Detail: d.Destination}); err != nil {
			return err
		}
		return tx.PutStudy(s)
	})
}

// wellAgain ends the way of a study that has arrived everywhere, also one that a dead letter had made fail and nothing holds up now.
func (a *Appliance) wellAgain(tx *queue.Tx, s *queue.Study) error {
	if s.State != queue.Drafted && s.State != queue.Failed || !a.delivered(s, s.Revision) {
		return nil
	}
	dead, err := deadLetters(tx, s.UID)
	if err == nil && dead == 0 {
		s.State, s.Reason = queue.Delivered, ""
	}
	return err
}

func deadLetters(tx *queue.Tx, uid string) (n int, err error) {
	jobs, err := tx.Jobs(uid)
	for _, j := range jobs {
		if j.Dead {
			n++
		}
	}
	return n, err
}

// delivered reports whether every destination has a revision or a later one.
func (a *Appliance) delivered(s *queue.Study, revision int) bool {
	for _, d := range a.cfg().Destinations {
		if got := s.Deliveries[d.String()]; got == nil || got.Revision < revision {
			return false
		}
	}
	return true
}

// Send stores files at a peer on one association of client's. progress, when not nil, is told each file. A warning counts as stored; a duplicate
// does not: what the peer has under that UID may be other bytes.
func Send(ctx context.Context, client dicomnet.Client, address string, paths []string, progress func(path string, err error)) error {
	return send(ctx, client, nil, address, paths, (*dimse.StatusError).Warning, progress)
}

// send is Send of files that key opens, with the caller's own judgement of which statuses count as stored.
func send(
	ctx context.Context, client dicomnet.Client, key *atrest.Key, address string, paths []string,
	stored func(*dimse.StatusError) bool, progress func(path string, err error),
) error {
	type object struct {
		path string
		meta *part10.Meta
	}
	var objects []object
	seen := map[dicomnet.StoreRequest]bool{}
	var contexts []dicomnet.ProposedContext
	var failures []error
	report := func(path string, err error) {
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", filepath.Base(path), err))
		}
		if progress != nil {
			progress(path, err)
		}
	}
	for _, path := range paths {
		meta, err := readMeta(key, path)
		if err != nil {
			report(path, err)
			continue
		}
		key := dicomnet.StoreRequest{SOPClassUID: meta.SOPClassUID, TransferSyntaxUID: meta.TransferSyntaxUID}
		if !seen[key] {
			seen[key] = true
			contexts = append(contexts, dicomnet.ProposedContext{AbstractSyntax: meta.SOPClassUID, TransferSyntaxes: []string{meta.TransferSyntaxUID}})
		}
		objects = append(objects, object{path, meta})
	}
	if len(objects) == 0 {
		return errors.Join(failures...)
	}
	association, err := client.Dial(ctx, address, contexts)
	if err != nil {
		return err
	}
	for _, o := range objects {
		err := sendOne(ctx, association, key, o.path, o.meta)
		var status *dimse.StatusError
		if errors.As(err, &status) && stored(status) {
			err = nil
		}
		report(o.path, err)
		if err != nil && status == nil && !errors.Is(err, dicomnet.ErrNotAccepted) {
			return errors.Join(failures...) // the association is gone
		}
	}
	if err := association.Release(); err != nil && len(failures) == 0 {
		return err
	}
	return errors.Join(failures...)
}

func readMeta(key *atrest.Key, path string) (*part10.Meta, error) {
	file, err := key.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return part10.Decode(file)
}

func sendOne(ctx context.Context, association *dicomnet.Association, key *atrest.Key, path string, meta *part10.Meta) error {
	file, err := key.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Seek(meta.Length, 0); err != nil {
		return err
	}
	return association.Store(ctx, dicomnet.StoreRequest{
		SOPClassUID: meta.SOPClassUID, SOPInstanceUID: meta.SOPInstanceUID, TransferSyntaxUID: meta.TransferSyntaxUID,
	}, file)
}
