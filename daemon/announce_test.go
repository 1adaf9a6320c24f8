package daemon

import (
	"slices"
	"testing"

	"llamaxr/queue"
	"llamaxr/study"
)

// TestWithdrawnFromShadow: of a study that came to be in shadow mode nobody is told, but who has an earlier draft of it hears that it was taken back.
func TestWithdrawnFromShadow(t *testing.T) {
	a := withLedger(t)
	all := func(string) bool { return true }
	a.outlets = []outlet{{kind: kindHL7, name: "RIS", wants: all, results: true}, {kind: kindFHIR, name: "server", wants: all, results: true}, {kind: kindWebhook, name: "engine", wants: all}}
	s := &queue.Study{UID: "2.25.1", Revision: 3, Mode: queue.Shadow, Told: map[string]*queue.Told{"hl7/RIS": {Drafts: []int{1}}}}
	var jobs []string
	err := a.db.Update(func(tx *queue.Tx) error {
		for _, n := range []announcement{
			{Event: string(study.ResultDraft), Revision: 3}, {Event: string(study.ResultWithdrawn), Revision: 1}, {Event: string(study.ResultWithdrawn), Revision: 2},
		} {
			if err := a.announce(tx, s, n); err != nil {
				return err
			}
		}
		found, err := tx.Jobs(s.UID)
		for _, j := range found {
			jobs = append(jobs, j.ID)
		}
		return err
	})
	if want := []string{"hl7/RIS/2.25.1/withdrawn/1/0/"}; err != nil || !slices.Equal(jobs, want) {
		t.Errorf("told: %v, want %v (%v)", jobs, want, err)
	}
}
