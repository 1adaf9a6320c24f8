package ingest_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"llamaxr/ingest"
	"llamaxr/ingest/spool"
	"llamaxr/ingest/spool/spooltest"
	"llamaxr/queue"
	"llamaxr/study"
)

// object is what a sender sends: its data set is a line with its UIDs, then anything.
type object struct{ class, uid, study, content string }

const crClass = "1.2.840.10008.5.1.4.1.1.1"

func (o object) data() []byte {
	times := 50
	if o.content == large {
		times = (1 << 20) / len(large)
	}
	return []byte(strings.Join([]string{o.class, o.uid, o.study, strings.Repeat(o.content, times)}, "|"))
}

// large is the content of an object that no slot of the spool's journal holds.
const large = "large object "

const fileHead = "HEAD|"

// world is a machine: a disk that can fail, a ledger beside it, and what the sender was told.
type world struct {
	t      testing.TB
	disk   *spooltest.Disk
	db     *queue.DB
	dbPath string
	log    bytes.Buffer
	r      *ingest.Receiver
	accept bool
	// stored and apart are the data sets that the sender holds an answer for.
	stored, apart map[string][]byte
	settling      bool
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, disk: spooltest.New(), dbPath: filepath.Join(t.TempDir(), "db"), stored: map[string][]byte{}, apart: map[string][]byte{}}
	w.start()
	t.Cleanup(w.stop)
	return w
}

// stop closes the ledger; a test with many worlds does not wait for its own end.
func (w *world) stop() {
	if w.db == nil {
		return
	}
	if err := w.db.Close(); err != nil {
		w.t.Error(err)
	}
	w.db = nil
}

// ledger lets commits and look-ups fail as steps of the disk's plan.
type ledger struct {
	db   *queue.DB
	disk *spooltest.Disk
}

func (l ledger) View(read func(*queue.Tx) error) error {
	return l.disk.Do("look up", func() error { return l.db.View(read) })
}

func (l ledger) Update(apply func(*queue.Tx) error) error {
	return l.disk.Do("commit", func() error { return l.db.Update(apply) })
}

// start opens ledger and spool as the daemon does.
func (w *world) start() {
	w.t.Helper()
	var err error
	if w.db, err = queue.Open(w.dbPath, queue.Options{}); err != nil {
		w.t.Fatal(err)
	}
	s, err := spool.OpenOn(w.disk, "/state", 0)
	if err != nil {
		w.t.Fatal(err)
	}
	known, err := ingest.Known(w.db)
	if err != nil {
		w.t.Fatal(err)
	}
	unknown, err := s.Unknown(known)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, path := range unknown { // the daemon takes them in; here what nobody was told of must not be needed
		if err := s.Remove(path); err != nil {
			w.t.Fatal(err)
		}
	}
	w.r = &ingest.Receiver{
		DB: ledger{w.db, w.disk}, Spool: s, ReadHeader: w.readHeader, AcceptDuplicates: w.accept,
		Complete: func(*queue.Tx, *queue.Study) error { return nil },
		Look: func(tx *queue.Tx, i *queue.Instance) error {
			return tx.Enqueue(queue.Job{ID: "examine/" + i.Header.SOPInstanceUID, Kind: "examine", Study: i.Header.StudyInstanceUID})
		},
		Log: slog.New(slog.NewTextHandler(&w.log, nil)),
	}
}

// reboot is what a power cut and the next start make of the machine.
func (w *world) reboot(rng *rand.Rand, keep float64) {
	w.t.Helper()
	w.stop()
	w.disk.Cut(rng, keep)
	w.start()
}

func (w *world) readHeader(path string) (study.Header, error) {
	var raw []byte
	err := w.disk.Do("read", func() (err error) { raw, err = w.disk.Read(path); return err })
	if err != nil {
		return study.Header{}, fmt.Errorf("reading back: %w", &fs.PathError{Op: "read", Path: path, Err: err})
	}
	fields := strings.Split(strings.TrimPrefix(string(raw), fileHead), "|")
	if len(fields) != 4 {
		return study.Header{}, errors.New("not a data set")
	}
	return study.Header{SOPClassUID: fields[0], SOPInstanceUID: fields[1], StudyInstanceUID: fields[2], SeriesInstanceUID: "1.9", Modality: "CR"}, nil
}

// send sends an object, remembers a success, and returns the status.
func (w *world) send(o object) uint16 {
	_, err := w.r.Receive(ingest.Incoming{SOPClassUID: o.class, SOPInstanceUID: o.uid, Calling: "CR1", Head: []byte(fileHead)}, bytes.NewReader(o.data()))
	var status *ingest.StatusError
	if err != nil && !errors.As(err, &status) {
		w.t.Errorf("an error without a status: %v", err)
		return 0xFFFF
	}
	answer := uint16(0)
	if status != nil {
		answer = status.Status
	}
	first, known := w.stored[o.uid]
	switch {
	case answer == 0 && !known:
		w.stored[o.uid] = o.data()
	case (answer == 0 || answer == ingest.StatusDuplicate) && known && !bytes.Equal(first, o.data()):
		w.apart[o.uid+"/"+o.content] = o.data()
	}
	return answer
}

// check is the model: what was acknowledged is there whole, once, and listed once; the ledger names no file that is missing.
func (w *world) check(when string) {
	w.t.Helper()
	found := map[string]int{}
	err := w.db.View(func(tx *queue.Tx) error {
		if err := tx.Check(); err != nil {
			return err
		}
		err := tx.EachInstance(func(i *queue.Instance) error {
			raw, err := w.disk.Read(w.r.Spool.Path(i.Path))
			if err != nil || int64(len(raw)) != int64(len(fileHead))+i.Size {
				w.t.Errorf("%s: the ledger names a file that is missing or half: %v", when, err)
			}
			if want, ok := w.stored[i.Header.SOPInstanceUID]; ok && !bytes.Equal(raw, append([]byte(fileHead), want...)) {
				w.t.Errorf("%s: instance %s is altered", when, i.Header.SOPInstanceUID)
			}
			found[i.Header.SOPInstanceUID]++
			s, err := tx.Study(i.Header.StudyInstanceUID)
			if err != nil || s == nil {
				return fmt.Errorf("no study for %s: %w", i.Header.SOPInstanceUID, err)
			}
			listed := 0
			for _, uid := range s.Instances {
				if uid == i.Header.SOPInstanceUID {
					listed++
				}
			}
			if listed != 1 {
				w.t.Errorf("%s: %s is listed %d times", when, i.Header.SOPInstanceUID, listed)
			}
			if jobs, err := tx.Jobs(s.UID); err != nil || len(jobs) != len(s.Instances) {
				w.t.Errorf("%s: %d jobs for %d instances: %v", when, len(jobs), len(s.Instances), err)
			}
			return nil
		})
		if err != nil {
			return err
		}
		aside, err := tx.Aside()
		kept := map[string]bool{}
		for _, i := range aside {
			raw, err := w.disk.Read(w.r.Spool.Path(i.Path))
			if err != nil {
				w.t.Errorf("%s: aside: %v", when, err)
			}
			kept[string(raw)] = true
		}
		for key, data := range w.apart {
			if !kept[fileHead+string(data)] {
				w.t.Errorf("%s: %s was answered and is not kept aside", when, key)
			}
		}
		return err
	})
	if err != nil {
		w.t.Errorf("%s: %v", when, err)
	}
	for uid := range w.stored {
		if found[uid] != 1 {
			w.t.Errorf("%s: acknowledged instance %s is there %d times", when, uid, found[uid])
		}
	}
}

// clean checks that the disk holds what the ledger knows and nothing else.
func (w *world) clean(when string) {
	w.t.Helper()
	known, err := ingest.Known(w.db)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, name := range w.disk.Names() {
		if relative, _ := filepath.Rel("/state", name); !known[relative] {
			w.t.Errorf("%s: %s is known to nobody", when, name)
		}
	}
}

// script is what one sender sends: an object, the same again, another, and the first UID with other bytes, twice.
var script = []object{
	{crClass, "1.1", "1", "abc"},
	{crClass, "1.1", "1", "abc"},
	{crClass, "1.2", "1", large},
	{crClass, "1.1", "1", "xyz"},
	{crClass, "1.1", "1", "xyz"},
}

func (w *world) run() (answers []uint16) {
	for i, o := range script {
		answers = append(answers, w.send(o))
		if i%2 == 1 { // objects settle at any time
			w.settling = true
			_ = w.r.Spool.Settle() // what fails stays in the journal
			w.settling = false
		}
	}
	return answers
}

// steps counts the calls of a run without faults.
func steps(t *testing.T) (from, to int) {
	w := newWorld(t)
	from = w.disk.Steps()
	if got := fmt.Sprint(w.run()); got != "[0 0 0 273 273]" {
		t.Fatalf("answers %s, want success three times and 0x0111 twice", got)
	}
	w.check("no fault")
	w.clean("no fault")
	if !strings.Contains(w.log.String(), "other bytes") {
		t.Errorf("the log does not tell of the other bytes: %s", &w.log)
	}
	return from + 1, w.disk.Steps()
}

// TestEveryFault: whichever call fails, and however, the sender hears of it by the right status, nothing acknowledged is lost or
// altered, nothing half is visible, and sending again brings everything in once.
func TestEveryFault(t *testing.T) {
	from, to := steps(t)
	t.Logf("%d steps", to-from+1)
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
		for _, fault := range []spooltest.Fault{spooltest.Before, spooltest.After, spooltest.Short} {
			for step := from; step <= to; step++ {
				w, what, settling := newWorld(t), "", false
				w.disk.Plan = func(n int, call string) (spooltest.Fault, error) {
					if n != step {
						return spooltest.None, nil
					}
					what, settling = call, w.settling
					return fault, cause
				}
				answers := w.run()
				w.disk.Plan = nil
				name := fmt.Sprintf("%v at step %d (%s), fault %d", cause, step, what, fault)
				w.check(name)
				failed := 0
				for i, a := range answers {
					if a == 0 || a == ingest.StatusDuplicate {
						continue
					}
					failed++
					want := ingest.StatusProcessingFailure
					if cause == syscall.ENOSPC && what != "read" && what != "look up" {
						want = ingest.StatusOutOfResources
					}
					if a != want {
						t.Errorf("%s: object %d answered %#04x, want %#04x", name, i, a, want)
					}
				}
				want := 1
				if settling { // nobody waits for it
					want = 0
				}
				if what != "remove" && !(what == "close" && failed == 0) && failed != want {
					t.Errorf("%s: %d objects failed", name, failed)
				}
				w.run()
				w.check(name + ", sent again")
				if len(w.stored) != 2 || len(w.apart) != 1 {
					t.Errorf("%s: sent again, %d stored and %d aside", name, len(w.stored), len(w.apart))
				}
				w.reboot(rand.New(rand.NewPCG(1, uint64(step))), 0) // nothing of it rested on luck
				w.check(name + ", after a power cut")
				w.clean(name + ", after a power cut")
				w.stop()
			}
		}
	}
}

// TestPowerCutAtEveryStep: a power cut before, in or after any step keeps every acknowledged instance, whichever unsynced bytes and
// names happened to reach the disk.
func TestPowerCutAtEveryStep(t *testing.T) {
	from, to := steps(t)
	for step := from; step <= to; step++ {
		for _, fault := range []spooltest.Fault{spooltest.Before, spooltest.Short, spooltest.After} {
			for variant, keep := range []float64{0, 0.5, 1} {
				w, what := newWorld(t), ""
				w.disk.Plan = func(n int, call string) (spooltest.Fault, error) {
					if n != step {
						return spooltest.None, nil
					}
					what = call
					return fault, spooltest.ErrCut
				}
				w.run()
				name := fmt.Sprintf("power cut at step %d (%s), fault %d, keeping %g", step, what, fault, keep)
				w.reboot(rand.New(rand.NewPCG(uint64(step), uint64(variant))), keep)
				w.check(name)
				w.clean(name)
				w.run()
				w.check(name + ", sent again")
				w.clean(name + ", sent again")
				if len(w.stored) != 2 || len(w.apart) != 1 {
					t.Errorf("%s: sent again, %d stored and %d aside", name, len(w.stored), len(w.apart))
				}
				w.stop()
			}
		}
	}
}

// TestRefusals: what is wrong with an object is told by the status, and nothing of it stays.
func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		name string
		o    object
		as   object // what the command says
		want uint16
	}{
		{"data that cannot be read", object{content: "||||"}, object{class: crClass, uid: "1.1"}, ingest.StatusCannotUnderstand},
		{"another class than the command's", script[0], object{class: "1.2", uid: "1.1"}, ingest.StatusMismatch},
		{"another instance than the command's", script[0], object{class: crClass, uid: "1.3"}, ingest.StatusMismatch},
		{"no study", object{crClass, "1.1", "", "a"}, object{class: crClass, uid: "1.1"}, ingest.StatusCannotUnderstand},
		{"a study that is no UID", object{crClass, "1.1", "../x", "a"}, object{class: crClass, uid: "1.1"}, ingest.StatusCannotUnderstand},
		{"a study that is a folder", object{crClass, "1.1", "..", "a"}, object{class: crClass, uid: "1.1"}, ingest.StatusCannotUnderstand},
		{"a UID of 65 digits", object{crClass, "1.1", strings.Repeat("1", 65), "a"}, object{class: crClass, uid: "1.1"}, ingest.StatusCannotUnderstand},
	} {
		w := newWorld(t)
		_, err := w.r.Receive(ingest.Incoming{SOPClassUID: test.as.class, SOPInstanceUID: test.as.uid, Head: []byte(fileHead)}, bytes.NewReader(test.o.data()))
		var status *ingest.StatusError
		if !errors.As(err, &status) || status.Status != test.want || status.Comment == "" || len(status.Comment) > 64 {
			t.Errorf("%s: %v, want status %#04x with a comment", test.name, err, test.want)
		}
		w.clean(test.name)
	}
}

// TestReaderPanics: an object that makes its reader panic is refused, and leaves nothing.
func TestReaderPanics(t *testing.T) {
	w := newWorld(t)
	w.r.ReadHeader = func(string) (study.Header, error) { panic("a value of another kind") }
	_, err := w.r.Receive(ingest.Incoming{SOPClassUID: crClass, SOPInstanceUID: "1.1", Head: []byte(fileHead)}, bytes.NewReader(script[0].data()))
	var status *ingest.StatusError
	if !errors.As(err, &status) || status.Status != ingest.StatusCannotUnderstand {
		t.Errorf("%v", err)
	}
	w.clean("a reader that panics")
}

// TestBrokenOff: a data set that ends in an error leaves nothing.
func TestBrokenOff(t *testing.T) {
	w := newWorld(t)
	gone := errors.New("the association is gone")
	_, err := w.r.Receive(ingest.Incoming{SOPClassUID: crClass, SOPInstanceUID: "1.1", Head: []byte(fileHead)},
		io.MultiReader(bytes.NewReader(script[0].data()), failing{gone}))
	if !errors.Is(err, gone) {
		t.Errorf("error %v", err)
	}
	w.clean("broken off")
	if w.send(script[0]) != 0 {
		t.Error("not taken afterwards")
	}
	w.check("sent again")
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestResendWithOtherBytes: other bytes under a known UID never replace the first, whatever the sender is told.
func TestResendWithOtherBytes(t *testing.T) {
	for accept, want := range map[bool]uint16{false: ingest.StatusDuplicate, true: 0} {
		w := newWorld(t)
		w.r.AcceptDuplicates = accept
		w.send(script[0])
		for range 3 { // again and again is one object aside
			if got := w.send(script[3]); got != want {
				t.Errorf("accept %v: answered %#04x, want %#04x", accept, got, want)
			}
		}
		w.check("other bytes")
		w.clean("other bytes")
		if n := len(w.disk.Names()); n != 2 {
			t.Errorf("%d files, want the first and the other", n)
		}
	}
}

// TestALostFileComesBack: when the disk lost a known object, a resend is not answered from the ledger alone.
func TestALostFileComesBack(t *testing.T) {
	w := newWorld(t)
	w.send(script[0])
	for _, name := range w.disk.Names() {
		if err := w.disk.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.send(script[0]); got != 0 {
		t.Errorf("answered %#04x", got)
	}
	w.check("sent again")
	w.clean("sent again")
}

// TestAtOnce: one instance on many associations at once is one instance; other bytes of its UID at the same time are aside. A power
// cut at any moment of it loses nothing that was acknowledged.
func TestAtOnce(t *testing.T) {
	for round := range 25 {
		w := newWorld(t)
		rng := rand.New(rand.NewPCG(uint64(round), 7))
		if cut := rng.IntN(150); round%2 == 1 {
			base := w.disk.Steps()
			w.disk.Plan = func(n int, _ string) (spooltest.Fault, error) {
				if n == base+1+cut {
					return spooltest.After, spooltest.ErrCut
				}
				return spooltest.None, nil
			}
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		answers := map[string]map[uint16]int{}
		for i := range 12 {
			o := script[3*(i%2)] // the same UID, two contents
			wg.Go(func() {
				_, err := w.r.Receive(ingest.Incoming{SOPClassUID: o.class, SOPInstanceUID: o.uid, Head: []byte(fileHead)}, bytes.NewReader(o.data()))
				var status *ingest.StatusError
				answer := uint16(0)
				if errors.As(err, &status) {
					answer = status.Status
				}
				mu.Lock()
				defer mu.Unlock()
				if answers[o.content] == nil {
					answers[o.content] = map[uint16]int{}
				}
				answers[o.content][answer]++
			})
		}
		wg.Wait()
		stored, apart := script[0], script[3]
		if answers[apart.content][0] > 0 {
			stored, apart = apart, stored
		}
		if answers[stored.content][0] > 0 {
			w.stored[stored.uid] = stored.data()
		}
		if answers[apart.content][ingest.StatusDuplicate] > 0 {
			w.apart["other"] = apart.data()
		}
		if answers[apart.content][0] > 0 {
			t.Errorf("round %d: both contents were taken for the instance: %v", round, answers)
		}
		if round%2 == 0 && (answers[stored.content][0] != 6 || answers[apart.content][ingest.StatusDuplicate] != 6) {
			t.Errorf("round %d: answers %v", round, answers)
		}
		if round%2 == 1 {
			w.reboot(rng, 0)
		}
		w.check("at once")
		w.clean("at once")
	}
}
