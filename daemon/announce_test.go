package daemon

import (
	"cmp"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"llamaxr/daemon/config"
	"llamaxr/queue"
	"llamaxr/reporting/webhook"
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

// untold is why a receiver of results is not told of an announcement of the study 2.25.1; empty when it is.
func untold(t *testing.T, a *Appliance, n announcement) string {
	t.Helper()
	s, err := a.studyRecord("2.25.1")
	if err != nil {
		t.Fatal(err)
	}
	why, err := a.overtaken(&outlet{kind: kindHL7, name: "RIS", results: true}, s, n)
	if err != nil {
		t.Fatal(err)
	}
	return why
}

// ofPatient has a draft of the study 2.25.1 be of another patient.
func ofPatient(t *testing.T, a *Appliance, revision int, patient, issuer string) {
	t.Helper()
	record, err := a.drafts.load("2.25.1", revision)
	if err != nil {
		t.Fatal(err)
	}
	record.Frontal.PatientID, record.Frontal.IssuerOfPatientID = patient, issuer
	if err := a.drafts.save(record); err != nil {
		t.Fatal(err)
	}
}

// TestWithdrawnAfterTheSignature: a report that a physician signed is not taken back with the draft that it took the place of, unless it stands in another
// patient's record; a draft whose signed report never came is. A receiver that takes signed reports alone hears of what it may have.
func TestWithdrawnAfterTheSignature(t *testing.T) {
	const uid = "2.25.1"
	header := func(change func(*study.Header)) func(*queue.Tx) error { return changed(uid+".1", change) }
	sent := func(tx *queue.Tx, dead bool) error {
		job := queue.Job{ID: "hl7/RIS/" + uid + "/signed/1/1/", Kind: kindHL7, Study: uid, Dead: dead}
		if err := tx.Enqueue(job); err != nil || dead {
			return err
		}
		return tx.End(job.ID)
	}
	nothing := func(*queue.Tx) error { return nil }
	for name, c := range map[string]struct {
		happens func(*queue.Tx) error
		unsent  func(*queue.Tx) error // what became of telling of the signature, where it did not go out
		noDraft bool                  // the receiver takes signed reports alone
		title   study.RejectionTitle  // RejectedWorklist where it is empty
		stays   bool
	}{
		"an image of a wrong worklist entry": {happens: nothing, stays: true},
		"the birth date":                     {happens: header(func(h *study.Header) { h.PatientBirthDate = "19600101" }), stays: true},
		"the order":                          {happens: header(func(h *study.Header) { h.AccessionNumber = "A2" }), stays: true},
		"another patient":                    {happens: header(func(h *study.Header) { h.PatientID = "B" })},
		"another hospital's patient":         {happens: header(func(h *study.Header) { h.IssuerOfPatientID = "B" })},
		"the receiver takes none signed":     {happens: header(func(h *study.Header) { h.AccessionNumber = "A2" }), unsent: nothing},
		"the signed one never came": {
			happens: header(func(h *study.Header) { h.AccessionNumber = "A2" }), unsent: func(tx *queue.Tx) error { return sent(tx, true) },
		},
		"another patient's, signed alone":   {happens: header(func(h *study.Header) { h.PatientID = "B" }), noDraft: true},
		"the order, signed alone":           {happens: header(func(h *study.Header) { h.AccessionNumber = "A2" }), noDraft: true, stays: true},
		"patient safety":                    {happens: nothing, title: study.RejectedSafety, stays: true},
		"patient safety, none signed taken": {happens: nothing, title: study.RejectedSafety, unsent: nothing},
		"patient safety, the signed one never came": {
			happens: nothing, title: study.RejectedSafety, unsent: func(tx *queue.Tx) error { return sent(tx, true) },
		},
		"signed alone, and nothing was": {
			happens: header(func(h *study.Header) { h.PatientID = "B" }), unsent: nothing, noDraft: true, stays: true,
		},
		"signed alone, and nobody knows whether it came": {
			happens: header(func(h *study.Header) { h.PatientID = "B" }), unsent: func(tx *queue.Tx) error { return sent(tx, true) }, noDraft: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			told := &queue.Told{Drafts: []int{1}, Last: 2}
			if c.noDraft {
				told.Drafts = nil
			}
			a := withDrafts(t, 2, &queue.Study{
				UID: uid, Withdrawn: []*queue.Withdrawal{{Revision: 1, Title: cmp.Or(c.title, study.RejectedWorklist)}}, Told: map[string]*queue.Told{"hl7/RIS": told},
			})
			ofPatient(t, a, 1, "A", "H")
			err := a.db.Update(func(tx *queue.Tx) error {
				reading := &queue.Reading{StudyInstanceUID: uid, State: queue.ReadingSigned, Signatures: []queue.Signature{{Number: 1, Revision: 1}}}
				tell := func(tx *queue.Tx) error { return sent(tx, false) }
				if c.unsent != nil {
					tell = c.unsent
				}
				return errors.Join(tx.PutReading(reading), tell(tx), c.happens(tx))
			})
			if err != nil {
				t.Fatal(err)
			}
			if why := untold(t, a, announcement{Event: string(study.ResultWithdrawn), Revision: 1, Sequence: 3}); (why != "") != c.stays {
				t.Errorf("it is not taken back: %q, want %v", why, c.stays)
			}
		})
	}
}

// TestWithdrawnWhereNothingTookItsPlace: a draft that was taken back is left where it stands only by a later one that is there, or will be.
func TestWithdrawnWhereNothingTookItsPlace(t *testing.T) {
	const uid = "2.25.1"
	later := func(dead bool) func(*queue.Tx) error {
		return func(tx *queue.Tx) error {
			return tx.Enqueue(queue.Job{ID: "hl7/RIS/" + uid + "/draft/2/0/", Kind: kindHL7, Study: uid, Dead: dead})
		}
	}
	nothing := func(*queue.Tx) error { return nil }
	for name, c := range map[string]struct {
		drafts  []int // told
		happens func(*queue.Tx) error
		mode    string
		stays   bool
	}{
		"the next was told":                     {drafts: []int{1, 2}, happens: nothing, stays: true},
		"the next is about to be":               {drafts: []int{1}, happens: later(false), stays: true},
		"the next was given up":                 {drafts: []int{1, 2}, happens: later(true)},
		"the next is in shadow mode":            {drafts: []int{1}, happens: nothing, mode: queue.Shadow},
		"the next could not be drafted, or was": {drafts: []int{1}, happens: nothing},
	} {
		t.Run(name, func(t *testing.T) {
			a := withDrafts(t, 2, &queue.Study{
				UID: uid, Mode: c.mode, Withdrawn: []*queue.Withdrawal{{Revision: 1, Title: study.RejectedQuality}},
				Told: map[string]*queue.Told{"hl7/RIS": {Drafts: c.drafts, Last: 1}},
			})
			if err := a.db.Update(c.happens); err != nil {
				t.Fatal(err)
			}
			if why := untold(t, a, announcement{Event: string(study.ResultWithdrawn), Revision: 1, Sequence: 3}); (why != "") != c.stays {
				t.Errorf("it is not taken back: %q, want %v", why, c.stays)
			}
		})
	}
}

// TestWithdrawnLate: a withdrawal that goes out after a later result, as a dead letter that was resent does, takes back what stands in another patient's record
// and not the later result.
func TestWithdrawnLate(t *testing.T) {
	const uid = "2.25.1"
	for patient, goes := range map[string]bool{"A": false, "B": true} {
		a := withDrafts(t, 2, &queue.Study{
			UID: uid, Withdrawn: []*queue.Withdrawal{{Revision: 1, Title: study.RejectedWorklist}}, Told: map[string]*queue.Told{"hl7/RIS": {Drafts: []int{1, 2}, Last: 3}},
		})
		ofPatient(t, a, 2, patient, "")
		if why := untold(t, a, announcement{Event: string(study.ResultWithdrawn), Revision: 1, Sequence: 2}); (why == "") != goes {
			t.Errorf("corrected to patient %s: it is not taken back: %q", patient, why)
		}
	}
}

// TestFiledAsBefore: the result of a draft stands where those before it of the same person do, also when an issuer came since, and apart from those of another.
func TestFiledAsBefore(t *testing.T) {
	const uid = "2.25.1"
	a := withDrafts(t, 4, &queue.Study{UID: uid})
	ofPatient(t, a, 2, "A", "H1")
	ofPatient(t, a, 3, "A", "H2")
	for revision, issuer := range []string{1: "", 2: "", 3: "H2", 4: "H2"} {
		if revision == 0 {
			continue
		}
		s, err := a.studyRecord(uid)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := a.result(s, announcement{Event: string(study.ResultDraft), Revision: revision}); err != nil || r.FiledAs != (study.Patient{ID: "A", Issuer: issuer}) {
			t.Errorf("revision %d is filed as %+v (%v)", revision, r.FiledAs, err)
		}
	}
}

// TestWithdrawnFromARenamedReceiver: a receiver that has a draft and is not in the configuration by that name any more is not forgotten: that its draft was taken
// back is a dead letter.
func TestWithdrawnFromARenamedReceiver(t *testing.T) {
	const uid = "2.25.1"
	a := withDrafts(t, 1, &queue.Study{
		UID: uid, Withdrawn: []*queue.Withdrawal{{Revision: 1, Title: study.RejectedWorklist}},
		Told: map[string]*queue.Told{"hl7/RIS": {Drafts: []int{1}}, "fhir/never": {}, "webhook/RIS": {Drafts: []int{1}}},
	})
	a.outlets = []outlet{{kind: kindHL7, name: "RIS-main", wants: func(string) bool { return true }, results: true}}
	err := a.db.Update(func(tx *queue.Tx) error {
		s, err := tx.Study(uid)
		if err != nil {
			return err
		}
		return errors.Join(a.announce(tx, s, announcement{Event: string(study.ResultWithdrawn), Revision: 1}), tx.PutStudy(s))
	})
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := a.Jobs()
	if err != nil || len(jobs) != 2 {
		t.Fatalf("%v: %+v", err, jobs)
	}
	for range jobs {
		lease, err := a.db.Lease(t.Context(), time.Minute, kindHL7)
		if err != nil {
			t.Fatal(err)
		}
		err = a.tell(t.Context(), lease)
		if former := strings.HasPrefix(lease.Job.ID, "hl7/RIS/"); former != errors.Is(err, errNotConfigured) || !former && err != nil {
			t.Errorf("%s: %v", lease.Job.ID, err)
		}
	}
}

// TestDraftAfterTheSignature: who takes results is told of no draft after the signed report, but where that stands in another patient's record, or was of a draft
// that was taken back and never came.
func TestDraftAfterTheSignature(t *testing.T) {
	const uid = "2.25.1"
	back := []*queue.Withdrawal{{Revision: 1, Title: study.RejectedSafety}}
	for name, c := range map[string]struct {
		patient   string // of the new draft
		came      bool   // the signed report
		withdrawn []*queue.Withdrawal
		told      bool
	}{
		"signed":                        {patient: "A", came: true},
		"signed, and none signed taken": {patient: "A"},
		"signed and taken back":         {patient: "A", came: true, withdrawn: back},
		"taken back before it came":     {patient: "A", withdrawn: back, told: true},
		"signed for another patient":    {patient: "B", came: true, withdrawn: back, told: true},
	} {
		a := withDrafts(t, 2, &queue.Study{UID: uid, Withdrawn: c.withdrawn})
		ofPatient(t, a, 2, c.patient, "")
		err := a.db.Update(func(tx *queue.Tx) error {
			reading := &queue.Reading{StudyInstanceUID: uid, State: queue.ReadingSigned, Signatures: []queue.Signature{{Number: 1, Revision: 1}}}
			job := queue.Job{ID: "hl7/RIS/" + uid + "/signed/1/1/", Kind: kindHL7, Study: uid, Dead: !c.came}
			err := errors.Join(tx.PutReading(reading), changed(uid+".1", func(h *study.Header) { h.PatientID = c.patient })(tx), tx.Enqueue(job))
			if err != nil || !c.came {
				return err
			}
			return tx.End(job.ID)
		})
		if err != nil {
			t.Fatal(err)
		}
		if why := untold(t, a, announcement{Event: string(study.ResultDraft), Revision: 2, Sequence: 2}); (why == "") != c.told {
			t.Errorf("%s: the next draft is not told: %q", name, why)
		}
	}
}

// TestWebhookIDs: each try of an event has the same identifier, by which a receiver drops repeats; the same event of a restored appliance has another.
func TestWebhookIDs(t *testing.T) {
	var ids []string
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ids = append(ids, r.Header.Get("webhook-id")) }))
	defer receiver.Close()
	secret, err := webhook.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	w := config.Webhook{Name: "engine", HTTP: config.HTTPTarget{URL: receiver.URL}, SecretFile: filepath.Join(t.TempDir(), "secret")}
	if err := os.WriteFile(w.SecretFile, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	o := withLedger(t).webhookOutlet(w)
	n := announcement{Event: string(study.ResultSigned), Revision: 1, Number: 1, Time: time.Now().UTC()}
	for _, later := range []time.Duration{0, 0, time.Millisecond} {
		n.Time = n.Time.Add(later)
		if err := o.send(t.Context(), n, &queue.Study{UID: "2.25.1"}, study.Result{}); err != nil {
			t.Fatal(err)
		}
	}
	if len(ids) != 3 || ids[0] != ids[1] || ids[0] == ids[2] {
		t.Errorf("%q", ids)
	}
}
