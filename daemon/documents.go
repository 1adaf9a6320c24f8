package daemon

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"sync"

	"llamaxr/daemon/config"
	"llamaxr/ingest/dicomfile"
	"llamaxr/queue"
	"llamaxr/reporting/pdf"
	"llamaxr/reporting/picture"
	"llamaxr/reporting/sr"

	"golang.org/x/sync/errgroup"
)

// Kinds of documents, which are also their files' names.
const (
	narrativeDocument = "narrative"
	scoresDocument    = "scores"
	heatMapDocument   = "heatmap"
	chartDocument     = "chart"
	pageDocument      = "page" // where the site asks for it
)

// reportJob makes the documents of a revision.
func reportJob(uid string, revision int) queue.Job { return stageJob(kindReport, uid, revision) }

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
	if len(record.Documents) == 0 { // else they are made again
		if later, err := a.overtook(lease.Job.Kind, uid, revision); err != nil {
			return err
		} else if later > 0 {
			return a.staysHere(lease, notDrafted(revision, later))
		}
	}
	previous, err := a.replaced(uid, revision, record)
	if err != nil {
		return err
	}
	if err := a.makeDocuments(ctx, record, previous); err != nil {
		return err
	}
	if record.Shadow {
		return a.done(lease, func(tx *queue.Tx) error {
			return a.setState(tx, uid, revision, queue.Shadow, "", func(s *queue.Study) {
				s.Note(tx.Now(), fmt.Sprintf("revision %d stays here: shadow mode", revision))
			})
		})
	}
	return a.done(lease, func(tx *queue.Tx) error {
		s, err := tx.Study(uid)
		if err != nil || s == nil {
			return err
		}
		for _, d := range a.cfg().Destinations {
			if s.Deliveries == nil {
				s.Deliveries = map[string]*queue.Delivery{}
			}
			if s.Deliveries[d.String()] == nil {
				s.Deliveries[d.String()] = &queue.Delivery{}
			}
		}
		state := queue.Drafted
		if a.delivered(s, revision) {
			state = queue.Delivered // the documents were made again
		}
		if title, _, err := a.faultNow(tx, s, record); err != nil {
			return err
		} else if !title.Final() { // else it is about to be withdrawn
			if err := a.announceDraft(tx, s, record); err != nil {
				return err
			}
		}
		if err := tx.PutStudy(s); err != nil {
			return err
		}
		if err := a.setState(tx, uid, revision, state, "", nil); err != nil {
			return err
		}
		for _, to := range a.receivers(s) {
			if err := tx.Enqueue(deliverJob(uid, delivery{revision, to})); err != nil {
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
	documents, files, err := Documents(ctx, record, previous, a.device, func(relative string) (*dicomfile.File, error) { return a.picture(a.spool.Path(relative)) })
	if err != nil {
		return err
	}
	record.Documents, record.Sums = nil, map[string]string{}
	for _, d := range documents {
		var buf bytes.Buffer
		if _, err := d.WriteTo(&buf); err != nil {
			return err
		}
		name := d.Kind + ".dcm"
		files[name] = buf.Bytes()
		record.Documents = append(record.Documents, DocumentRecord{d.Kind, d.SOPClassUID, d.SOPInstanceUID, d.SeriesInstanceUID, name})
	}
	for name, data := range files {
		record.Sums[name] = sha256Of(data)
	}
	if err := a.drafts.writeAll(uid, revision, files); err != nil {
		return err
	}
	return a.drafts.save(record)
}

// Documents makes the documents of a draft, those that others refer to first, and its pictures as PNG. open is given the paths of its record.
func Documents(ctx context.Context, record, previous *DraftRecord, device sr.Device, open dicomfile.Opener) ([]*sr.Document, map[string][]byte, error) {
	in := sr.Input{Draft: record.Draft, Maps: record.Maps, Frontal: record.Frontal, Lateral: record.Lateral, Time: record.Made, Device: device}
	in.Sectioned = record.Sections == config.SectionsRSNA
	in.Made = map[string]sr.Identity{}
	for _, d := range record.Documents {
		in.Made[d.Kind] = sr.Identity{SOPInstanceUID: d.SOPInstanceUID, SeriesInstanceUID: d.SeriesInstanceUID}
	}
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
	pictures := map[string]image.Image{"heatmap.png": heat, "chart.png": chart}
	for _, v := range views {
		pictures[v.Projection.String()+".png"] = v.Image
	}
	files, err := encode(pictures)
	if err != nil {
		return nil, nil, err
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

// encode makes PNGs of pictures, on all cores.
func encode(pictures map[string]image.Image) (map[string][]byte, error) {
	files := map[string][]byte{}
	var mu sync.Mutex
	var encoding errgroup.Group
	for name, img := range pictures {
		encoding.Go(func() error {
			var buf bytes.Buffer
			drawn := png.Encoder{CompressionLevel: png.BestSpeed}
			if err := drawn.Encode(&buf, img); err != nil {
				return fmt.Errorf("daemon: %s: %w", name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			files[name] = buf.Bytes()
			return nil
		})
	}
	return files, encoding.Wait()
}
