package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"llamaxr/daemon"
	"llamaxr/dicomnet"
	"llamaxr/dicomnet/dimse"
	"llamaxr/dicomnet/part10"
	"llamaxr/ingest/dicomfile"
)

const (
	shortHostileKills = 3
	longHostileKills  = 1000
	// longestMood is how long the hostile destination lives at most before it dies and comes back in another mood.
	longestMood = 1500 * time.Millisecond
	// enoughTrouble is how often it must have been hostile before it comes to its senses, if that happens within hostileTime.
	enoughTrouble = 6
	hostileTime   = 15 * time.Second
)

// hostile is a destination that dies, stalls, refuses for now and for good, and forgets to say that it stored.
type hostile struct {
	t       *testing.T
	address string
	port    string

	mu     sync.Mutex
	rng    *rand.Rand
	kind   bool                         // it has become well-behaved
	sums   map[string][sha256.Size]byte // of each object's data set, by SOP Instance UID
	srs    map[string]map[string]string // study → revision → SOP Instance UID of the narrative
	events map[string]int
	cancel context.CancelFunc
	done   chan error
}

func startHostile(t *testing.T) *hostile {
	h := &hostile{
		t: t, port: freePort(t), rng: rand.New(rand.NewPCG(7, 7)), sums: map[string][sha256.Size]byte{}, srs: map[string]map[string]string{}, events: map[string]int{},
	}
	h.address = "127.0.0.1:" + h.port
	h.live()
	t.Cleanup(h.die)
	return h
}

// live listens in a new mood: now and then it does not know us at all.
func (h *hostile) live() {
	h.mu.Lock()
	defer h.mu.Unlock()
	title := "PACS"
	if !h.kind && h.rng.IntN(12) == 0 {
		title = "SOMEBODY" // rejects the called AE title for good
	}
	var listener net.Listener
	var err error
	for deadline := time.Now().Add(startTime); ; time.Sleep(10 * time.Millisecond) {
		if listener, err = net.Listen("tcp", h.address); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		h.t.Error(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel, h.done = cancel, make(chan error, 1)
	server := &dicomnet.Server{AETitle: title, NewSession: h.session}
	done := h.done
	go func() { done <- server.Serve(ctx, listener, 0) }()
}

// die breaks every association off.
func (h *hostile) die() {
	h.cancel()
	<-h.done
}

func (h *hostile) count(what string) { h.events[what]++ }

func (h *hostile) troubles() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, times := range h.events {
		n += times
	}
	return n
}

func (h *hostile) session(context.Context, *dicomnet.AssociationInfo) (dicomnet.Session, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.kind && h.rng.IntN(6) == 0 {
		h.count("association rejected for now")
		return nil, errors.New("congested")
	}
	return h, nil
}

// Echo implements dicomnet.Session.
func (h *hostile) Echo(context.Context) error { return nil }

// Close implements dicomnet.Session.
func (h *hostile) Close(bool) {}

// Store implements dicomnet.Session.
func (h *hostile) Store(ctx context.Context, req *dicomnet.StoreRequest, data io.Reader) error {
	body, err := io.ReadAll(data)
	if err != nil {
		return err
	}
	h.mu.Lock()
	mood := 0
	if !h.kind {
		mood = h.rng.IntN(24)
	}
	h.mu.Unlock()
	status := func(what string, code uint16) error {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.count(what)
		return &dimse.StatusError{Status: code, Comment: what}
	}
	switch mood {
	case 1, 2:
		return status("out of resources", dimse.OutOfResources)
	case 3:
		return status("refused for good", dimse.CannotUnderstand)
	case 4, 5:
		h.stall(ctx, "stalled before storing")
		return errGone
	}
	known, err := h.keep(req, body)
	if err != nil {
		h.t.Error(err)
		return err
	}
	switch {
	case mood == 6 || mood == 7:
		h.stall(ctx, "stored and did not say so")
		return errGone
	case known && mood%2 == 0:
		return status("has it already", dimse.DuplicateSOPInstance)
	}
	return nil
}

var errGone = errors.New("gone")

func (h *hostile) stall(ctx context.Context, what string) {
	h.mu.Lock()
	h.count(what)
	h.mu.Unlock()
	<-ctx.Done()
}

// keep stores an object: the same SOP Instance UID must be the same bytes each time, and a revision has one narrative.
func (h *hostile) keep(req *dicomnet.StoreRequest, body []byte) (known bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	sum := sha256.Sum256(body)
	before, known := h.sums[req.SOPInstanceUID]
	if known && before != sum {
		return known, fmt.Errorf("object %s came again with other bytes", req.SOPInstanceUID)
	}
	h.sums[req.SOPInstanceUID] = sum
	if req.SOPClassUID != basicTextSR || known {
		return known, nil
	}
	file := append(part10.Encode(part10.Meta{SOPClassUID: req.SOPClassUID, SOPInstanceUID: req.SOPInstanceUID, TransferSyntaxUID: req.TransferSyntaxUID},
		dicomnet.ImplementationClassUID, dicomnet.ImplementationVersionName), body...)
	f, err := dicomfile.Read(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return false, err
	}
	study, revision := f.Header.StudyInstanceUID, f.Header.InstanceNumber
	if h.srs[study] == nil {
		h.srs[study] = map[string]string{}
	}
	if other := h.srs[study][revision]; other != "" {
		return false, fmt.Errorf("study %s has two narratives of revision %s", study, revision)
	}
	h.srs[study][revision] = req.SOPInstanceUID
	return false, nil
}

// TestKilledWithAHostileDestination: while the appliance is killed with SIGKILL at random moments its destination dies, stalls, rejects for now
// and for good, and answers duplicates. Every study ends as one narrative a revision there or as a dead letter that says why; sent again to
// the same destination come to its senses, the dead letters end as the others.
func TestKilledWithAHostileDestination(t *testing.T) {
	kills := shortHostileKills
	if os.Getenv("LLAMAXR_TORTURE") != "" {
		kills = longHostileKills
	}
	h := startHostile(t)
	n := startNode(t, "--destination", "PACS@"+h.address)
	known := &acknowledged{digests: map[string]string{}, studies: map[string]bool{}}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for s := range 2 {
		dir := t.TempDir()
		wg.Go(func() {
			for seed := uint64(100_000 * (s + 1)); ; seed++ {
				pushUntilTaken(t, known, seed, dir, n.port)
				select {
				case <-done:
					return
				case <-time.After(pause):
				}
			}
		})
	}
	wg.Go(func() {
		rng := rand.New(rand.NewPCG(9, 9))
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Duration(rng.Int64N(int64(longestMood)))):
			}
			h.die()
			h.live()
		}
	})
	rng := rand.New(rand.NewPCG(3, 2))
	for k := range kills {
		time.Sleep(time.Duration(rng.Int64N(int64(longestLife))))
		n.stop(syscall.SIGKILL)
		n.start()
		if kills > shortHostileKills && k%50 == 49 {
			known.mu.Lock()
			fmt.Printf("%d of %d kills, %d studies\n", k+1, kills, len(known.studies))
			known.mu.Unlock()
		}
	}
	for deadline := time.Now().Add(hostileTime); h.troubles() < enoughTrouble && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
	}
	close(done)
	wg.Wait()
	h.mu.Lock()
	h.kind = true
	h.mu.Unlock()
	h.die()
	h.live()
	states := n.settle(len(known.studies))
	dead := 0
	jobs, err := daemon.Jobs(n.state)
	if err != nil {
		t.Fatal(err)
	}
	letters := map[string]string{}
	for _, j := range jobs {
		if j.Dead {
			letters[j.Study] = j.LastError
			if out, err := exec.Command(program, "queue", "resend", j.ID, "--state", n.state).CombinedOutput(); err != nil {
				t.Errorf("resend: %v %s", err, out)
			}
		}
	}
	for uid, s := range states {
		switch {
		case s.State == "delivered":
		case s.State == "failed" && letters[uid] != "" && strings.Contains(s.Reason, "deliver"):
			dead++
		default:
			t.Errorf("study %s is %s: %q, dead letter %q", uid, s.State, s.Reason, letters[uid])
		}
	}
	for uid := range states {
		n.await(uid, "delivered in the end", func(r *daemon.StudyReport) bool { return r.State == "delivered" })
	}
	states = n.studies()
	n.stop(os.Interrupt)
	checkKept(t, known, n.state)
	h.mu.Lock()
	defer h.mu.Unlock()
	for uid := range known.studies {
		if len(h.srs[uid]) != states[uid].sent() {
			t.Errorf("study %s at revision %d has the narratives %v", uid, states[uid].Revision, h.srs[uid])
		}
	}
	t.Logf("%d kills, %d studies, %d of them dead letters before the resend; the destination: %v", kills, len(states), dead, h.events)
}
