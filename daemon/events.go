package daemon

import (
	"llamaxr/daemon/config"
	"llamaxr/queue"
	"llamaxr/study"
)

// announceDraft tells of a draft whose documents are made, and of a critical finding in it.
func (a *Appliance) announceDraft(tx *queue.Tx, s *queue.Study, record *DraftRecord) error {
	revision := record.Draft.Revision
	if err := a.announce(tx, s, announcement{Event: string(study.ResultDraft), Revision: revision}); err != nil {
		return err
	}
	for _, name := range a.cfg().Critical {
		if f, err := study.ParseFinding(name); err == nil && record.Draft.Scores.Present(f) {
			if err := a.announce(tx, s, announcement{Event: config.EventCritical, Revision: revision, Detail: f.String()}); err != nil {
				return err
			}
		}
	}
	return a.raise(tx, s, record)
}

// announceSigned tells of a signature: the first is the report, later ones correct it.
func (a *Appliance) announceSigned(tx *queue.Tx, uid string, signature queue.Signature) error {
	s, err := tx.Study(uid)
	if err != nil || s == nil {
		return err
	}
	if err := a.announce(tx, s, announcementOf(signature)); err != nil {
		return err
	}
	return tx.PutStudy(s)
}

func announcementOf(signature queue.Signature) announcement {
	event := study.ResultSigned
	if signature.Number > 1 {
		event = study.ResultCorrected
	}
	return announcement{Event: string(event), Revision: signature.Revision, Number: signature.Number}
}

// announceDead tells of a job that was given up, but a webhook not of a webhook's own: telling fails already.
func (a *Appliance) announceDead(tx *queue.Tx, s *queue.Study, j queue.Job, cause error) error {
	if j.Kind == kindWebhook {
		return nil
	}
	reason := unquoted(cause)
	// Each round of attempts of a job is an event of its own.
	return a.announce(tx, s, announcement{Event: config.EventDeadLetter, Number: int(j.Lease), Detail: j.ID, Reason: reason[:min(len(reason), maxReason)]})
}

// maxReason bounds the reason of a dead letter in an event.
const maxReason = 512
