package daemon

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"llamaxr/daemon/access"
	"llamaxr/daemon/auditmessage"
	"llamaxr/daemon/config"
	"llamaxr/queue"
	"llamaxr/study"
)

// kindEscalate is a job that looks whether somebody has taken note of a critical finding.
const kindEscalate = "escalate"

// Errors of acknowledging.
var (
	ErrNoAlert    = errors.New("daemon: the study has no critical finding to take note of")
	ErrOtherAlert = errors.New("daemon: the study has another critical finding now; look again")
)

// raise asks for somebody to take note of a draft's critical findings, when one of them is new in the study; the caller stores s. What an earlier draft of the
// same patient found and nobody took note of goes on with them. Of a study of which nothing may leave, nobody is asked.
func (a *Appliance) raise(tx *queue.Tx, s *queue.Study, record *DraftRecord) error {
	if s.Mode != "" {
		return nil
	}
	next := &queue.Alert{Number: len(s.Alerts) + 1, Revision: record.Draft.Revision, Raised: tx.Now().UTC()}
	isNew := false
	for _, f := range a.cfg().CriticalFindings() {
		if record.Draft.Scores.Present(f) {
			next.Findings = append(next.Findings, scoreOf(record, f))
			isNew = isNew || !a.known(s, f, record)
		}
	}
	if before := s.Alert(); !isNew || before != nil && before.Revision > next.Revision { // of a draft that is overtaken
		return nil
	}
	if before := s.Alert(); before.Open() {
		for _, f := range before.Findings {
			if !has(next, f.Finding) && a.samePatient(s.UID, before, record) {
				next.Findings = append(next.Findings, f)
			}
		}
		before.Over = fmt.Sprintf("the draft of revision %d has more", next.Revision)
		if err := tx.Cancel(escalation(s.UID, before).ID); err != nil {
			return err
		}
	}
	sortByScore(next.Findings)
	s.Alerts = append(s.Alerts, next)
	s.Note(tx.Now(), "somebody must take note of "+findingNames(next))
	if err := a.announce(tx, s, announcement{Event: config.EventAlert, Revision: next.Revision, Number: next.Number}); err != nil {
		return err
	}
	return a.scheduleEscalation(tx, s, next)
}

// known reports whether an alert of the study that stands has a finding. One of a draft for another patient does not count: who took note
// thinks of somebody else.
func (a *Appliance) known(s *queue.Study, f study.Finding, record *DraftRecord) bool {
	return slices.ContainsFunc(s.Alerts, func(alert *queue.Alert) bool {
		return alert.Over == "" && has(alert, f) && a.samePatient(s.UID, alert, record)
	})
}

func has(alert *queue.Alert, f study.Finding) bool {
	return slices.ContainsFunc(alert.Findings, func(of queue.FindingScore) bool { return of.Finding == f })
}

// samePatient reports whether an alert is of the patient of a draft, as far as is known.
func (a *Appliance) samePatient(uid string, alert *queue.Alert, record *DraftRecord) bool {
	before, err := a.drafts.load(uid, alert.Revision)
	return err != nil || before.patient() == record.patient()
}

func scoreOf(record *DraftRecord, f study.Finding) queue.FindingScore {
	score, view := record.Draft.Scores.Combined(f)
	return queue.FindingScore{Finding: f, Score: score, View: view}
}

func findingNames(alert *queue.Alert) string {
	var names []string
	for _, f := range alert.Findings {
		names = append(names, f.Finding.String())
	}
	return strings.Join(names, ", ")
}

// alertAt is the payload of an escalation.
type alertAt struct {
	Number int `json:"number"` // of the alert
	Times  int `json:"times"`  // of its escalations, this one with it
}

// escalation is the next escalation of an alert.
func escalation(uid string, alert *queue.Alert) queue.Job {
	at := alertAt{alert.Number, len(alert.Escalated) + 1}
	return queue.Job{ID: fmt.Sprintf("%s/%s/%d/%d", kindEscalate, uid, at.Number, at.Times), Kind: kindEscalate, Study: uid, Payload: mustJSON(at)}
}

// scheduleEscalation has somebody look again later, where there is somebody to tell.
func (a *Appliance) scheduleEscalation(tx *queue.Tx, s *queue.Study, alert *queue.Alert) error {
	e := a.cfg().Escalation
	heard := slices.ContainsFunc(a.outlets, func(o outlet) bool { return o.wants(config.EventEscalated) })
	if e.After == 0 || len(alert.Escalated) >= e.Times || !heard {
		return nil
	}
	job := escalation(s.UID, alert)
	job.NotBefore = tx.Now().Add(e.After)
	return tx.Enqueue(job)
}

// escalate tells others of an alert that is still open.
func (a *Appliance) escalate(lease *queue.Lease) error {
	at, err := payloadOf[alertAt](lease)
	if err != nil {
		return err
	}
	uid, told := lease.Job.Study, false
	err = a.done(lease, func(tx *queue.Tx) error {
		told = false
		s, err := tx.Study(uid)
		if err != nil || s == nil {
			return err
		}
		alert := s.AlertNumber(at.Number)
		if !alert.Open() || len(alert.Escalated) >= at.Times {
			return nil
		}
		alert.Escalated = append(alert.Escalated, tx.Now().UTC())
		s.Note(tx.Now(), fmt.Sprintf("nobody has taken note of %s: others are told, time %d", findingNames(alert), at.Times))
		n := announcement{Event: config.EventEscalated, Revision: alert.Revision, Number: alert.Number, Detail: strconv.Itoa(at.Times)}
		if err := a.announce(tx, s, n); err != nil {
			return err
		}
		if err := a.scheduleEscalation(tx, s, alert); err != nil {
			return err
		}
		told = true
		return tx.PutStudy(s)
	})
	if err == nil && told {
		a.metrics.Escalations.Inc()
		a.log.Warn("nobody has taken note of a critical finding", "study", uid, "times", at.Times)
		a.auditAct(access.Entry{Act: auditmessage.ActEscalated, Study: uid, Detail: fmt.Sprintf("alert %d, time %d", at.Number, at.Times)})
	}
	return err
}

// Acknowledge notes that a reader has taken note of a study's critical findings; number is the alert that he saw. It is durable when Acknowledge
// returns. Of two readers the first counts: what is returned says who.
func (a *Appliance) Acknowledge(uid string, number int, by Hand) (alert *queue.Alert, err error) {
	noted := false
	err = a.db.Update(func(tx *queue.Tx) error {
		noted = false
		s, err := tx.Study(uid)
		if err != nil {
			return err
		}
		if s == nil {
			return ErrNoStudy
		}
		switch alert = s.Alert(); {
		case alert == nil, alert.Over != "":
			return ErrNoAlert
		case alert.Number != number:
			return ErrOtherAlert
		case !alert.Open():
			return by.enter(fmt.Sprintf("alert %d, which %s had before", number, alert.By))
		}
		noted = true
		if err := a.acknowledged(tx, s, by, queue.HowAcknowledged, alert.Revision); err != nil {
			return err
		}
		if err := tx.PutStudy(s); err != nil {
			return err
		}
		return by.enter(fmt.Sprintf("alert %d", number))
	})
	if err == nil && noted {
		a.metrics.Acknowledgement.Observe(alert.Acknowledged.Sub(alert.Raised).Seconds())
	}
	return alert, err
}

// acknowledged closes the study's alert, if one is open; the caller stores s. Who signs or rejects has taken note too, but not of a draft that came
// after the revision that he saw.
func (a *Appliance) acknowledged(tx *queue.Tx, s *queue.Study, by Hand, how string, revision int) error {
	alert := s.Alert()
	if !alert.Open() || alert.Revision > revision {
		return nil
	}
	if err := tx.Cancel(escalation(s.UID, alert).ID); err != nil {
		return err
	}
	alert.Acknowledged, alert.By, alert.ByName, alert.How = tx.Now().UTC(), by.User, by.Name, how
	s.Note(tx.Now(), fmt.Sprintf("%s took note of %s: %s", by.User, findingNames(alert), how))
	return a.announce(tx, s, announcement{Event: config.EventAcknowledged, Revision: alert.Revision, Number: alert.Number})
}

// moveAlert has the study's alert, when its draft was withdrawn, ask for what the draft in force has of it too; where that has none of it, nobody needs to take
// note any more.
func (a *Appliance) moveAlert(tx *queue.Tx, s *queue.Study) error {
	alert := s.Alert()
	if !alert.Open() || s.Withdrawal(alert.Revision) == nil {
		return nil
	}
	before, err := a.drafts.load(s.UID, alert.Revision)
	if err != nil && !lost(err) {
		return err
	}
	inForce, err := a.inForce(s)
	if err != nil {
		return err
	}
	var still []queue.FindingScore
	if inForce != nil && (before == nil || before.patient() == inForce.patient()) {
		for _, f := range alert.Findings {
			if inForce.Draft.Scores.Present(f.Finding) {
				still = append(still, scoreOf(inForce, f.Finding))
			}
		}
	}
	if len(still) == 0 {
		alert.Over = "the draft was withdrawn"
		return tx.Cancel(escalation(s.UID, alert).ID)
	}
	sortByScore(still)
	alert.Revision, alert.Findings = inForce.Draft.Revision, still
	s.Note(tx.Now(), fmt.Sprintf("somebody must still take note of %s: revision %d has it too", findingNames(alert), alert.Revision))
	return nil
}

// inForce is the newest draft of a study that left and was not withdrawn, nil when there is none.
func (a *Appliance) inForce(s *queue.Study) (*DraftRecord, error) {
	for revision := s.Revision; revision > 0; revision-- {
		if s.Withdrawal(revision) != nil {
			continue
		}
		record, err := a.drafts.load(s.UID, revision)
		if lost(err) {
			continue
		}
		if err != nil || !record.Shadow {
			return record, err
		}
	}
	return nil, nil
}

// waited is how long ago an alert was raised, as people say it.
func waited(alert *queue.Alert, now time.Time) string {
	return now.Sub(alert.Raised).Round(time.Minute).String()
}
