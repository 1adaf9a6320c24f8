package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"llamaxr/daemon/config"
	"llamaxr/ingest"
	"llamaxr/ingest/spool"
	"llamaxr/ingest/spool/spooltest"
	"llamaxr/queue"
	"llamaxr/study"
)

// keeper is an appliance without models: its ledger with a clock, its objects on a disk that can fail, its drafts in a folder.
type keeper struct {
	*Appliance
	t     *testing.T
	state string
	disk  *spooltest.Disk

	mu  sync.Mutex
	now time.Time
}

func newKeeper(t *testing.T, retention config.Retention) *keeper {
	t.Helper()
	k := &keeper{t: t, state: t.TempDir(), disk: spooltest.New(), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	cfg := config.Default()
	cfg.Retention = retention
	k.Appliance = &Appliance{log: slog.New(slog.DiscardHandler), drafts: drafts{root: filepath.Join(k.state, "drafts")}}
	k.settings.Store(&cfg)
	k.start()
	t.Cleanup(func() { _ = k.db.Close() })
	return k
}

// start is a start of the process on the state as it is.
func (k *keeper) start() {
	k.t.Helper()
	var err error
	if k.db, err = queue.Open(filepath.Join(k.state, databaseFile), queue.Options{Now: k.clock, FirstRetry: time.Millisecond, LastRetry: time.Millisecond, MaxAttempts: 100}); err != nil {
		k.t.Fatal(err)
	}
	if k.spool, err = spool.OpenOn(k.disk, "/spool", 0); err != nil {
		k.t.Fatal(err)
	}
	k.receiver = &ingest.Receiver{
		DB: k.db, Spool: k.spool, Complete: k.scheduleCompletion, Look: k.look, Rejected: k.rejected, Log: k.log,
		ReadHeader: func(path string) (study.Header, error) {
			data, err := k.disk.Read(path)
			return headerOf(string(data)), err
		},
	}
	if err := k.tidy(); err != nil {
		k.t.Fatal(err)
	}
}

func (k *keeper) clock() time.Time { k.mu.Lock(); defer k.mu.Unlock(); return k.now }

func (k *keeper) pass(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now = k.now.Add(d)
}

func (k *keeper) wait(days int) { k.pass(time.Duration(days) * 24 * time.Hour) }

// The test's objects are a line: study, then instance.
func headerOf(line string) study.Header {
	uid, sop, _ := strings.Cut(strings.TrimRight(line, " "), "|")
	return study.Header{SOPClassUID: "1.2.840.10008.5.1.4.1.1.1", StudyInstanceUID: uid, SOPInstanceUID: sop, SeriesInstanceUID: "1.2"}
}

func (k *keeper) receive(uid, sop string) { k.t.Helper(); k.receiveOf(uid, sop, 100) }

// receiveOf receives an object of so many bytes.
func (k *keeper) receiveOf(uid, sop string, size int) {
	k.t.Helper()
	line := uid + "|" + sop + strings.Repeat(" ", size-len(uid)-len(sop)-1)
	in := ingest.Incoming{SOPClassUID: headerOf(line).SOPClassUID, SOPInstanceUID: sop, Calling: "CR"}
	if _, err := k.receiver.Receive(in, strings.NewReader(line)); err != nil {
		k.t.Fatal(err)
	}
}

func (k *keeper) update(change func(*queue.Tx) error) {
	k.t.Helper()
	if err := k.db.Update(change); err != nil {
		k.t.Fatal(err)
	}
}

// delivered is a study of two objects that was drafted, delivered and is at rest, as old as the clock says.
func (k *keeper) delivered(uid string) {
	k.t.Helper()
	frontal, lateral := uid+".1", uid+".2"
	k.receive(uid, frontal)
	k.receive(uid, lateral)
	k.update(func(tx *queue.Tx) error {
		jobs, err := tx.Jobs(uid)
		if err != nil {
			return err
		}
		for _, j := range jobs {
			if err := tx.End(j.ID); err != nil {
				return err
			}
		}
		s, err := tx.Study(uid)
		if err != nil {
			return err
		}
		for _, sop := range s.Instances {
			i, err := tx.Instance(sop)
			if err != nil {
				return err
			}
			i.Examined = &queue.Examination{}
			if err := tx.PutInstance(i); err != nil {
				return err
			}
		}
		s.State, s.Revision, s.Drafted = queue.Delivered, 1, s.Instances
		s.Pair = &study.Pair{Frontal: frontal, Lateral: lateral}
		s.Deliveries = map[string]*queue.Delivery{"PACS@pacs:104": {Revision: 1, Sent: tx.Now()}}
		s.Sent = map[string][]int{"PACS@pacs:104": {1}}
		return tx.PutStudy(s)
	})
	record := &DraftRecord{
		Draft:   study.Draft{StudyInstanceUID: uid, Revision: 1, Prompt: "prompt", Raw: "raw", Sentences: []study.Sentence{{Text: "Clear lungs."}}},
		Maps:    []study.HeatMap{{Size: 1, Values: []float32{1}}},
		Frontal: &study.Header{SOPInstanceUID: frontal, StudyInstanceUID: uid}, Lateral: &study.Header{SOPInstanceUID: lateral, StudyInstanceUID: uid},
		Documents: []DocumentRecord{{Kind: narrativeDocument, SOPInstanceUID: uid + ".9", File: "narrative.dcm"}}, Sums: map[string]string{},
	}
	for _, name := range []string{"narrative.dcm", "frontal.png", "page.pdf"} {
		if err := k.drafts.write(uid, 1, name, []byte(name)); err != nil {
			k.t.Fatal(err)
		}
		record.Sums[name] = sha256Of([]byte(name))
	}
	if err := k.drafts.save(record); err != nil {
		k.t.Fatal(err)
	}
}

// study changes the record of a study.
func (k *keeper) study(uid string, change func(tx *queue.Tx, s *queue.Study) error) {
	k.t.Helper()
	k.update(func(tx *queue.Tx) error {
		s, err := tx.Study(uid)
		if err != nil {
			return err
		}
		return errors.Join(change(tx, s), tx.PutStudy(s))
	})
}

func (k *keeper) report(uid string) *StudyReport {
	k.t.Helper()
	r, err := k.Study(uid)
	if err != nil {
		k.t.Fatal(err)
	}
	return r
}

// sweep is one look of retention.
func (k *keeper) sweep() {
	k.t.Helper()
	if _, err := k.removeOld(k.t.Context()); err != nil {
		k.t.Fatal(err)
	}
}

// work performs the jobs that delete files until none is left or one fails.
func (k *keeper) work() error {
	for {
		k.pass(time.Second) // the wait after a failure
		ctx, cancel := context.WithTimeout(k.t.Context(), time.Minute)
		if jobs, err := k.Jobs(); err != nil || !slices.ContainsFunc(jobs, func(j *queue.Job) bool { return j.Kind == kindExpire }) {
			cancel()
			return err
		}
		lease, err := k.db.Lease(ctx, time.Minute, kindExpire)
		cancel()
		if err != nil {
			return err
		}
		if err := k.expire(lease); err != nil {
			k.fail(lease, err)
			return err
		}
	}
}

// files are the received objects on the disk.
func (k *keeper) files() (n int) {
	for _, name := range k.disk.Names() {
		if !strings.Contains(name, "incoming") {
			n++
		}
	}
	return n
}

// left are the files of a study's draft.
func (k *keeper) left(uid string) string {
	entries, _ := os.ReadDir(k.drafts.folder(uid, 1))
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// TestAClockSetAheadRemovesNothing: a clock that leaps by years, between two looks or while the appliance is off, is believed after a day of
// running only; put right before, it costs nothing.
func TestAClockSetAheadRemovesNothing(t *testing.T) {
	k := newKeeper(t, config.Retention{KeepDays: 30})
	k.delivered("1.2.3")
	var doubt clockDoubt
	look := func(running time.Duration, want bool) {
		t.Helper()
		if believed, err := k.believeClock(&doubt, running); err != nil || believed != want {
			t.Fatalf("after %s of running the clock is believed: %v, error %v", running, believed, err)
		}
	}
	look(0, true)
	k.wait(6) // off over some holidays
	look(time.Hour, true)
	right := k.clock()
	k.pass(10 * 365 * 24 * time.Hour)
	look(2*time.Hour, false)
	look(25*time.Hour, false)
	k.now = right // by whoever looks after it
	look(25*time.Hour+time.Minute, true)
	k.pass(10 * 365 * 24 * time.Hour)
	look(26*time.Hour, false)
	doubt = clockDoubt{} // a start: the day begins anew
	look(0, false)
	look(23*time.Hour, false)
	look(24*time.Hour, true)
	look(24*time.Hour+sweepTime, true)
}

// TestAClockThatWasBehindRemovesNothing: what comes while the clock is years behind, from the first start on or for want of a battery at a later one, is kept for
// keep_days after the clock was put right, and what was promised then as long; what came before is as old as it is.
func TestAClockThatWasBehindRemovesNothing(t *testing.T) {
	for name, first := range map[string]bool{"from the first start on": true, "at a later start": false} {
		t.Run(name, func(t *testing.T) {
			const old, uid = "1.2.3", "1.2.4"
			k := newKeeper(t, config.Retention{KeepDays: 30})
			var doubt clockDoubt
			running := time.Duration(0)
			look := func() {
				t.Helper()
				believed, err := k.believeClock(&doubt, running)
				if err != nil {
					t.Fatal(err)
				}
				if believed {
					k.sweep()
				}
			}
			run := func(hours int) {
				for range hours {
					running += time.Hour
					k.pass(time.Hour)
					look()
				}
			}
			if !first {
				k.delivered(old)
				look()
				k.wait(1)
			}
			right := k.clock()
			k.now = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
			doubt, running = clockDoubt{}, 0
			look()
			k.delivered(uid)
			k.study(uid, func(tx *queue.Tx, s *queue.Study) error {
				i, err := tx.Instance(s.Instances[0])
				i.PromisedUntil = k.keptUntil(tx.Now())
				return errors.Join(err, tx.PutInstance(i))
			})
			run(3)
			k.now = right.Add(3 * time.Hour)
			run(29 * 24)
			if r := k.report(uid); !r.Removed.IsZero() || !r.Objects[0].PromisedUntil.After(k.clock()) {
				t.Errorf("removed at %s, 29 days after it came; promised until %s", r.Removed, r.Objects[0].PromisedUntil)
			}
			if !first && k.report(old).Removed.IsZero() {
				t.Error("what came before is kept for longer than it is to be")
			}
			run(3 * 24)
			if r := k.report(uid); r.Removed.IsZero() {
				t.Error("it is never removed")
			}
		})
	}
}

// TestAClockThatWasAheadIsForgotten: what came before and while a clock was believed that was ten years ahead ages from when it was put right, and what was promised then
// is kept for no longer than what is promised now; also where the appliance is switched off every night.
func TestAClockThatWasAheadIsForgotten(t *testing.T) {
	k := newKeeper(t, config.Retention{KeepDays: 30})
	days := func(n int) {
		t.Helper()
		for range n {
			var doubt clockDoubt
			for hour := range 10 {
				believed, err := k.believeClock(&doubt, time.Duration(hour)*time.Hour)
				if err != nil {
					t.Fatal(err)
				}
				if believed {
					k.sweep()
				}
				k.pass(time.Hour)
			}
			k.pass(14 * time.Hour)
		}
	}
	promise := func(uid string) {
		k.study(uid, func(tx *queue.Tx, s *queue.Study) error {
			i, err := tx.Instance(s.Instances[0])
			i.PromisedUntil = k.keptUntil(tx.Now())
			return errors.Join(err, tx.PutInstance(i))
		})
	}
	days(1)
	k.delivered("1.2.3")
	promise("1.2.3")
	days(1)
	right := k.clock()
	k.pass(10 * 365 * 24 * time.Hour)
	days(5)
	k.delivered("1.2.4")
	promise("1.2.4")
	k.now = right.Add(5 * 24 * time.Hour)
	days(25)
	for _, uid := range []string{"1.2.3", "1.2.4"} {
		if r := k.report(uid); !r.Removed.IsZero() {
			t.Errorf("%s is removed after 30 days", uid)
		}
	}
	days(10)
	for _, uid := range []string{"1.2.3", "1.2.4"} {
		if r := k.report(uid); r.Removed.IsZero() {
			t.Errorf("%s, promised until %s, is never removed", uid, r.Objects[0].PromisedUntil)
		}
	}
}

// TestAClockThatWasBehindTwice: a second start at the same wrong time, believed before the clock is put right, hides nothing that came in the first.
func TestAClockThatWasBehindTwice(t *testing.T) {
	k := newKeeper(t, config.Retention{KeepDays: 30})
	right := k.clock()
	run := func(days int) {
		t.Helper()
		var doubt clockDoubt
		for hour := range 24 * days {
			if believed, err := k.believeClock(&doubt, time.Duration(hour)*time.Hour); err != nil {
				t.Fatal(err)
			} else if believed {
				k.sweep()
			}
			k.pass(time.Hour)
		}
	}
	wrong := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	k.now = wrong
	run(5)
	k.delivered("1.2.3")
	run(5)
	k.now = wrong
	run(2)
	k.now = right
	run(20)
	if r := k.report("1.2.3"); !r.Removed.IsZero() {
		t.Error("removed before 30 days")
	}
	run(12)
	if r := k.report("1.2.3"); r.Removed.IsZero() {
		t.Error("it is never removed")
	}
}

// TestTimeOffDoesNotAge: a study does not age while the appliance is off for long; a clock that was ahead is believed again a day after it is put right.
func TestTimeOffDoesNotAge(t *testing.T) {
	k := newKeeper(t, config.Retention{KeepDays: 30})
	look := func(doubt *clockDoubt, running time.Duration, want bool) {
		t.Helper()
		if believed, err := k.believeClock(doubt, running); err != nil || believed != want {
			t.Fatalf("after %s of running the clock is believed: %v, error %v", running, believed, err)
		}
		if want {
			k.sweep()
		}
	}
	settle := func() {
		t.Helper()
		doubt := new(clockDoubt)
		look(doubt, 0, false)
		k.wait(1)
		look(doubt, clockProof, true)
	}
	k.delivered("1.2.3")
	look(new(clockDoubt), 0, true)
	k.wait(60)
	settle()
	for range 28 {
		k.wait(1)
		look(new(clockDoubt), 0, true)
	}
	if r := k.report("1.2.3"); !r.Removed.IsZero() {
		t.Errorf("removed after 28 days of running and 61 of being off")
	}
	k.wait(3)
	look(new(clockDoubt), 0, true)
	if r := k.report("1.2.3"); r.Removed.IsZero() {
		t.Error("it is never removed")
	}
	k.wait(-5)
	settle()
	look(new(clockDoubt), 0, true)
}

// TestRetentionTakesWhatIsOver: each study that still has a way to go, or that something was promised of, is kept; the rest goes when it is of
// age, and leaves what traces its draft.
func TestRetentionTakesWhatIsOver(t *testing.T) {
	k := newKeeper(t, config.Retention{KeepDays: 30})
	month := k.now.AddDate(0, 0, 31)
	none := func(*queue.Tx, *queue.Study) error { return nil }
	reading := func(r queue.Reading) func(tx *queue.Tx, s *queue.Study) error {
		return func(tx *queue.Tx, s *queue.Study) error { r.StudyInstanceUID = s.UID; return tx.PutReading(&r) }
	}
	promise := func(until time.Time) func(tx *queue.Tx, s *queue.Study) error {
		return func(tx *queue.Tx, s *queue.Study) error {
			i, err := tx.Instance(s.Instances[1])
			i.PromisedUntil = until
			return errors.Join(err, tx.PutInstance(i))
		}
	}
	state := func(state string) func(*queue.Tx, *queue.Study) error {
		return func(_ *queue.Tx, s *queue.Study) error { s.State = state; return nil }
	}
	commitment := func(c queue.Commitment) func(*queue.Tx, *queue.Study) error {
		return func(_ *queue.Tx, s *queue.Study) error { s.Deliveries["PACS@pacs:104"].Commitment = &c; return nil }
	}
	job := func(dead bool) func(tx *queue.Tx, s *queue.Study) error {
		return func(tx *queue.Tx, s *queue.Study) error {
			j := queue.Job{ID: "x/" + s.UID, Kind: "x", Study: s.UID}
			if err := tx.Enqueue(j); err != nil || !dead {
				return err
			}
			return tx.FailJob(&j, queue.Permanent(errors.New("no")), nil)
		}
	}
	withdrawal := func(sent time.Time) func(*queue.Tx, *queue.Study) error {
		return func(_ *queue.Tx, s *queue.Study) error {
			s.Withdrawn = []*queue.Withdrawal{{Revision: 1, Deliveries: map[string]*queue.Delivery{"PACS@pacs:104": {Sent: sent}}}}
			return nil
		}
	}
	with := func(other string) func(*queue.Tx, *queue.Study) error {
		return func(_ *queue.Tx, s *queue.Study) error { s.State, s.ReadWith = queue.Refused, other; return nil }
	}
	tests := []struct {
		what   string
		change func(*queue.Tx, *queue.Study) error
		goes   bool
	}{
		{"delivered", none, true},
		{"refused", state(queue.Refused), true},
		{"still receiving", state(queue.Receiving), false},
		{"drafted, not delivered", state(queue.Drafted), false},
		{"failed", state(queue.Failed), false},
		{"a job waits", job(false), false},
		{"a dead letter", job(true), false},
		{"a report is being edited", reading(queue.Reading{State: queue.ReadingOpen}), false},
		{"a signed report", reading(queue.Reading{State: queue.ReadingSigned, Signatures: []queue.Signature{{Number: 1}}}), true},
		{"a signed report that a PACS has not committed to", reading(queue.Reading{State: queue.ReadingSigned, Signatures: []queue.Signature{{
			Number: 1, Commitments: map[string]*queue.Commitment{"PACS@pacs:104": {}},
		}}}), false},
		{"a draft that a PACS has not committed to", commitment(queue.Commitment{Asked: k.now}), false},
		{"a draft that a PACS has committed to", commitment(queue.Commitment{Committed: k.now}), true},
		{"a draft that was taken back before a PACS committed to it", func(tx *queue.Tx, s *queue.Study) error {
			return errors.Join(commitment(queue.Commitment{Asked: k.now})(tx, s), withdrawal(k.now)(tx, s))
		}, true},
		{"a withdrawal on its way", withdrawal(time.Time{}), false},
		{"a withdrawal that arrived", withdrawal(k.now), true},
		{"promised for longer", promise(month.AddDate(0, 0, 1)), false},
		{"promised for ever", promise(queue.Forever), false},
		{"a promise that has run out", promise(month.AddDate(0, 0, -1)), true},
		{"read with a study that stays", with("1.2.102"), false},
		{"read with a study that goes", with("1.2.100"), true},
		{"in shadow mode", state(queue.Shadow), true},
	}
	for n, test := range tests {
		uid := fmt.Sprintf("1.2.%d", 100+n)
		k.delivered(uid)
		k.study(uid, test.change)
	}
	k.wait(29)
	k.sweep()
	for n := range tests {
		if r := k.report(fmt.Sprintf("1.2.%d", 100+n)); !r.Removed.IsZero() {
			t.Errorf("%s: removed before its time", tests[n].what)
		}
	}
	k.wait(2)
	k.delivered("1.2.99")
	k.sweep()
	if err := k.work(); err != nil {
		t.Fatal(err)
	}
	for n, test := range tests {
		uid := fmt.Sprintf("1.2.%d", 100+n)
		r := k.report(uid)
		if r.Removed.IsZero() == test.goes {
			t.Errorf("%s: removed at %s", test.what, r.Removed)
		}
		for _, o := range r.Objects {
			if there := k.spool.Has(o.Path, o.Size); there == test.goes || (o.Gone == queue.GoneRetention) != test.goes {
				t.Errorf("%s: %s is there %t, gone %q", test.what, o.Header.SOPInstanceUID, there, o.Gone)
			}
		}
		want := "draft.json frontal.png narrative.dcm page.pdf"
		if test.goes {
			want = "draft.json"
		}
		if got := k.left(uid); got != want {
			t.Errorf("%s: of the draft are left %q, want %q", test.what, got, want)
		}
		if d := r.Draft; d == nil || d.Draft.Raw != "raw" || d.Draft.Sentences[0].Text != "Clear lungs." || len(d.Documents) != 1 || d.Frontal == nil {
			t.Errorf("%s: the draft can no longer be traced: %+v", test.what, d)
		}
	}
	if r := k.report("1.2.99"); !r.Removed.IsZero() {
		t.Error("the newest study is removed")
	}
}

// TestExpiryNoteAgainstAPromise: a note that lets a study's objects expire takes none that we committed to; that is said, and retention takes it when it may.
func TestExpiryNoteAgainstAPromise(t *testing.T) {
	const uid = "1.2.3"
	for promised, want := range map[int]int{0: 0, 1: 1, 2: 2} { // objects, files left
		k := newKeeper(t, config.Retention{KeepDays: 30})
		k.delivered(uid)
		references := []study.ObjectReference{{StudyInstanceUID: uid, SOPInstanceUID: uid + ".1"}, {StudyInstanceUID: uid, SOPInstanceUID: uid + ".2"}}
		for _, o := range references[:promised] {
			k.update(func(tx *queue.Tx) error {
				i, err := tx.Instance(o.SOPInstanceUID)
				i.PromisedUntil = k.keptUntil(tx.Now())
				return errors.Join(err, tx.PutInstance(i))
			})
		}
		note := &queue.Instance{Instance: study.Instance{Header: study.Header{SOPInstanceUID: "9.9"}}}
		if err := k.receiver.Obey(note, &study.RejectionNote{Title: study.RejectedRetention, Objects: references}); err != nil {
			t.Fatal(err)
		}
		jobs, err := k.Jobs()
		for range jobs {
			lease, leased := k.db.Lease(t.Context(), time.Minute, kindForget)
			if err = errors.Join(err, leased); err == nil {
				err = k.forget(lease)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		said := slices.ContainsFunc(k.report(uid).Events, func(e queue.Event) bool { return strings.Contains(e.What, "we committed to") })
		if k.files() != want || said != (promised > 0) {
			t.Errorf("%d promised: %d files left, said %v", promised, k.files(), said)
		}
		if k.wait(31); promised > 0 {
			k.sweep()
			if err := k.work(); err != nil || k.files() > 0 {
				t.Errorf("%d promised: %d files left when it may go (%v)", promised, k.files(), err)
			}
		}
	}
}

// TestNothingIsRemovedUnasked: by default all is kept for ever.
func TestNothingIsRemovedUnasked(t *testing.T) {
	k := newKeeper(t, config.Default().Retention)
	k.delivered("1.2.1")
	k.wait(40000)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	k.retain(ctx)
	if r := k.report("1.2.1"); !r.Removed.IsZero() || k.files() != 2 {
		t.Errorf("removed at %s, %d files left", r.Removed, k.files())
	}
}

// TestTheWatermark: with one, studies go oldest first and only until enough is free.
func TestTheWatermark(t *testing.T) {
	k := newKeeper(t, config.Retention{KeepDays: 1, BelowFree: 10_000})
	for n := range 5 {
		k.delivered(fmt.Sprintf("1.2.%d", 5-n))
		k.wait(1)
	}
	removed := func() (uids []string) {
		for n := range 5 {
			if uid := fmt.Sprintf("1.2.%d", 5-n); !k.report(uid).Removed.IsZero() {
				uids = append(uids, uid)
			}
		}
		return uids
	}
	k.disk.Space = 10_000
	k.sweep()
	if got := removed(); got != nil {
		t.Errorf("removed %v though enough is free", got)
	}
	k.disk.Space = 10_000 - 201 // a study has 200 bytes
	k.sweep()
	if got := removed(); !slices.Equal(got, []string{"1.2.5", "1.2.4"}) {
		t.Errorf("removed %v, want the two oldest", got)
	}
	k.disk.Space = 0
	k.sweep()
	if got := len(removed()); got != 5 {
		t.Errorf("removed %d of five, all of age and needed", got)
	}
}

// TestARemovedStudyIsKnown: what comes again is kept, and no second draft made of it; what is new is read, as the next revision.
func TestARemovedStudyIsKnown(t *testing.T) {
	k := newKeeper(t, config.Retention{KeepDays: 30})
	k.delivered("1.2.1")
	k.wait(31)
	k.sweep()
	if err := k.work(); err != nil || k.files() != 0 {
		t.Fatalf("%d files left, %v", k.files(), err)
	}
	k.receive("1.2.1", "1.2.1.1")
	r := k.report("1.2.1")
	if r.State != queue.Delivered || r.Revision != 1 || len(r.Jobs) != 0 || k.files() != 1 || r.Objects[0].Gone != "" || r.Objects[1].Gone == "" {
		t.Errorf("after a resend: %s, revision %d, jobs %v, %d files", r.State, r.Revision, r.Jobs, k.files())
	}
	k.sweep()
	if r := k.report("1.2.1"); !r.Removed.IsZero() {
		t.Error("what has just come again is removed")
	}
	k.wait(31)
	k.sweep()
	if err := k.work(); err != nil || k.files() != 0 {
		t.Errorf("removed a second time: %d files left, %v", k.files(), err)
	}
	k.receiveOf("1.2.1", "1.2.1.1", 101)
	r = k.report("1.2.1")
	if r.State != queue.Delivered || len(r.Jobs) != 1 || r.Jobs[0].Kind != kindExamine || k.files() != 1 || r.Objects[0].Gone != "" {
		t.Errorf("after one with other bytes: %s, jobs %v, %d files", r.State, r.Jobs, k.files())
	}
	k.receive("1.2.1", "1.2.1.3")
	r = k.report("1.2.1")
	if r.State != queue.Receiving || !r.Removed.IsZero() || !slices.ContainsFunc(r.Jobs, func(j *queue.Job) bool { return j.Kind == kindComplete }) {
		t.Errorf("after a new image: %s, jobs %v", r.State, r.Jobs)
	}
}

// TestRetentionAtEveryFault: each call of the disk fails in turn, or the power goes, while a study is removed. The ledger never counts on a file
// that is gone, and in the end nothing is left.
func TestRetentionAtEveryFault(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	run := func(step int, fault spooltest.Fault, cause error) (steps int) {
		k := newKeeper(t, config.Retention{KeepDays: 30})
		k.delivered("1.2.1")
		k.update(func(tx *queue.Tx) error { // and the same UID with other bytes
			w, err := k.spool.Begin(nil)
			if err != nil {
				return err
			}
			if _, err := w.Write([]byte("other")); err != nil {
				return err
			}
			path, err := w.CommitAside("other")
			if err != nil {
				return err
			}
			return tx.SetAside(&queue.Instance{Instance: study.Instance{Header: headerOf("1.2.1|1.2.1.1"), Path: path, SHA256: "x", Received: tx.Now()}})
		})
		k.wait(31)
		before := k.disk.Steps()
		k.disk.Plan = func(n int, _ string) (spooltest.Fault, error) {
			if n-before == step {
				return fault, cause
			}
			return spooltest.None, nil
		}
		for range 5 {
			_, err := k.removeOld(t.Context())
			if err == nil {
				err = k.work()
			}
			k.consistent()
			if errors.Is(err, spooltest.ErrCut) {
				if err := k.db.Close(); err != nil {
					t.Fatal(err)
				}
				k.disk.Cut(rng, 0.5)
				k.start()
				k.consistent()
			}
		}
		steps = k.disk.Steps() - before
		k.disk.Cut(rng, 0)
		if r := k.report("1.2.1"); r.Removed.IsZero() || k.files() != 0 || k.left("1.2.1") != "draft.json" || len(r.Jobs) != 0 {
			t.Errorf("step %d, fault %d: removed at %s, %d files, draft %q, jobs %v", step, fault, r.Removed, k.files(), k.left("1.2.1"), r.Jobs)
		}
		return steps
	}
	steps := run(0, spooltest.None, nil)
	for step := 1; step <= steps; step++ {
		run(step, spooltest.Before, errors.New("EIO"))
		run(step, spooltest.After, errors.New("EIO"))
		run(step, spooltest.Before, spooltest.ErrCut)
		run(step, spooltest.After, spooltest.ErrCut)
	}
	t.Logf("%d steps, four ways each", steps)
}

// consistent checks that what the ledger counts on is there.
func (k *keeper) consistent() {
	k.t.Helper()
	err := k.db.View(func(tx *queue.Tx) error {
		err := tx.EachInstance(func(i *queue.Instance) error {
			if i.Gone != "" {
				return nil
			}
			data, err := k.disk.Read(k.spool.Path(i.Path))
			if err == nil && !bytes.Contains(data, []byte(i.Header.SOPInstanceUID)) {
				err = fs.ErrInvalid
			}
			return err
		})
		return errors.Join(err, tx.Check())
	})
	if err != nil {
		k.t.Errorf("the ledger counts on a file that is not there: %v", err)
	}
}
