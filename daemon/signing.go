package daemon

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"llamaxr/daemon/config"
	"llamaxr/finetune/corrections"
	"llamaxr/ingest/dicomfile"
	"llamaxr/queue"
	"llamaxr/reporting/labeler"
	"llamaxr/reporting/sr"
	"llamaxr/study"
)

// Kinds of jobs that follow a signature.
const (
	kindSign          = "sign"           // a signature: make its document, keep the correction
	kindDeliverSigned = "deliver signed" // a signed report to one destination
)

// errNoDocuments makes a signature wait until the draft's documents are made, since the signed report names the draft as its predecessor, and the delivery of a
// draft that was lost and made again.
var errNoDocuments = errors.New("daemon: the draft's documents are not made yet")

// signature returns a study's signature by its number, and the reading that it is of.
func (a *Appliance) signature(uid string, number int) (*queue.Reading, queue.Signature, error) {
	reading, err := a.Reading(uid)
	if err != nil {
		return nil, queue.Signature{}, err
	}
	if reading == nil || number < 1 || number > len(reading.Signatures) {
		return nil, queue.Signature{}, queue.Permanent(fmt.Errorf("daemon: study %s has no signature %d", uid, number))
	}
	return reading, reading.Signatures[number-1], nil
}

// sign makes the document of a signature and asks for its delivery. The correction is recorded before: it is the same whether the job
// runs once or again. Of one that was made it makes what is lost again, and nothing else.
func (a *Appliance) sign(ctx context.Context, lease *queue.Lease) error {
	uid := lease.Job.Study
	number, err := payloadOf[int](lease)
	if err != nil {
		return err
	}
	reading, signature, err := a.signature(uid, number)
	if err != nil {
		return err
	}
	if signature.SOPInstanceUID != "" {
		if _, err := a.wholeSigned(reading, signature); err != nil {
			return err
		}
		return a.done(lease, nil)
	}
	record, err := a.drafts.load(uid, signature.Revision)
	if err != nil {
		return err
	}
	if len(record.Documents) == 0 {
		if later, err := a.overtook(kindReport, uid, signature.Revision); err != nil {
			return err
		} else if later == 0 {
			return errNoDocuments
		}
	}
	document, err := a.signedReport(record, reading, signature)
	if err != nil {
		return err
	}
	sum, err := a.writeDocument(uid, signature.Revision, signedFile(number), document)
	if err != nil {
		return err
	}
	report := corrections.Report{Findings: signature.Findings, Impression: signature.Impression}
	err = a.keepCorrection(ctx, CorrectionInput{
		StudyInstanceUID: uid, Revision: signature.Revision, Report: report.String(), Role: "radiologist", Source: "reading room", Time: signature.Time,
	})
	var mismatch *MismatchError
	if err != nil && !errors.As(err, &mismatch) {
		return err
	}
	err = a.enter(DraftEntry{
		Act: ActSigned, By: signature.User, Study: uid, Revision: signature.Revision, Findings: signature.Findings, Impression: signature.Impression,
	})
	if err != nil {
		return err
	}
	return a.done(lease, func(tx *queue.Tx) error {
		r, err := tx.Reading(uid)
		if err != nil || r == nil {
			return err
		}
		made := &r.Signatures[number-1]
		made.SOPInstanceUID, made.SeriesInstanceUID, made.SHA256 = document.SOPInstanceUID, document.SeriesInstanceUID, sum
		s, err := tx.Study(uid)
		if err != nil || s == nil {
			return err
		}
		for _, to := range a.receivers(s) {
			if err := tx.Again(signedJob(uid, signedDelivery{number, to})); err != nil {
				return err
			}
		}
		if err := tx.PutReading(r); err != nil {
			return err
		}
		return a.announceSigned(tx, uid, signature)
	})
}

func signedFile(number int) string { return fmt.Sprintf("signed-%d.dcm", number) }

// signedReport makes the document: its predecessor is the signed report of the same patient before it, or the draft.
func (a *Appliance) signedReport(record *DraftRecord, reading *queue.Reading, s queue.Signature) (*sr.Document, error) {
	in := sr.Input{Draft: record.Draft, Frontal: record.Frontal, Lateral: record.Lateral, Time: s.Time.In(time.Local), Device: a.device}
	for _, d := range record.Documents {
		if d.Kind == narrativeDocument {
			in.Predecessor = &sr.Predecessor{SOPClassUID: d.SOPClassUID, SOPInstanceUID: d.SOPInstanceUID, SeriesInstanceUID: d.SeriesInstanceUID, Preliminary: true}
		}
	}
	for _, before := range slices.Backward(reading.Signatures[:s.Number-1]) {
		other, err := a.drafts.load(reading.StudyInstanceUID, before.Revision)
		if err != nil && !lost(err) {
			return nil, err
		}
		if err == nil && !other.patient().Same(record.patient()) {
			continue // naming it would join the two patients
		}
		if before.SOPInstanceUID == "" {
			return nil, errNoDocuments
		}
		in.Predecessor = &sr.Predecessor{SOPClassUID: sr.BasicTextSR, SOPInstanceUID: before.SOPInstanceUID, SeriesInstanceUID: before.SeriesInstanceUID}
		break
	}
	if s.SOPInstanceUID != "" {
		in.Made = map[string]sr.Identity{sr.SignedReport: {SOPInstanceUID: s.SOPInstanceUID, SeriesInstanceUID: s.SeriesInstanceUID}}
	}
	signer := sr.Signer{Name: s.Name, Organization: cmp.Or(a.cfg().Organization, "not stated"), Number: s.Number}
	return sr.Signed(in, signer, signedSentences(record.Draft, s))
}

// signedSentences are the sentences of a signed text. One that stood in the draft keeps the evidence it had there.
func signedSentences(draft study.Draft, s queue.Signature) []study.Sentence {
	var out []study.Sentence
	for _, part := range []struct {
		section study.Section
		text    string
	}{{study.SectionFindings, s.Findings}, {study.SectionImpression, s.Impression}} {
		for _, text := range labeler.Sentences(part.text) {
			sentence := study.Sentence{Section: part.section, Text: text, Verdict: study.VerdictKept}
			for _, old := range draft.Sentences {
				if old.Section == part.section && old.Text == text && old.Verdict != study.VerdictRemoved {
					sentence.Evidence = old.Evidence
				}
			}
			out = append(out, sentence)
		}
	}
	return out
}

// signedDelivery is the payload of a signed report's delivery.
type signedDelivery struct {
	Number      int    `json:"number"`
	Destination string `json:"destination"`
}

func signedJob(uid string, d signedDelivery) queue.Job {
	id := fmt.Sprintf("%s/%s/%d/%s", kindDeliverSigned, uid, d.Number, d.Destination)
	return queue.Job{ID: id, Kind: kindDeliverSigned, Study: uid, Payload: mustJSON(d)}
}

// signJob makes the document of a signature.
func signJob(uid string, number int) queue.Job {
	return queue.Job{ID: fmt.Sprintf("%s/%s/%d", kindSign, uid, number), Kind: kindSign, Study: uid, Payload: mustJSON(number)}
}

// deliverSigned sends a signed report to one destination. Sent again after a failure it is the same object there.
func (a *Appliance) deliverSigned(ctx context.Context, lease *queue.Lease) error {
	d, err := payloadOf[signedDelivery](lease)
	if err != nil {
		return err
	}
	uid := lease.Job.Study
	reading, signature, err := a.signature(uid, d.Number)
	if err != nil {
		return err
	}
	to, err := a.destination(d.Destination)
	if err != nil {
		return err
	}
	if err := a.signedStands(uid, signature); err != nil {
		if errors.Is(err, errSignAnew) && len(reading.Signatures) > d.Number {
			return a.staysHere(lease, fmt.Sprintf("signed report %d is not sent to %s: it was signed anew", d.Number, d.Destination))
		}
		return err
	}
	path, err := a.wholeSigned(reading, signature)
	if err != nil {
		return err
	}
	if err := a.sendTo(ctx, to, uid, path); err != nil {
		return err
	}
	a.log.Info("signed report delivered", "study", uid, "signature", d.Number, "destination", d.Destination)
	return a.done(lease, func(tx *queue.Tx) error {
		r, err := tx.Reading(uid)
		if err != nil || r == nil {
			return err
		}
		signature := &r.Signatures[d.Number-1]
		if signature.Delivered == nil {
			signature.Delivered = map[string]time.Time{}
		}
		signature.Delivered[d.Destination] = tx.Now().UTC()
		asked, err := a.askCommitment(tx, uid, committal{Revision: signature.Revision, Destination: d.Destination, Signature: d.Number})
		if err != nil {
			return err
		}
		if asked != nil {
			if signature.Commitments == nil {
				signature.Commitments = map[string]*queue.Commitment{}
			}
			signature.Commitments[d.Destination] = asked
		}
		s, err := tx.Study(uid)
		if err != nil || s == nil {
			return err
		}
		s.Note(tx.Now(), fmt.Sprintf("signed report %d delivered to %s", d.Number, d.Destination))
		delivered := announcement{Event: config.EventDelivered, Revision: signature.Revision, Number: d.Number, Detail: d.Destination}
		if err := a.announce(tx, s, delivered); err != nil {
			return err
		}
		if err := tx.PutStudy(s); err != nil {
			return err
		}
		return tx.PutReading(r)
	})
}

// Arrival is where a signed report stands at one destination.
type Arrival struct {
	To      string
	At      time.Time // zero before it is there
	Waits   bool
	GivenUp bool
	Trouble string // why it was given up, or has to be tried again
}

// Arrivals are those of a study's newest signed report: at each destination of the configuration, and where else it went or should have gone.
func (a *Appliance) Arrivals(report *StudyReport, reading *queue.Reading) (out []Arrival) {
	signed := reading.Signed()
	if signed == nil {
		return nil
	}
	at := map[string]*Arrival{}
	of := func(to string) *Arrival {
		if at[to] == nil {
			at[to] = &Arrival{To: to, At: signed.Delivered[to]}
		}
		return at[to]
	}
	for _, d := range a.cfg().Destinations {
		of(d.String())
	}
	for to := range signed.Delivered {
		of(to)
	}
	made := signJob(reading.StudyInstanceUID, signed.Number).ID
	for _, j := range report.Jobs {
		var d signedDelivery
		switch {
		case j.ID == made:
			for _, one := range at {
				one.told(j)
			}
		case j.Kind == kindDeliverSigned && json.Unmarshal(j.Payload, &d) == nil && d.Number == signed.Number:
			of(d.Destination).told(j)
		}
	}
	for _, to := range slices.Sorted(maps.Keys(at)) {
		out = append(out, *at[to])
	}
	return out
}

// told notes what became of the job that a report waits for.
func (a *Arrival) told(j *queue.Job) { a.Waits, a.GivenUp, a.Trouble = !j.Dead, j.Dead, j.LastError }

// wholeSigned returns the file of a signed report, made again when it is gone or not what was written.
func (a *Appliance) wholeSigned(reading *queue.Reading, signature queue.Signature) (path string, err error) {
	uid, name := reading.StudyInstanceUID, signedFile(signature.Number)
	folder := a.drafts.folder(uid, signature.Revision)
	path = filepath.Join(folder, name)
	err = a.drafts.stands(folder, name, signature.SHA256, func() (bool, error) {
		h, err := dicomfile.Opener(a.object).ReadHeader(path)
		return h.SOPInstanceUID == signature.SOPInstanceUID, err
	})
	if !lost(err) {
		return path, err
	}
	record, err := a.drafts.load(uid, signature.Revision)
	if err != nil {
		return "", err
	}
	document, err := a.signedReport(record, reading, signature)
	if err != nil {
		return "", err
	}
	sum, err := a.writeDocument(uid, signature.Revision, name, document)
	if err != nil || sum == signature.SHA256 {
		return path, err
	}
	return path, a.db.Update(func(tx *queue.Tx) error { // another program's, or of an older record
		r, err := tx.Reading(uid)
		if err != nil || r == nil {
			return err
		}
		r.Signatures[signature.Number-1].SHA256 = sum
		return tx.PutReading(r)
	})
}

// writeDocument stores a document of a draft and returns the SHA-256 of its file.
func (a *Appliance) writeDocument(uid string, revision int, name string, document *sr.Document) (sum string, err error) {
	var buf bytes.Buffer
	if _, err := document.WriteTo(&buf); err != nil {
		return "", err
	}
	return sha256Of(buf.Bytes()), a.drafts.write(uid, revision, name, buf.Bytes())
}

// errSignAnew says that a physician has to sign again.
var errSignAnew = errors.New("it must be signed anew")

// signedStands fails for good when what a signed report rests on was rejected, or its patient corrected, after the signature: it would go to where it does
// harm.
func (a *Appliance) signedStands(uid string, signature queue.Signature) error {
	reason, err := a.shaken(uid, signature.Revision)
	if err == nil && reason != "" {
		err = queue.Permanent(fmt.Errorf("daemon: signed report %d is not sent, %w: %s", signature.Number, errSignAnew, reason))
	}
	return err
}

func sortByScore(list []queue.FindingScore) {
	slices.SortStableFunc(list, func(a, b queue.FindingScore) int { return cmp.Compare(b.Score, a.Score) })
}
