package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"llamaxr/daemon/chain"
	"llamaxr/daemon/config"
	"llamaxr/queue"
	"llamaxr/study"
)

// withLedger is an appliance with a ledger and the default configuration, and nothing that runs.
func withLedger(t *testing.T) *Appliance {
	t.Helper()
	db, err := queue.Open(filepath.Join(t.TempDir(), databaseFile), queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	cfg := config.Default()
	a := &Appliance{db: db, log: slog.New(slog.DiscardHandler)}
	a.settings.Store(&cfg)
	return a
}

// withDrafts is a ledger with a study of one frontal image, of which there are drafts.
func withDrafts(t *testing.T, revisions int, s *queue.Study) *Appliance {
	t.Helper()
	a := withLedger(t)
	a.drafts = drafts{root: t.TempDir()}
	h := study.Header{StudyInstanceUID: s.UID, SOPInstanceUID: s.UID + ".1", PatientID: "A", AccessionNumber: "A1", Modality: "DX"}
	s.Revision, s.State, s.Instances = revisions, queue.Delivered, []string{h.SOPInstanceUID}
	err := a.db.Update(func(tx *queue.Tx) error {
		return errors.Join(tx.PutStudy(s), tx.PutInstance(&queue.Instance{Instance: study.Instance{Header: h}}))
	})
	if err != nil {
		t.Fatal(err)
	}
	for revision := 1; revision <= revisions; revision++ {
		record := &DraftRecord{Draft: study.Draft{StudyInstanceUID: s.UID, Revision: revision, Pair: study.Pair{Frontal: h.SOPInstanceUID}}, Frontal: &h}
		record.Documents = []DocumentRecord{{Kind: narrativeDocument, SOPInstanceUID: fmt.Sprintf("2.25.90%d", revision)}}
		if err := a.drafts.save(record); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// TestWithdrawnIsNotSigned: a draft whose images were rejected cannot be made a final report, and the next revision can.
func TestWithdrawnIsNotSigned(t *testing.T) {
	for revision, want := range map[int]error{1: ErrWithdrawn, 2: nil} {
		a := withDrafts(t, 2, &queue.Study{
			UID: "2.25.1", Withdrawn: []*queue.Withdrawal{{Revision: 1, Title: study.RejectedSafety, Reason: "wrong side marked", Time: time.Now()}},
		})
		_, err := a.SignReading("2.25.1", Hand{User: "jane"}, "DOE^JANE", Edit{Revision: revision, Findings: "No pneumothorax.", Impression: "Normal."})
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("revision %d: %v, want %v", revision, err, want)
		}
	}
}

// TestRejectedTakesNothingBack: a draft on which a signed report stands is not rejected, which would look as if that were taken back.
func TestRejectedTakesNothingBack(t *testing.T) {
	const uid = "2.25.1"
	for name, c := range map[string]struct {
		revision  int // that is rejected
		withdrawn []*queue.Withdrawal
		want      error
	}{
		"signed":                  {1, nil, ErrSigned},
		"signed and taken back":   {1, []*queue.Withdrawal{{Revision: 1, Title: study.RejectedWorklist}}, nil},
		"a newer one, not signed": {2, nil, nil},
	} {
		a := withDrafts(t, 2, &queue.Study{UID: uid, Withdrawn: c.withdrawn})
		err := a.db.Update(func(tx *queue.Tx) error {
			return tx.PutReading(&queue.Reading{
				StudyInstanceUID: uid, State: queue.ReadingOpen, Version: 2, Revision: 1, Signatures: []queue.Signature{{Number: 1, Revision: 1}},
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		edit := Edit{Version: 2, Revision: c.revision, Findings: "No pneumothorax.", Impression: "Normal."}
		if _, err := a.RejectDraft(uid, Hand{User: "jane"}, "nonsense", edit); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// TestDestinationThatWasTakenOut: what is signed or drafted anew while a destination is out of the configuration waits for it as a dead letter; one that has another
// address by now is no other.
func TestDestinationThatWasTakenOut(t *testing.T) {
	a := withDrafts(t, 1, &queue.Study{UID: "2.25.1", Deliveries: map[string]*queue.Delivery{"OUT@out.example:104": {Revision: 1}, "PACS@old.example:104": {Revision: 1}}})
	cfg := a.Config()
	cfg.Destinations = []config.Destination{{AETitle: "PACS", Address: "new.example:104"}, {STOW: "https://web.example"}}
	a.settings.Store(&cfg)
	s, err := a.studyRecord("2.25.1")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := a.receivers(s), []string{"PACS@new.example:104", "https://web.example", "OUT@out.example:104"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	const former = "PACS@old.example:104" // under which jobs wait, and withdrawals know what was sent there
	if to, err := a.destination(former); err != nil || to.Address != "new.example:104" {
		t.Errorf("%s is %s (%v)", former, to, err)
	}
	if to, err := a.destinationFor("2.25.1", delivery{1, former}); err != nil || to.Address != "new.example:104" {
		t.Errorf("revision 1 goes to %s (%v)", to, err)
	}
	s.Sent = map[string][]int{"PACS@new.example:104": {1}}
	if err := a.db.Update(func(tx *queue.Tx) error { return tx.PutStudy(s) }); err != nil {
		t.Fatal(err)
	}
	if to, err := a.destinationFor("2.25.1", delivery{1, former}); !errors.Is(err, errNotConfigured) {
		t.Errorf("of two nodes that have revision 1 one is gone, and is %s (%v)", to, err)
	}
	cfg.Destinations = append(cfg.Destinations, config.Destination{AETitle: "PACS", Address: "third.example:104"})
	a.settings.Store(&cfg)
	if to, err := a.destination(former); !errors.Is(err, errNotConfigured) {
		t.Errorf("%s may be two, and is %s (%v)", former, to, err)
	}
	lease := &queue.Lease{Job: deliverJob("2.25.1", delivery{1, "OUT@out.example:104"})}
	if err := a.deliver(t.Context(), lease); !errors.Is(err, errNotConfigured) {
		t.Errorf("delivered: %v", err)
	}
}

// TestWhatNoLongerStandsGoesNowhere: from the moment that a rejection note or a corrected patient is in the ledger, and before the drafts are withdrawn for it,
// no draft that rests on it is signed or sent, and no report that was signed before is sent.
func TestWhatNoLongerStandsGoesNowhere(t *testing.T) {
	const uid = "2.25.1"
	reject := func(title study.RejectionTitle) func(*queue.Tx) error {
		return func(tx *queue.Tx) error {
			return tx.Reject(&queue.Rejection{Object: study.ObjectReference{StudyInstanceUID: uid, SOPInstanceUID: uid + ".1"}, Title: title, Note: "2.25.8"})
		}
	}
	patient := func(change func(*study.Header)) func(*queue.Tx) error { return changed(uid+".1", change) }
	for name, c := range map[string]struct {
		happens func(*queue.Tx) error
		stands  bool
	}{
		"nothing":              {func(*queue.Tx) error { return nil }, true},
		"patient safety":       {reject(study.RejectedSafety), false},
		"wrong worklist entry": {reject(study.RejectedWorklist), false},
		"another patient":      {patient(func(h *study.Header) { h.PatientID = "B" }), false},
		"another order":        {patient(func(h *study.Header) { h.AccessionNumber = "A2" }), false},
		"no order any more":    {patient(func(h *study.Header) { h.AccessionNumber = "" }), true},
		"another spelling":     {patient(func(h *study.Header) { h.PatientName = "DOE^JON" }), true},
		"an image of somebody else": {func(tx *queue.Tx) error {
			h := study.Header{StudyInstanceUID: uid, SOPInstanceUID: uid + ".2", SOPClassUID: "1.2.840.10008.5.1.4.1.1.1", PatientID: "B", AccessionNumber: "A1", Modality: "CR"}
			s, err := tx.Study(uid)
			if err != nil {
				return err
			}
			i, err := tx.Instance(uid + ".1")
			if err != nil {
				return err
			}
			i.Header.SOPClassUID, i.Header.Modality = h.SOPClassUID, h.Modality
			s.Instances = append(s.Instances, h.SOPInstanceUID)
			return errors.Join(tx.PutInstance(i), tx.PutInstance(&queue.Instance{Instance: study.Instance{Header: h}}), tx.PutStudy(s))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := withDrafts(t, 1, &queue.Study{UID: uid})
			record, err := a.drafts.load(uid, 1)
			if err != nil {
				t.Fatal(err)
			}
			if err := a.db.Update(c.happens); err != nil {
				t.Fatal(err)
			}
			if goes, err := a.leaves(&queue.Lease{Job: queue.Job{Study: uid}}, delivery{1, "PACS@pacs.example:104"}, record); err != nil || goes != c.stands {
				t.Errorf("the draft is sent: %v %v, want %v", goes, err, c.stands)
			}
			if err := a.signedStands(uid, queue.Signature{Number: 1, Revision: 1}); errors.Is(err, errSignAnew) == c.stands || c.stands && err != nil {
				t.Errorf("a report that was signed before is sent: %v, want %v", err, c.stands)
			}
			_, err = a.SignReading(uid, Hand{User: "jane"}, "DOE^JANE", Edit{Revision: 1, Findings: "No pneumothorax.", Impression: "Normal."})
			if errors.Is(err, ErrWithdrawn) == c.stands || c.stands && err != nil {
				t.Errorf("it is signed: %v, want %v", err, c.stands)
			}
		})
	}
}

// TestSignedPredecessorIsOfTheSamePatient: a report that is signed after its patient was corrected replaces none that stands in another patient's record.
func TestSignedPredecessorIsOfTheSamePatient(t *testing.T) {
	const uid = "2.25.1"
	for patient, want := range map[string]string{"A": "2.25.77", "B": "2.25.902"} {
		a := withDrafts(t, 2, &queue.Study{UID: uid})
		record, err := a.drafts.load(uid, 2)
		if err != nil {
			t.Fatal(err)
		}
		record.Frontal.PatientID = patient
		reading := &queue.Reading{StudyInstanceUID: uid, Signatures: []queue.Signature{
			{Number: 1, Revision: 1, SOPInstanceUID: "2.25.77", SeriesInstanceUID: "2.25.78"}, {Number: 2, Revision: 2, Findings: "No mass.", Impression: "Normal.", Name: "DOE^JANE"},
		}}
		document, err := a.signedReport(record, reading, reading.Signatures[1])
		if err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if _, err := document.WriteTo(&file); err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(file.Bytes(), []byte(want)) || want != "2.25.77" && bytes.Contains(file.Bytes(), []byte("2.25.77")) {
			t.Errorf("the report of patient %s does not replace %s alone", patient, want)
		}
	}
}

// TestSignedWhateverItSays: a report that nothing can be learnt of, since all its sections begin with other headings, is signed and sent as any other.
func TestSignedWhateverItSays(t *testing.T) {
	const uid = "2.25.1"
	a := withDrafts(t, 1, &queue.Study{UID: uid})
	cfg := a.Config()
	cfg.Destinations = []config.Destination{{AETitle: "PACS", Address: "pacs.example:104"}}
	a.settings.Store(&cfg)
	var err error
	if a.record, err = chain.Open(filepath.Join(t.TempDir(), recordLog), maxRecordLine); err != nil {
		t.Fatal(err)
	}
	defer a.record.Close()
	edit := Edit{Revision: 1, Findings: "TECHNIQUE: Two views.\nCOMPARISON: None. The lungs are clear.", Impression: "SUMMARY: No acute disease."}
	if _, err := a.SignReading(uid, Hand{User: "jane"}, "DOE^JANE", edit); err != nil {
		t.Fatal(err)
	}
	lease, err := a.db.Lease(t.Context(), time.Minute, kindSign)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.sign(t.Context(), lease); err != nil {
		t.Errorf("signed: %v", err)
	}
	if jobs, err := a.Jobs(); err != nil || len(jobs) != 1 || jobs[0].Kind != kindDeliverSigned {
		t.Errorf("%v: %+v", err, jobs)
	}
	if list, err := a.Corrections(); err != nil || len(list.Corrections) != 0 || len(list.Aside) != 1 {
		t.Errorf("%v: %+v", err, list)
	}
}

// changed is a change of the header of an object that is known.
func changed(sop string, change func(*study.Header)) func(*queue.Tx) error {
	return func(tx *queue.Tx) error {
		i, err := tx.Instance(sop)
		if err != nil {
			return err
		}
		change(&i.Header)
		return tx.PutInstance(i)
	}
}
