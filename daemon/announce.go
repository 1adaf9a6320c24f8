package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"llamaxr/daemon/config"
	"llamaxr/queue"
	"llamaxr/study"
)

// announcement is something that became of a study, for one system that is told: the payload of its job.
type announcement struct {
	Outlet string `json:"outlet"`
	// Event is a study.ResultStatus or one of config's other events.
	Event    string    `json:"event"`
	Revision int       `json:"revision,omitempty"`
	Number   int       `json:"number,omitempty"` // of the signature, or of the alert
	Detail   string    `json:"detail,omitempty"` // a destination, a finding, the kind of job that was given up
	Reason   string    `json:"reason,omitempty"` // of a dead letter
	Time     time.Time `json:"time"`
	// Sequence orders the announcements of one study.
	Sequence int `json:"sequence"`
}

// id is what a receiver may know repeats by: the same for each try. It has the event's time, for after a restore another event may have its numbers.
func (n announcement) id(to, study string) string {
	return digest(to, study, n.Event, fmt.Sprint(n.Revision, n.Number), n.Detail, n.Time.UTC().Format(time.RFC3339Nano))
}

// outlet is a system that is told.
type outlet struct {
	kind string // of its jobs
	name string
	// wants reports whether it is told of an event.
	wants func(event string) bool
	// results: it holds one report a study, which an announcement replaces; else it hears of events, each for itself.
	results bool
	send    func(ctx context.Context, a announcement, s *queue.Study, r study.Result) error
}

// announce has every system that wants to know told of an event, in the transaction that made it; the caller stores s. The same event is
// told once, however often it is announced. Of a study of which nothing may leave, none is but of what left before: that it was taken back, and what became of
// its alert. Who had a draft and is not configured any more is told that it was taken back too: that is a dead letter.
func (a *Appliance) announce(tx *queue.Tx, s *queue.Study, n announcement) error {
	reading, err := tx.Reading(s.UID)
	if err != nil {
		return err
	}
	back := n.Event == string(study.ResultWithdrawn)
	ofAlert := n.Event == config.EventEscalated || n.Event == config.EventAcknowledged
	hear := slices.DeleteFunc(slices.Clone(a.outlets), func(o outlet) bool {
		return !o.wants(n.Event) || s.Mode != "" && !ofAlert && !(back && o.mayHave(tx, s, reading, n.Revision))
	})
	if back {
		hear = append(hear, a.formerOutlets(tx, s, reading, n.Revision)...)
	}
	if len(hear) == 0 {
		return nil
	}
	s.Announced++
	n.Time, n.Sequence = tx.Now().UTC(), s.Announced
	for _, o := range hear {
		n.Outlet = o.name
		if err := tx.Enqueue(queue.Job{ID: o.job(s.UID, n), Kind: o.kind, Study: s.UID, Payload: mustJSON(n)}); err != nil {
			return err
		}
	}
	return nil
}

// told is the outlet's key in what a study was told of.
func (o *outlet) told() string { return o.kind + "/" + o.name }

// lane is how the identifiers of an outlet's jobs for one study begin.
func (o *outlet) lane(uid string) string { return fmt.Sprintf("%s/%s/%s/", o.kind, o.name, uid) }

// job is the identifier of the job that tells the outlet of an announcement.
func (o *outlet) job(uid string, n announcement) string {
	return fmt.Sprintf("%s%s/%d/%d/%s", o.lane(uid), n.Event, n.Revision, n.Number, n.Detail)
}

// mayHave reports whether a result of a draft went to the outlet, or may have: the draft itself or a report signed on it, also where its job was given up or cannot
// be read.
func (o *outlet) mayHave(tx *queue.Tx, s *queue.Study, reading *queue.Reading, revision int) bool {
	if told := s.Told[o.told()]; told != nil && slices.Contains(told.Drafts, revision) {
		return true
	}
	return reading != nil && slices.ContainsFunc(reading.Signatures, func(signature queue.Signature) bool {
		if signature.Revision != revision {
			return false
		}
		id := o.job(s.UID, announcementOf(signature))
		job, err := tx.Job(id)
		return tx.IsDone(id) || job != nil || err != nil
	})
}

// formerOutlets are those that may have a result of a draft and were taken out of the configuration, or named otherwise.
func (a *Appliance) formerOutlets(tx *queue.Tx, s *queue.Study, reading *queue.Reading, revision int) (former []outlet) {
	for _, key := range slices.Sorted(maps.Keys(s.Told)) {
		kind, name, _ := strings.Cut(key, "/")
		o := outlet{kind: kind, name: name, results: kind == kindHL7 || kind == kindFHIR}
		if o.results && a.outlet(kind, name) == nil && o.mayHave(tx, s, reading, revision) {
			former = append(former, o)
		}
	}
	return former
}

func (a *Appliance) outlet(kind, name string) *outlet {
	for i := range a.outlets {
		if o := &a.outlets[i]; o.kind == kind && o.name == name {
			return o
		}
	}
	return nil
}

// tell sends one announcement to its system. What was announced before for the same study goes first; what was overtaken is not sent.
func (a *Appliance) tell(ctx context.Context, lease *queue.Lease) error {
	n, err := payloadOf[announcement](lease)
	if err != nil {
		return err
	}
	o := a.outlet(lease.Job.Kind, n.Outlet)
	if o == nil {
		return queue.Permanent(fmt.Errorf("daemon: %s %s %w", lease.Job.Kind, n.Outlet, errNotConfigured))
	}
	uid := lease.Job.Study
	wait, err := a.turn(o, uid, lease.Job.ID, n.Sequence)
	if err != nil {
		return err
	}
	if !wait.IsZero() {
		return lease.PutOff(wait)
	}
	s, err := a.studyRecord(uid)
	if err != nil {
		return err
	}
	why, err := a.overtaken(o, s, n)
	if errors.Is(err, errUnsettled) {
		return lease.PutOff(time.Now().Add(putOff))
	}
	if err != nil {
		return err
	}
	if why == "" {
		r, err := a.result(s, n)
		if err != nil {
			return err
		}
		if err := a.goesTo(o, uid, n); err != nil {
			return err
		}
		if err := o.send(ctx, n, s, r); err != nil {
			return err
		}
		a.log.Info("told", "study", uid, "event", n.Event, "kind", o.kind, "name", o.name)
	}
	return a.done(lease, func(tx *queue.Tx) error {
		s, err := tx.Study(uid)
		if err != nil || s == nil {
			return err
		}
		told := toldTo(s, o)
		if why != "" {
			s.Note(tx.Now(), fmt.Sprintf("%s %s is not told %q: %s", o.kind, o.name, n.Event, why))
		} else {
			told.Last = max(told.Last, n.Sequence)
			s.Note(tx.Now(), fmt.Sprintf("%s %s was told %q", o.kind, o.name, n.Event))
		}
		return tx.PutStudy(s)
	})
}

// putOff is how soon a job asks again whether its turn has come.
const putOff = 200 * time.Millisecond

// turn returns until when an announcement must wait because an earlier one of its study is not through; zero when it need not. One that was
// given up holds up nothing.
func (a *Appliance) turn(o *outlet, uid, job string, sequence int) (wait time.Time, err error) {
	err = a.db.View(func(tx *queue.Tx) error {
		jobs, err := tx.JobsUnder(o.lane(uid))
		for _, j := range jobs {
			var other announcement
			if j.ID == job || j.Dead || json.Unmarshal(j.Payload, &other) != nil || other.Sequence >= sequence {
				continue
			}
			wait = tx.Now().Add(putOff)
			if j.NotBefore.After(wait) {
				wait = j.NotBefore
			}
		}
		return err
	})
	return wait, err
}

// errUnsettled makes an announcement wait until it is known whether a newer draft takes its place.
var errUnsettled = errors.New("daemon: the study's next draft is being made")

// overtaken says why an announcement is not sent any more, empty when it is.
func (a *Appliance) overtaken(o *outlet, s *queue.Study, n announcement) (string, error) {
	if o.kind == kindMail && !s.AlertNumber(n.Number).Open() {
		return "nobody needs to take note any more", nil
	}
	if !o.results {
		return "", nil
	}
	reading, err := a.Reading(s.UID)
	if err != nil {
		return "", err
	}
	told, w := toldTo(s, o), s.Withdrawal(n.Revision)
	wrongRecord := w != nil && n.Event == string(study.ResultWithdrawn) && w.Title == study.RejectedWorklist
	if told.Last > n.Sequence {
		const later = "a later result was sent"
		if !wrongRecord {
			return later, nil
		}
		if elsewhere, err := a.otherRecord(s.UID, n.Revision, s.Revision); err != nil || !elsewhere {
			return later, err
		}
	}
	var had, there, later bool
	err = a.db.View(func(tx *queue.Tx) error {
		had = slices.Contains(s.Sent[anywhere], n.Revision) || o.mayHave(tx, s, reading, n.Revision)
		signed, err := o.signedThere(tx, reading)
		if err != nil {
			return err
		}
		there = len(signed) > 0
		later, err = o.laterThere(tx, s, n.Revision)
		return err
	})
	if err != nil {
		return "", err
	}
	switch study.ResultStatus(n.Event) {
	case study.ResultDraft:
		if w != nil {
			return "the draft was withdrawn", nil
		}
		if signed := reading.Signed(); signed != nil && (there || s.Withdrawal(signed.Revision) == nil) {
			if elsewhere, err := a.otherRecord(s.UID, signed.Revision, n.Revision); err != nil || !elsewhere {
				return "a physician has signed the report", err
			}
		}
		why, err := a.shaken(s.UID, n.Revision)
		if lost(err) {
			err = nil // it is made again
		}
		return why, err
	case study.ResultWithdrawn:
		if w == nil {
			return "", queue.Permanent(fmt.Errorf("daemon: revision %d was not withdrawn", n.Revision))
		}
		switch {
		case !had:
			return "it never had the report", nil
		case wrongRecord:
			stays, err := a.signedStays(o, reading, n.Revision)
			if err != nil || !stays {
				return "", err // it stands in another patient's record, whatever came after
			}
			return "a physician has signed the report", nil
		case there:
			return "a physician has signed the report", nil
		case s.Revision > n.Revision && settling(s):
			return "", errUnsettled
		case later:
			return "a later draft takes its place", nil
		}
	}
	return "", nil
}

// signedThere are the signatures whose report the outlet has, or will have.
func (o *outlet) signedThere(tx *queue.Tx, reading *queue.Reading) (there []queue.Signature, err error) {
	if reading == nil {
		return nil, nil
	}
	for _, signature := range reading.Signatures {
		id := o.job(reading.StudyInstanceUID, announcementOf(signature))
		job, err := tx.Job(id)
		if err != nil {
			return nil, err
		}
		if tx.IsDone(id) || job != nil && !job.Dead {
			there = append(there, signature)
		}
	}
	return there, nil
}

// laterThere reports whether the outlet has, or will have, a draft after a revision which was not withdrawn.
func (o *outlet) laterThere(tx *queue.Tx, s *queue.Study, revision int) (bool, error) {
	for later := revision + 1; later <= s.Revision; later++ {
		if s.Withdrawal(later) != nil {
			continue
		}
		job, err := tx.Job(o.job(s.UID, announcement{Event: string(study.ResultDraft), Revision: later}))
		if err != nil {
			return false, err
		}
		if job != nil && !job.Dead || job == nil && slices.Contains(toldTo(s, o).Drafts, later) {
			return true, nil
		}
	}
	return false, nil
}

// signedStays reports whether a signed report took a draft's place at an outlet, or is about to, and stands in the right patient's record by what the images
// say now.
func (a *Appliance) signedStays(o *outlet, reading *queue.Reading, revision int) (stays bool, err error) {
	if reading.Signed() == nil {
		return false, nil
	}
	record, err := a.drafts.load(reading.StudyInstanceUID, revision)
	if err != nil {
		if lost(err) {
			err = nil // whose record it stands in is not known
		}
		return false, err
	}
	whose := inRecordOf(record.patient())
	err = a.db.View(func(tx *queue.Tx) error {
		for _, h := range record.images() {
			if h == nil {
				continue
			}
			if i, err := tx.Instance(h.SOPInstanceUID); err != nil || i != nil && !inRecordOf(i.Header.Patient()).Same(whose) {
				return err
			}
		}
		there, err := o.signedThere(tx, reading)
		if err != nil {
			return err
		}
		for _, signature := range there {
			signed, err := a.drafts.load(reading.StudyInstanceUID, signature.Revision)
			if err != nil && !lost(err) {
				return err
			}
			stays = stays || err == nil && inRecordOf(signed.patient()).Same(whose)
		}
		return nil
	})
	return stays, err
}

// otherRecord reports whether two drafts of a study stand in the records of different patients; not where nothing is known of one of them.
func (a *Appliance) otherRecord(uid string, one, other int) (bool, error) {
	var whose [2]study.Patient
	for i, revision := range []int{one, other} {
		record, err := a.recordOf(uid, revision)
		if err != nil {
			if errors.Is(err, errBeyond) {
				err = nil
			}
			return false, err
		}
		whose[i] = inRecordOf(record.patient())
	}
	return !whose[0].Same(whose[1]), nil
}

// inRecordOf is a patient as far as it says which record a result stands in.
func inRecordOf(p study.Patient) study.Patient {
	p.BirthDate = ""
	return p
}

// filedAs is how the first of the drafts up to a revision that are of its patient names the patient: an issuer that came since then files nothing anew.
func (a *Appliance) filedAs(uid string, revision int, patient study.Patient) (study.Patient, error) {
	first := patient
	for earlier := revision - 1; earlier > 0; earlier-- {
		record, err := a.drafts.load(uid, earlier)
		if lost(err) {
			continue
		}
		if err != nil || !record.patient().Same(patient) || !record.patient().Same(first) {
			return first, err
		}
		first = record.patient()
	}
	return first, nil
}

// goesTo notes that a draft is about to be sent, before it is: then it can be withdrawn.
func (a *Appliance) goesTo(o *outlet, uid string, n announcement) error {
	if !o.results || n.Event != string(study.ResultDraft) {
		return nil
	}
	return a.db.Update(func(tx *queue.Tx) error {
		s, err := tx.Study(uid)
		if err != nil || s == nil {
			return err
		}
		told := toldTo(s, o)
		if slices.Contains(told.Drafts, n.Revision) {
			return nil
		}
		told.Drafts = append(told.Drafts, n.Revision)
		return tx.PutStudy(s)
	})
}

func toldTo(s *queue.Study, o *outlet) *queue.Told {
	key := o.told()
	if s.Told[key] == nil {
		if s.Told == nil {
			s.Told = map[string]*queue.Told{}
		}
		s.Told[key] = new(queue.Told)
	}
	return s.Told[key]
}

// result is what an announcement says of the report.
func (a *Appliance) result(s *queue.Study, n announcement) (study.Result, error) {
	revision := n.Revision
	if revision == 0 {
		revision = s.Revision
	}
	r := study.Result{Status: study.ResultStatus(n.Event), Number: n.Number, Time: n.Time.In(time.Local)}
	load := a.drafts.load
	if r.Status == study.ResultWithdrawn {
		load = a.recordOf
	}
	record, err := load(s.UID, revision)
	if err != nil {
		if n.Revision == 0 && lost(err) {
			return r, nil // an event of a study without a draft
		}
		return r, a.remake(s.UID, revision, err)
	}
	r.Draft, r.Frontal, r.Lateral = record.Draft, record.Frontal, record.Lateral
	if r.FiledAs, err = a.filedAs(s.UID, revision, record.patient()); err != nil {
		return r, err
	}
	switch r.Status {
	case study.ResultDraft:
		r.Findings, r.Impression = record.Draft.Text(study.SectionFindings), record.Draft.Text(study.SectionImpression)
		r.Time = record.Made.In(time.Local)
	case study.ResultSigned, study.ResultCorrected:
		_, signature, err := a.signature(s.UID, n.Number)
		if err == nil {
			err = a.signedStands(s.UID, signature)
		}
		if err != nil {
			return r, err
		}
		r.Findings, r.Impression, r.Physician, r.Time = signature.Findings, signature.Impression, signature.Name, signature.Time.In(time.Local)
	case study.ResultWithdrawn:
		w := s.Withdrawal(n.Revision)
		if w == nil {
			return r, queue.Permanent(fmt.Errorf("daemon: revision %d was not withdrawn", n.Revision))
		}
		r.Reason, r.WrongPatient, r.Time = w.Reason, w.Title == study.RejectedWorklist, w.Time.In(time.Local)
	}
	return r, nil
}
