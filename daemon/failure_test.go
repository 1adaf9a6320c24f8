package daemon

import (
	"errors"
	"testing"
	"time"

	"llamaxr/daemon/config"
	"llamaxr/queue"
	"llamaxr/study"
)

// TestADraftThatWasGivenUpIsNotTheOlderOne: when a new revision cannot be drafted the study no longer says what the draft before it found; when a
// draft cannot be sent it does.
func TestADraftThatWasGivenUpIsNotTheOlderOne(t *testing.T) {
	a := withLedger(t)
	for kind, stays := range map[string]bool{kindDeliver: true, kindHL7: true, kindDraft: false} {
		var s *queue.Study
		err := a.db.Update(func(tx *queue.Tx) (err error) {
			if err := tx.PutStudy(&queue.Study{UID: "2.25.1", Revision: 2, State: queue.Drafted, Summary: &queue.DraftSummary{}}); err != nil {
				return err
			}
			if err := a.noteFailure(tx, queue.Job{ID: kind, Kind: kind, Study: "2.25.1", Dead: true}, errors.New("no")); err != nil {
				return err
			}
			s, err = tx.Study("2.25.1")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if s.State != queue.Failed || (s.Summary != nil) != stays {
			t.Errorf("after %s was given up the study is %s, its summary %v", kind, s.State, s.Summary)
		}
	}
}

// TestWhatWaitsGoesOn: a job of an earlier revision that is given up stops no study that waits for its next draft, or for a wrong one to be taken back;
// looking at its images that is given up does.
func TestWhatWaitsGoesOn(t *testing.T) {
	a := withLedger(t)
	for kind, want := range map[string]string{kindDeliver: queue.Receiving, kindDeliverSigned: queue.Receiving, kindHL7: queue.Receiving, kindExamine: queue.Failed} {
		err := a.db.Update(func(tx *queue.Tx) error {
			if err := tx.PutStudy(&queue.Study{UID: "2.25.1", Revision: 1, State: queue.Receiving}); err != nil {
				return err
			}
			return a.noteFailure(tx, queue.Job{ID: kind, Kind: kind, Study: "2.25.1", Dead: true}, errors.New("no"))
		})
		if err != nil {
			t.Fatal(err)
		}
		if s, err := a.studyRecord("2.25.1"); err != nil || s.State != want {
			t.Errorf("after %s was given up the study is %s, want %s (%v)", kind, s.State, want, err)
		}
	}
}

// TestWellAgain: a study without dead letters is what it was before them, and a destination that came into the configuration later holds up nothing.
func TestWellAgain(t *testing.T) {
	a := withLedger(t)
	cfg := a.Config()
	cfg.Destinations = []config.Destination{{AETitle: "OLD", Address: "127.0.0.1:1"}, {AETitle: "NEW", Address: "127.0.0.1:2"}}
	a.settings.Store(&cfg)
	old := cfg.Destinations[0].String()
	lateral := &study.Pair{Frontal: "2.25.2.1", Lateral: "2.25.1.1"}
	for name, c := range map[string]struct {
		want  string
		study queue.Study
		waits string // kind of a job
	}{
		"refused":                 {want: queue.Refused, study: queue.Study{Pair: &study.Pair{Refusal: "no chest"}}},
		"reports alone":           {want: queue.Refused},
		"read with another study": {want: queue.Refused, study: queue.Study{Revision: 2, Pair: lateral, ReadWith: "2.25.2", Instances: []string{lateral.Lateral}}},
		"drafted before it was": {
			want: queue.Delivered, study: queue.Study{Revision: 1, Pair: &study.Pair{Lateral: lateral.Lateral}, ReadWith: "2.25.2", Instances: []string{lateral.Lateral}},
		},
		"delivered":             {want: queue.Delivered, study: queue.Study{Revision: 2, Deliveries: map[string]*queue.Delivery{old: {Revision: 2}}}},
		"delivered and told":    {want: queue.Delivered, study: queue.Study{Revision: 2, Deliveries: map[string]*queue.Delivery{old: {Revision: 2}}}, waits: kindHL7},
		"not delivered":         {want: queue.Drafted, study: queue.Study{Revision: 2, Deliveries: map[string]*queue.Delivery{old: {Revision: 1}}}},
		"in shadow mode":        {want: queue.Shadow, study: queue.Study{Revision: 2, Deliveries: map[string]*queue.Delivery{old: {Revision: 1}}, Mode: queue.Shadow}},
		"not drafted yet":       {study: queue.Study{Instances: []string{"2.25.1.1"}}},
		"about to be drafted":   {study: queue.Study{Revision: 2}, waits: kindDraft},
		"about to be looked at": {study: queue.Study{Revision: 2}, waits: kindExamine},
	} {
		for _, before := range []string{queue.Failed, queue.Drafted, queue.Receiving, queue.Complete} {
			a := withLedger(t)
			a.settings.Store(&cfg)
			want := c.want
			if want == "" || before == queue.Receiving || before == queue.Complete {
				want = before // it goes on by itself
			}
			s := c.study
			s.UID, s.State, s.Reason = "2.25.1", before, "as before"
			err := a.db.Update(func(tx *queue.Tx) error {
				if c.waits != "" {
					if err := tx.Enqueue(queue.Job{ID: "x", Kind: c.waits, Study: s.UID}); err != nil {
						return err
					}
				}
				return a.mendState(tx, &s)
			})
			if err != nil || s.State != want || (s.Reason == "as before") != (want == before) || want == queue.Refused && s.Reason == "" {
				t.Errorf("%s: of %s became %s (%s), want %s: %v", name, before, s.State, s.Reason, want, err)
			}
		}
	}
}

// TestWellAgainWithTheLastJob: a study is well again when the last of its dead letters is done, whatever kind of job that is; also one that was drafted again
// meanwhile.
func TestWellAgainWithTheLastJob(t *testing.T) {
	const uid = "2.25.1"
	for kind, payload := range map[string]any{
		kindWithdraw: nil, kindReadReport: "2.25.7", kindEscalate: alertAt{Number: 1, Times: 1}, kindHL7: announcement{Outlet: "RIS", Event: string(study.ResultWithdrawn), Revision: 1},
	} {
		for _, again := range []bool{false, true} {
			a := withDrafts(t, 1, &queue.Study{UID: uid, Withdrawn: []*queue.Withdrawal{{Revision: 1}}})
			a.outlets = []outlet{{kind: kindHL7, name: "RIS", wants: func(string) bool { return false }, results: true}}
			if err := a.db.Update(func(tx *queue.Tx) error {
				return tx.Enqueue(queue.Job{ID: "late", Kind: kind, Study: uid, Payload: mustJSON(payload)})
			}); err != nil {
				t.Fatal(err)
			}
			lease, err := a.db.Lease(t.Context(), time.Minute, kind)
			if err != nil {
				t.Fatal(err)
			}
			a.fail(lease, queue.Permanent(errors.New("no")))
			if again {
				err := a.db.Update(func(tx *queue.Tx) error { return a.setState(tx, uid, 1, queue.Drafted, "", nil) })
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := a.Resend("late"); err != nil {
				t.Fatal(err)
			}
			if lease, err = a.db.Lease(t.Context(), time.Minute, kind); err != nil {
				t.Fatal(err)
			}
			if err := a.perform(t.Context(), lease); err != nil {
				t.Fatal(err)
			}
			if s, err := a.studyRecord(uid); err != nil || s.State != queue.Delivered || s.Reason != "" {
				t.Errorf("after %s, drafted again %v: %v, the study is %s (%s)", kind, again, err, s.State, s.Reason)
			}
		}
	}
}

// TestAnOlderDraftArrivesLast: a destination that gets the first draft of a study after the second has the second all the same, and the study is done.
func TestAnOlderDraftArrivesLast(t *testing.T) {
	a := withLedger(t)
	cfg := a.Config()
	cfg.Destinations = []config.Destination{{AETitle: "PACS", Address: "127.0.0.1:1"}}
	a.settings.Store(&cfg)
	to := cfg.Destinations[0].String()
	s := &queue.Study{UID: "2.25.1", Revision: 2, State: queue.Drafted, Deliveries: map[string]*queue.Delivery{to: {}}}
	if err := a.db.Update(func(tx *queue.Tx) error { return tx.PutStudy(s) }); err != nil {
		t.Fatal(err)
	}
	for _, failed := range []bool{false, true} { // the second time after a dead letter of the first draft
		for _, revision := range []int{2, 1} {
			err := a.db.Update(func(tx *queue.Tx) error {
				s, err := tx.Study(s.UID)
				if err != nil {
					return err
				}
				if failed {
					s.State = queue.Failed
				}
				return errors.Join(tx.PutStudy(s), tx.Again(queue.Job{ID: "x", Kind: kindDeliver, Study: s.UID}))
			})
			if err != nil {
				t.Fatal(err)
			}
			lease, err := a.db.Lease(t.Context(), time.Minute, kindDeliver)
			if err == nil {
				err = a.done(lease, func(tx *queue.Tx) error { return a.arrived(tx, s.UID, delivery{revision, to}) })
			}
			if err != nil {
				t.Fatal(err)
			}
			if s, err := a.studyRecord(s.UID); err != nil || s.State != queue.Delivered || s.Deliveries[to].Revision != 2 {
				t.Errorf("after revision %d: %v %s, %+v", revision, err, s.State, s.Deliveries[to])
			}
		}
	}
}

// TestADraftThatCouldNotBeSentRests: such a study has nothing on its way and can be drafted again, one whose draft was given up cannot.
func TestADraftThatCouldNotBeSentRests(t *testing.T) {
	a := &Appliance{drafts: drafts{root: t.TempDir()}}
	if err := a.drafts.write("2.25.1", 2, recordFile, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		state    string
		revision int
		rests    bool
	}{
		{queue.Drafted, 2, true},
		{queue.Delivered, 2, true},
		{queue.Failed, 2, true},
		{queue.Failed, 3, false},
		{queue.Complete, 3, false},
		{queue.Receiving, 2, false},
	} {
		if got := a.rests(&queue.Study{UID: "2.25.1", State: c.state, Revision: c.revision}); got != c.rests {
			t.Errorf("%s at revision %d rests: %v, want %v", c.state, c.revision, got, c.rests)
		}
	}
}

// TestNobodyIsThereAnyMore: what waits for a receiver that was taken out of the configuration is a dead letter, and ends for good when it is sent again: then
// nothing of the study waits, and retention may have it.
func TestNobodyIsThereAnyMore(t *testing.T) {
	const uid, to = "2.25.1", "OLD@pacs.example:104"
	for kind, job := range map[string]queue.Job{
		kindDeliver:       {ID: deliveryID(uid, 1, to), Payload: mustJSON(delivery{1, to})},
		kindDeliverSigned: {ID: "deliver signed", Payload: mustJSON(signedDelivery{1, to})},
		kindRetract:       retractJob(uid, 1, to),
		kindCommit:        committal{Revision: 1, Destination: to}.job(uid),
		kindHL7:           {ID: "hl7/RIS", Payload: mustJSON(announcement{Outlet: "RIS", Event: "draft", Revision: 1})},
	} {
		t.Run(kind, func(t *testing.T) {
			s := &queue.Study{
				UID: uid, Deliveries: map[string]*queue.Delivery{to: {Revision: 1, Commitment: new(queue.Commitment)}},
				Withdrawn: []*queue.Withdrawal{{Revision: 1, Deliveries: map[string]*queue.Delivery{to: {Revision: 1}}}},
			}
			a := withDrafts(t, 1, s)
			job.Kind, job.Study = kind, uid
			err := a.db.Update(func(tx *queue.Tx) error {
				reading := &queue.Reading{StudyInstanceUID: uid, State: queue.ReadingSigned, Signatures: []queue.Signature{{Number: 1, Revision: 1}}}
				return errors.Join(tx.PutReading(reading), tx.Enqueue(job))
			})
			if err != nil {
				t.Fatal(err)
			}
			for round := range 2 {
				lease, err := a.db.Lease(t.Context(), time.Minute, kind)
				if err != nil {
					t.Fatal(err)
				}
				cause := a.perform(t.Context(), lease)
				if !errors.Is(cause, errNotConfigured) || nobodyThere(lease.Job, cause) != (round == 1) {
					t.Fatalf("round %d: %v", round, cause)
				}
				if round == 1 {
					if err := a.letGo(lease, cause); err != nil {
						t.Fatal(err)
					}
					break
				}
				a.fail(lease, cause)
				if s, err := a.studyRecord(uid); err != nil || s.State != queue.Failed {
					t.Fatalf("%v: %+v", err, s)
				}
				if err := a.Resend(job.ID); err != nil {
					t.Fatal(err)
				}
			}
			s, err = a.studyRecord(uid)
			if err != nil || s.State != queue.Delivered {
				t.Errorf("the study is %+v (%v)", s, err)
			}
			if kind == kindRetract && len(s.Withdrawn[0].Deliveries) > 0 || kind == kindCommit && s.Deliveries[to].Commitment != nil {
				t.Errorf("something waits still: %+v", s)
			}
			if jobs, err := a.Jobs(); err != nil || len(jobs) > 0 {
				t.Errorf("%v %v", jobs, err)
			}
		})
	}
}

// TestTheLastDeadLetterMustNotGoAnyMore: a study whose last dead letter is sent again, and by then is of what must not go, is well again.
func TestTheLastDeadLetterMustNotGoAnyMore(t *testing.T) {
	const uid = "2.25.1"
	to := config.Destination{AETitle: "PACS", Address: "127.0.0.1:1"}
	s := &queue.Study{
		UID: uid, Deliveries: map[string]*queue.Delivery{to.String(): {Revision: 1, Sent: time.Now()}},
		Withdrawn: []*queue.Withdrawal{{Revision: 1}},
	}
	a := withDrafts(t, 1, s)
	cfg := a.Config()
	cfg.Destinations = []config.Destination{to}
	a.settings.Store(&cfg)
	job := queue.Job{ID: "late", Kind: kindDeliver, Study: uid, Payload: mustJSON(delivery{1, to.String()})}
	if err := a.db.Update(func(tx *queue.Tx) error { return tx.Enqueue(job) }); err != nil {
		t.Fatal(err)
	}
	lease, err := a.db.Lease(t.Context(), time.Minute, kindDeliver)
	if err != nil {
		t.Fatal(err)
	}
	a.fail(lease, queue.Permanent(errors.New("no")))
	if s, err := a.studyRecord(uid); err != nil || s.State != queue.Failed {
		t.Fatalf("%v: %+v", err, s)
	}
	if err := a.Resend(job.ID); err != nil {
		t.Fatal(err)
	}
	if lease, err = a.db.Lease(t.Context(), time.Minute, kindDeliver); err != nil {
		t.Fatal(err)
	}
	if err := a.perform(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	if s, err := a.studyRecord(uid); err != nil || s.State != queue.Delivered || s.Reason != "" {
		t.Errorf("%v: the study is %+v", err, s)
	}
}

// TestNoShadowDraftLeaves: a delivery of a draft in shadow mode that was asked for all the same sends nothing, and the study is in shadow mode again.
func TestNoShadowDraftLeaves(t *testing.T) {
	const uid = "2.25.1"
	to := config.Destination{AETitle: "PACS", Address: "127.0.0.1:1"}
	a := withDrafts(t, 2, &queue.Study{UID: uid, Mode: queue.Shadow, Deliveries: map[string]*queue.Delivery{to.String(): {Revision: 1}}})
	cfg := a.Config()
	cfg.Destinations = []config.Destination{to}
	a.settings.Store(&cfg)
	record, err := a.drafts.load(uid, 2)
	if err != nil {
		t.Fatal(err)
	}
	record.Shadow = true
	err = errors.Join(a.drafts.save(record), a.db.Update(func(tx *queue.Tx) error {
		s, err := tx.Study(uid)
		if err != nil {
			return err
		}
		s.State = queue.Failed
		return errors.Join(tx.PutStudy(s), tx.Enqueue(queue.Job{ID: deliveryID(uid, 2, to.String()), Kind: kindDeliver, Study: uid, Payload: mustJSON(delivery{2, to.String()})}))
	}))
	if err != nil {
		t.Fatal(err)
	}
	lease, err := a.db.Lease(t.Context(), time.Minute, kindDeliver)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.perform(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	if s, err := a.studyRecord(uid); err != nil || s.State != queue.Shadow || len(s.Sent) > 0 {
		t.Errorf("%v: the study is %+v", err, s)
	}
}
