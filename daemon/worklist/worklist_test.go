package worklist

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"llamaxr/queue"
	"llamaxr/study"
)

// open makes a ledger with n studies: every fifth was signed, every seventh has a pneumothorax, every third an effusion,
// every eleventh was changed by the guard.
func open(t testing.TB, n int) *queue.DB {
	t.Helper()
	db, err := queue.Open(filepath.Join(t.TempDir(), "ledger.db"), queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	numbers := make([]int, n)
	for i := range numbers {
		numbers[i] = i
	}
	for part := range slices.Chunk(numbers, 5000) {
		err := db.Update(func(tx *queue.Tx) error {
			for _, i := range part {
				if err := put(tx, i); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return db
}

var began = time.Date(2026, 1, 2, 8, 0, 0, 0, time.UTC)

func put(tx *queue.Tx, i int) error {
	uid, at := fmt.Sprintf("2.25.%09d", i), began.Add(time.Duration(i)*time.Second)
	h := study.Header{
		SOPInstanceUID: uid + ".1", StudyInstanceUID: uid, PatientName: fmt.Sprintf("Patient%d^Ann", i), PatientID: fmt.Sprintf("P%06d", i),
		AccessionNumber: fmt.Sprintf("A%06d", i), StudyDate: "20260102", StudyDescription: "Chest two views",
	}
	if err := tx.PutInstance(&queue.Instance{Instance: study.Instance{Header: h}}); err != nil {
		return err
	}
	s := &queue.Study{UID: uid, State: queue.Delivered, Revision: 1, Last: at, Instances: []string{uid + ".1"}, Summary: &queue.DraftSummary{}}
	for range 12 {
		s.Note(at, "an event of the usual length of such an event, for the size of the record")
	}
	if i%3 == 0 {
		s.Summary.Present = append(s.Summary.Present, queue.FindingScore{Finding: study.Effusion, Score: 0.8, View: study.Lateral})
	}
	if i%7 == 0 {
		s.Summary.Present = append(s.Summary.Present, queue.FindingScore{Finding: study.Pneumothorax, Score: 0.9, View: study.Frontal})
	}
	if i%11 == 0 {
		s.Summary.Changed = 2
	}
	if i%5 == 0 {
		if err := tx.PutReading(&queue.Reading{StudyInstanceUID: uid, Revision: 1, State: queue.ReadingSigned, ByName: "Dr Jane Doe", Time: at}); err != nil {
			return err
		}
	}
	return tx.PutStudy(s)
}

func run(t testing.TB, db *queue.DB) *List {
	t.Helper()
	l := New(db, []study.Finding{study.Pneumothorax})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	wait(t, l, func(p Page) bool { return p.Ready })
	return l
}

// wait looks after each change until ok.
func wait(t testing.TB, l *List, ok func(Page) bool) Page {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		changed, _ := l.Changed()
		if page := l.Find(Query{Finding: -1, Limit: 1000}); ok(page) {
			return page
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatal("the list does not come to what was waited for")
		}
	}
}

// TestOrderAndFilters: critical studies that wait come first with their reason, then the longest wait; filters and pages agree with a
// plain count.
func TestOrderAndFilters(t *testing.T) {
	const n = 210
	l := run(t, open(t, n))
	page := l.Find(Query{Finding: -1, Limit: n})
	if len(page.Entries) != n || page.Matching != n || page.Counts[Signed] != 42 || page.Counts[ToRead] != 168 {
		t.Fatalf("%d entries, counts %v", len(page.Entries), page.Counts)
	}
	first := page.Entries[0]
	if first.UID != "2.25.000000007" || first.Urgency != Critical || first.Why != "Pneumothorax 0.90 on the frontal view" {
		t.Errorf("first is %+v", first)
	}
	if last := page.Entries[n-1]; last.Status != Signed {
		t.Errorf("last is %+v", last)
	}
	critical := 0
	for i := range n {
		if i%7 == 0 && i%5 != 0 {
			critical++
		}
	}
	if page.Critical != critical {
		t.Errorf("%d critical studies wait, want %d", page.Critical, critical)
	}
	for _, test := range []struct {
		q    Query
		want int
	}{
		{Query{Finding: study.Effusion}, 70},
		{Query{Finding: -1, Critical: true}, 30},
		{Query{Finding: -1, Status: []Status{Signed}}, 42},
		{Query{Finding: -1, Search: "patient7^ann"}, 1},
		{Query{Finding: -1, Search: "ANN patient19"}, 11}, // 19, 190 to 199
		{Query{Finding: -1, Search: "a000042"}, 1},
		{Query{Finding: -1, Search: "nobody"}, 0},
	} {
		seen := map[string]bool{}
		for test.q.Offset, test.q.Limit = 0, 25; ; test.q.Offset += 25 {
			page := l.Find(test.q)
			if page.Matching != test.want {
				t.Errorf("%+v: %d match, want %d", test.q, page.Matching, test.want)
			}
			for _, e := range page.Entries {
				seen[e.UID] = true
			}
			if len(page.Entries) < 25 {
				break
			}
		}
		if len(seen) != test.want {
			t.Errorf("%+v: the pages hold %d studies, want %d", test.q, len(seen), test.want)
		}
	}
}

// TestListFollowsTheLedger: what is committed later is in the list, in its place, once.
func TestListFollowsTheLedger(t *testing.T) {
	db := open(t, 20)
	l := run(t, db)
	for i := 20; i < 40; i++ {
		if err := db.Update(func(tx *queue.Tx) error { return put(tx, i) }); err != nil {
			t.Fatal(err)
		}
	}
	err := db.Update(func(tx *queue.Tx) error {
		return tx.PutReading(&queue.Reading{StudyInstanceUID: "2.25.000000007", Revision: 1, State: queue.ReadingSigned, Time: began})
	})
	if err != nil {
		t.Fatal(err)
	}
	page := wait(t, l, func(p Page) bool { return p.Total == 40 && p.Counts[Signed] == 9 })
	if page.Entries[0].UID != "2.25.000000014" || !slices.IsSortedFunc(page.Entries, func(a, b Entry) int { return before(&a, &b) }) {
		t.Errorf("first is %s", page.Entries[0].UID)
	}
}

// TestNext: one goes down the list, from its end on from its top, past what others have open, also from a study that was just signed or begun.
func TestNext(t *testing.T) {
	db := open(t, 10) // 7 is critical, 3, 6 and 9 have a finding; 0 and 5 were signed
	err := db.Update(func(tx *queue.Tx) error {
		return errors.Join(tx.PutReading(&queue.Reading{StudyInstanceUID: "2.25.000000006", Revision: 1, State: queue.ReadingSigned, Time: began}),
			tx.PutReading(&queue.Reading{StudyInstanceUID: "2.25.000000001", Revision: 1, State: queue.ReadingOpen, Time: began}))
	})
	if err != nil {
		t.Fatal(err)
	}
	l := run(t, db)
	for _, test := range []struct {
		from, taken []string
		want        string
	}{
		{[]string{"7", "3", "9", "2", "4", "8"}, nil, "3 9 2 4 8 7"},
		{[]string{"6"}, nil, "9"},
		{[]string{"1"}, nil, "2"},
		{[]string{"unknown"}, nil, "7"},
		{[]string{"7", "8"}, []string{"3", "7", "9"}, "2 2"},
		{[]string{"7"}, []string{"3", "9", "2", "4", "8"}, ""},
	} {
		var got []string
		for _, from := range test.from {
			next := l.Next("2.25.00000000"+from, func(uid string) bool { return slices.Contains(test.taken, uid[len(uid)-1:]) })
			got = append(got, strings.TrimPrefix(next, "2.25.00000000"))
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("after %v, %v are taken: %v, want %s", test.from, test.taken, got, test.want)
		}
	}
}

// TestEntryIsOfWhomTheDraftIs: the list names the patient and the order of the images that the draft rests on, with the name as the newer of them has it. Before
// there is a pair it names what the newest object says that was not rejected.
func TestEntryIsOfWhomTheDraftIs(t *testing.T) {
	db := open(t, 0)
	object := func(sop, name, id string, at int) *queue.Instance {
		h := study.Header{SOPInstanceUID: sop, PatientName: name, PatientID: id, AccessionNumber: "of " + sop}
		return &queue.Instance{Instance: study.Instance{Header: h, Received: began.Add(time.Duration(at) * time.Second)}}
	}
	objects := []*queue.Instance{
		object("a", "Wrong^Ann", "A", 0), object("b", "Rigth^Bea", "B", 1), object("c", "Right^Bea", "B", 2), object("d", "Other^Dora", "D", 3),
	}
	cases := []struct {
		instances, rejected []string
		pair                *study.Pair
		want                string
	}{
		{[]string{"a", "b"}, []string{"a"}, &study.Pair{Frontal: "b"}, "Rigth^Bea B of b"},
		{[]string{"b", "c"}, nil, &study.Pair{Frontal: "b", Lateral: "c"}, "Right^Bea B of b"},
		{[]string{"c", "b"}, nil, &study.Pair{Frontal: "c", Lateral: "b"}, "Right^Bea B of c"},
		{[]string{"c"}, nil, &study.Pair{Frontal: "b", Lateral: "c"}, "Right^Bea B of c"},
		{[]string{"b", "d"}, nil, &study.Pair{Frontal: "b", Lateral: "d"}, "Rigth^Bea B of b"},
		{[]string{"a", "b"}, nil, nil, "Rigth^Bea B of b"},
		{[]string{"b", "a"}, []string{"a"}, &study.Pair{Refusal: "no image"}, "Rigth^Bea B of b"},
		{[]string{"a", "b"}, []string{"a", "b"}, nil, "Wrong^Ann A of a"},
		{nil, nil, nil, "  "},
	}
	err := db.Update(func(tx *queue.Tx) error {
		for _, i := range objects {
			if err := tx.PutInstance(i); err != nil {
				return err
			}
		}
		for n, c := range cases {
			uid := fmt.Sprintf("2.25.%d", n)
			if err := tx.PutStudy(&queue.Study{UID: uid, State: queue.Delivered, Revision: 1, Instances: c.instances, Pair: c.pair, Last: began}); err != nil {
				return err
			}
			for _, sop := range c.rejected {
				r := &queue.Rejection{Object: study.ObjectReference{StudyInstanceUID: uid, SOPInstanceUID: sop}, Title: study.RejectedWorklist}
				if err := tx.Reject(r); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	l := run(t, db)
	for n, c := range cases {
		e, _ := l.Entry(fmt.Sprintf("2.25.%d", n))
		if got := e.Patient + " " + e.PatientID + " " + e.Accession; got != c.want {
			t.Errorf("objects %v, rejected %v, pair %+v: %q, want %q", c.instances, c.rejected, c.pair, got, c.want)
		}
	}
}

// TestWhatFailedIsStillRead: a draft that could not be sent somewhere waits for its reader, in its place, and says what failed; without a draft the
// study asks for attention.
func TestWhatFailedIsStillRead(t *testing.T) {
	db := open(t, 0)
	err := db.Update(func(tx *queue.Tx) error {
		return errors.Join(put(tx, 1), put(tx, 7), tx.PutStudy(&queue.Study{UID: "2.25.9", State: queue.Failed, Reason: "draft: no model"}))
	})
	if err == nil {
		err = db.Update(func(tx *queue.Tx) error {
			s, err := tx.Study("2.25.000000007")
			if err != nil {
				return err
			}
			s.State, s.Reason = queue.Failed, "hl7: no answer"
			return tx.PutStudy(s)
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	l := run(t, db)
	page := l.Find(Query{Finding: -1, Status: []Status{ToRead, InWork}, Limit: 10})
	if len(page.Entries) != 2 || page.Entries[0].UID != "2.25.000000007" || page.Entries[0].Failure != "hl7" || page.Entries[0].Urgency != Critical || page.Critical != 1 {
		t.Errorf("%d critical, to read: %+v", page.Critical, page.Entries)
	}
	if e, _ := l.Entry("2.25.9"); e.Status != Attention || e.Why != "draft: no model" {
		t.Errorf("without a draft: %+v", e)
	}
}

// readings is the list of a study like s for each of the readings: "2.25.0", "2.25.1" ...
func readings(t *testing.T, s queue.Study, readings ...queue.Reading) *List {
	t.Helper()
	db := open(t, 0)
	err := db.Update(func(tx *queue.Tx) error {
		for i, r := range readings {
			r.StudyInstanceUID, r.ByName, r.Time = fmt.Sprintf("2.25.%d", i), "Dr Jane Doe", began
			s.UID, s.Last = r.StudyInstanceUID, began
			if err := errors.Join(tx.PutStudy(&s), tx.PutReading(&r)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return run(t, db)
}

// TestDraftedAgainIsReadAgain: a draft that came after the signature, or after a rejection, waits for its reader; what was signed since does not.
func TestDraftedAgainIsReadAgain(t *testing.T) {
	l := readings(t, queue.Study{State: queue.Delivered, Revision: 2, Summary: &queue.DraftSummary{}},
		queue.Reading{Revision: 1, State: queue.ReadingSigned}, queue.Reading{Revision: 1, State: queue.ReadingRejected},
		queue.Reading{Revision: 2, State: queue.ReadingSigned}, queue.Reading{Revision: 1, State: queue.ReadingOpen})
	for i, want := range []Status{ToRead, ToRead, Signed, InWork} {
		e, _ := l.Entry(fmt.Sprintf("2.25.%d", i))
		if e.Status != want || (e.Status == ToRead) != strings.HasPrefix(e.Doubt, "drafted again since Dr Jane Doe ") {
			t.Errorf("study %d is %s, %q, want %s", i, e.Status, e.Doubt, want)
		}
	}
}

// TestSignedAndThenRefused: a report whose images were taken back after the signature, so that no draft can be made any more, does not look done.
func TestSignedAndThenRefused(t *testing.T) {
	l := readings(t, queue.Study{State: queue.Refused, Reason: "rejected: patient safety", Revision: 2},
		queue.Reading{Revision: 1, State: queue.ReadingSigned}, queue.Reading{Revision: 1, State: queue.ReadingRejected},
		queue.Reading{Revision: 2, State: queue.ReadingSigned})
	for i, want := range []Status{Attention, Rejected, Signed} {
		e, _ := l.Entry(fmt.Sprintf("2.25.%d", i))
		if e.Status != want || (want == Attention) != (e.Why == "signed by Dr Jane Doe before this: rejected: patient safety") {
			t.Errorf("study %d is %s, %q, want %s", i, e.Status, e.Why, want)
		}
	}
}

// TestSignedAndNotSent: a signed report that did not get to where it should asks for attention and says what failed; what waits keeps its place.
func TestSignedAndNotSent(t *testing.T) {
	l := readings(t, queue.Study{State: queue.Failed, Reason: "deliver signed: no answer", Revision: 2, Summary: &queue.DraftSummary{Doubt: "no lateral"}},
		queue.Reading{Revision: 2, State: queue.ReadingSigned}, queue.Reading{Revision: 1, State: queue.ReadingSigned}, queue.Reading{Revision: 2, State: queue.ReadingOpen})
	for i, want := range []struct {
		status         Status
		doubt, failure string
	}{
		{Attention, "no lateral; signed by Dr Jane Doe; deliver signed: no answer", ""},
		{ToRead, "no lateral; drafted again since Dr Jane Doe signed it", "deliver signed"},
		{InWork, "no lateral", "deliver signed"},
	} {
		if e, _ := l.Entry(fmt.Sprintf("2.25.%d", i)); e.Status != want.status || e.Doubt != want.doubt || e.Failure != want.failure {
			t.Errorf("study %d is %s, %q, %q, want %+v", i, e.Status, e.Doubt, e.Failure, want)
		}
	}
}

// TestNothingLeftToRead: a reading that was begun on a draft which was taken back, and is not made again, is not in work for ever; what was signed before asks for
// attention. The list knows what was taken back.
func TestNothingLeftToRead(t *testing.T) {
	s := queue.Study{
		State: queue.Refused, Reason: "every image was rejected", Revision: 2, Withdrawn: []*queue.Withdrawal{{Revision: 1, Reason: "patient safety"}},
	}
	l := readings(t, s, queue.Reading{Revision: 1, State: queue.ReadingOpen},
		queue.Reading{Revision: 1, State: queue.ReadingOpen, Signatures: []queue.Signature{{Number: 1, Revision: 1}}})
	for i, want := range []struct {
		status Status
		why    string
	}{{NoDraft, "every image was rejected"}, {Attention, "signed and reopened before this: every image was rejected"}} {
		e, _ := l.Entry(fmt.Sprintf("2.25.%d", i))
		if e.Status != want.status || e.Why != want.why || e.Without != s.Reason || e.Withdrawn != "revision 1, patient safety" {
			t.Errorf("study %d is %+v, want %+v", i, e, want)
		}
	}
}

// TestADamagedRecord: a record that goes bad while the appliance runs costs the list one study, at a start and later; the others are followed.
func TestADamagedRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	db, err := queue.Open(path, queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for i := range 10 {
		if err := db.Update(func(tx *queue.Tx) error { return put(tx, i) }); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	name := []byte("Patient4^Ann")
	for at := bytes.Index(raw, name); at >= 0; at = bytes.Index(raw, name) {
		raw[at] = 'p'
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = file.Write(raw)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	l := run(t, db)
	wait(t, l, func(p Page) bool { return p.Total == 9 })
	if err := db.Update(func(tx *queue.Tx) error {
		return errors.Join(tx.PutStudy(&queue.Study{UID: "2.25.000000003", State: queue.Failed}), put(tx, 10))
	}); err != nil {
		t.Fatal(err)
	}
	wait(t, l, func(p Page) bool { return p.Total == 10 && p.Counts[Attention] == 1 })
}

// TestWhatWaitsIsReadFirst: as long as only the studies that no reader is done with were read, their list is the whole one, in its order; a
// study that is not in the list yet is found all the same.
func TestWhatWaitsIsReadFirst(t *testing.T) {
	db := open(t, 400)
	err := db.Update(func(tx *queue.Tx) error {
		return tx.PutReading(&queue.Reading{StudyInstanceUID: "2.25.000000005", State: queue.ReadingOpen, Time: began})
	})
	if err != nil {
		t.Fatal(err)
	}
	l := New(db, []study.Finding{study.Pneumothorax})
	first, rest, err := l.order()
	if err == nil {
		err = l.load(t.Context(), first, func() { l.waiting = true })
	}
	if err != nil {
		t.Fatal(err)
	}
	open := Query{Finding: -1, Status: []Status{ToRead, InWork}, Limit: 1000}
	early := l.Find(open)
	if early.Matching != 321 || early.Counts[InWork] != 1 || early.Counts[Signed] != 0 || !early.Waiting || early.Ready {
		t.Errorf("%d wait, counts %v", early.Matching, early.Counts)
	}
	if e, ok := l.Entry("2.25.000000010"); !ok || e.Status != Signed || e.Patient != "Patient10^Ann" {
		t.Errorf("a study that is not in the list yet is %+v, %v", e, ok)
	}
	// A signed draft is rejected after its study was read for the list and before it is in it.
	entries, err := l.readAll(t.Context(), rest)
	if err == nil {
		err = db.Update(func(tx *queue.Tx) error {
			return tx.PutReading(&queue.Reading{StudyInstanceUID: "2.25.000000010", Revision: 1, State: queue.ReadingRejected, Time: began})
		})
	}
	if err == nil {
		err = l.take(map[string]bool{"2.25.000000010": true})
	}
	if err != nil {
		t.Fatal(err)
	}
	l.add(entries, func() { l.ready = true })
	late := l.Find(open)
	if e, _ := l.Entry("2.25.000000010"); e.Status != Rejected || late.Counts[Rejected] != 1 {
		t.Errorf("what changed meanwhile is %+v", e)
	}
	if !slices.EqualFunc(early.Entries, late.Entries, func(a, b Entry) bool { return a.UID == b.UID }) || late.Total != 400 || !late.Ready {
		t.Errorf("the list of what waits had %d studies and has %d of %d", len(early.Entries), len(late.Entries), late.Total)
	}
}

// TestChangesWhileTheLedgerIsRead: whatever is committed while the list is being read for the first time, the list ends as one that is read when
// nothing changes any more.
func TestChangesWhileTheLedgerIsRead(t *testing.T) {
	const n = 3 * batch
	db := open(t, n)
	for round := range 3 {
		l := New(db, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		states := []string{queue.ReadingOpen, queue.ReadingSigned, queue.ReadingRejected}
		for i := 0; !l.Find(Query{}).Ready || i < 100; i++ {
			err := db.Update(func(tx *queue.Tx) error {
				return tx.PutReading(&queue.Reading{
					Revision: 1, StudyInstanceUID: fmt.Sprintf("2.25.%09d", 7*(i+round)%n), State: states[(i+round)%3], ByName: fmt.Sprint(round, i), Time: began,
				})
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		fresh := New(db, nil)
		if err := loaded(fresh); err != nil {
			t.Fatal(err)
		}
		all := Query{Finding: -1, Limit: n}
		want := fresh.Find(all).Entries
		for deadline := time.Now().Add(time.Minute); !reflect.DeepEqual(l.Find(all).Entries, want); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the list has not what the ledger has")
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestPagesCostWhatTheyShow: none of the page's filters needs an entry looked at that it does not show, and a part that is kept ready holds
// what looking at every entry would find, in the same order, after changes too.
func TestPagesCostWhatTheyShow(t *testing.T) {
	db := open(t, 400)
	l := run(t, db)
	err := db.Update(func(tx *queue.Tx) error {
		for i := range 80 {
			state := []string{queue.ReadingOpen, queue.ReadingSigned, queue.ReadingRejected}[i%3]
			if err := tx.PutReading(&queue.Reading{StudyInstanceUID: fmt.Sprintf("2.25.%09d", 3*i), Revision: 1, State: state, Time: began}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	every := wait(t, l, func(p Page) bool { return p.Counts[Rejected] == 26 }).Entries
	if len(every) != 400 {
		t.Fatalf("%d entries", len(every))
	}
	waiting := []Status{ToRead, InWork}
	for _, q := range []Query{
		{},
		{Status: waiting},
		{Status: waiting, Critical: true},
		{Status: waiting, HeldBack: true},
		{Status: []Status{Arriving}},
		{Status: []Status{NoDraft}},
		{Status: []Status{Attention}},
		{Status: []Status{Signed}},
		{Status: []Status{Rejected}},
		{Status: []Status{Shadow}},
	} {
		q.Finding, q.Limit = -1, 1000
		if _, exact := l.parts.choose(q); !exact {
			t.Errorf("%+v looks at entries that it does not show", q)
		}
		var want []string
		for i := range every {
			if q.matches(&every[i], nil) {
				want = append(want, every[i].UID)
			}
		}
		var got []string
		for _, e := range l.Find(q).Entries {
			got = append(got, e.UID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v: %d entries, want %d", q, len(got), len(want))
		}
	}
}

// TestSearchesKeepStep: what was searched for before is answered, after changes, as looking at every entry would answer; also when more was
// searched for than is kept.
func TestSearchesKeepStep(t *testing.T) {
	db := open(t, 300)
	l := run(t, db)
	queries := []Query{
		{Finding: study.Effusion},
		{Finding: -1, Search: "patient1"},
		{Finding: study.Pneumothorax, Status: []Status{ToRead, InWork}},
		{Finding: -1, Search: "ANN a0001", Status: []Status{Signed}},
		{Finding: -1, Status: []Status{ToRead, InWork}, Critical: true, HeldBack: true},
		{Finding: study.Effusion, Search: "nobody"},
	}
	for i := range maxSearches {
		queries = append(queries, Query{Finding: -1, Search: fmt.Sprintf("p%04d", i)})
	}
	check := func() {
		t.Helper()
		every := l.Find(Query{Finding: -1, Limit: 1000}).Entries
		for _, q := range queries {
			q.Limit = 1000
			var want, got []string
			for i := range every {
				if q.matches(&every[i], q.words()) {
					want = append(want, every[i].UID)
				}
			}
			page := l.Find(q)
			for _, e := range page.Entries {
				got = append(got, e.UID)
			}
			if !slices.Equal(got, want) || page.Matching != len(want) {
				t.Errorf("%+v: %v, want %v", q, got, want)
			}
		}
		if kept := len(l.parts.searches); kept != maxSearches {
			t.Errorf("%d searches are kept", kept)
		}
	}
	check()
	err := db.Update(func(tx *queue.Tx) error {
		for i := range 60 {
			if err := tx.PutReading(&queue.Reading{StudyInstanceUID: fmt.Sprintf("2.25.%09d", 2*i), Revision: 1, State: queue.ReadingRejected, Time: began}); err != nil {
				return err
			}
			if err := put(tx, 300+i); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wait(t, l, func(p Page) bool { return p.Total == 360 && p.Counts[Rejected] == 60 })
	check()
}

// loaded reads the whole ledger.
func loaded(l *List) error {
	first, rest, err := l.order()
	if err != nil {
		return err
	}
	return l.load(context.Background(), slices.Concat(first, rest), func() {})
}

// BenchmarkHundredThousand measures a page of 100,000 studies: the first reading of the ledger, a plain page, a search.
func BenchmarkHundredThousand(b *testing.B) {
	if os.Getenv("LLAMAXR_LONG") == "" {
		b.Skip("set LLAMAXR_LONG=1")
	}
	db := open(b, 100_000)
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			if err := loaded(New(db, nil)); err != nil {
				b.Fatal(err)
			}
		}
	})
	l := run(b, db)
	for name, q := range map[string]Query{
		"open": {Finding: -1, Status: []Status{ToRead, InWork}, Limit: 50}, "last page": {Finding: -1, Offset: 99_950, Limit: 50},
		"search": {Finding: -1, Search: "patient99999 ann", Limit: 50}, "finding": {Finding: study.Effusion, Limit: 50},
	} {
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			for b.Loop() {
				l.Find(q)
			}
		})
	}
	b.Run("change", func(b *testing.B) {
		for b.Loop() {
			if err := l.take(map[string]bool{"2.25.000000007": true}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestUnacknowledged: studies with a critical finding of which nobody has taken note are found by that, with the oldest's time, until somebody does.
func TestUnacknowledged(t *testing.T) {
	db := open(t, 20)
	l := run(t, db)
	alert := func(i int, change func(*queue.Alert)) {
		err := db.Update(func(tx *queue.Tx) error {
			s, err := tx.Study(fmt.Sprintf("2.25.%09d", i))
			if err != nil {
				return err
			}
			a := &queue.Alert{Number: 1, Revision: 1, Raised: began.Add(time.Duration(i) * time.Minute)}
			change(a)
			s.Alerts = []*queue.Alert{a}
			return tx.PutStudy(s)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 4 {
		alert(i, func(*queue.Alert) {})
	}
	wait(t, l, func(p Page) bool { return p.Unacknowledged == 4 })
	alert(0, func(a *queue.Alert) { a.Acknowledged, a.By = began.Add(time.Hour), "rita" })
	alert(1, func(a *queue.Alert) { a.Over = "the draft was withdrawn" })
	wait(t, l, func(p Page) bool { return p.Unacknowledged == 2 })
	var found []string // the one with a finding first
	for _, e := range l.Find(Query{Finding: -1, Unacknowledged: true, Limit: 10}).Entries {
		found = append(found, e.UID)
	}
	if n, oldest := l.Unacknowledged(); n != 2 || !oldest.Equal(began.Add(2*time.Minute)) || !slices.Equal(found, []string{"2.25.000000003", "2.25.000000002"}) {
		t.Errorf("%d, the oldest of %v: %v", n, oldest, found)
	}
	if p := l.Find(Query{Finding: study.Effusion, Unacknowledged: true, Limit: 10}); p.Matching != 1 || p.Entries[0].UID != "2.25.000000003" {
		t.Errorf("with an effusion: %+v", p)
	}
}
