package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"llamaxr/daemon"
	"llamaxr/dicomnet"
	"llamaxr/dicomnet/part10"
	"llamaxr/ingest/phantom"
	"llamaxr/queue"
)

// Load of the kill test.
const (
	shortKills   = 4
	tortureKills = 200
	senders      = 3
	// longestLife is how long the appliance lives at most between two kills: from before its first association to several drafts.
	longestLife = 2500 * time.Millisecond
	// pause between two studies of a sender: drafts are made about as fast as studies come.
	pause = 2 * time.Second
)

// acknowledged are the instances whose sender heard success, with the digest of their data set.
type acknowledged struct {
	mu      sync.Mutex
	digests map[string]string // by SOP Instance UID
	studies map[string]bool
}

// TestKilledAtRandom kills the appliance with SIGKILL at random moments while several senders push studies. Every acknowledged
// instance is there afterwards, byte for byte; every study ends as exactly one narrative a revision at the receiver.
func TestKilledAtRandom(t *testing.T) {
	kills := shortKills
	if os.Getenv("LLAMAXR_TORTURE") != "" {
		kills = tortureKills
	}
	port, folder := startStorescp(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+port)
	known := &acknowledged{digests: map[string]string{}, studies: map[string]bool{}}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for s := range senders {
		dir := t.TempDir()
		wg.Go(func() {
			for seed := uint64(1000 * (s + 1)); ; seed++ {
				select {
				case <-done:
					return
				default:
					pushUntilTaken(t, known, seed, dir, n.port)
					time.Sleep(pause)
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(1, 2))
	started := time.Now()
	for k := range kills {
		time.Sleep(time.Duration(rng.Int64N(int64(longestLife))))
		n.stop(syscall.SIGKILL)
		n.start()
		if kills > shortKills && k%10 == 9 {
			known.mu.Lock()
			fmt.Printf("%d of %d kills, %d studies, %s\n", k+1, kills, len(known.studies), time.Since(started).Round(time.Second))
			known.mu.Unlock()
		}
	}
	close(done)
	wg.Wait()
	states := n.settle(len(known.studies))
	n.stop(os.Interrupt)
	checkKept(t, known, n.state)
	got := received(t, folder)
	if len(states) != len(known.studies) {
		t.Errorf("%d studies are known, %d were acknowledged", len(states), len(known.studies))
	}
	narratives := 0
	for uid, s := range states {
		if s.State != "delivered" {
			t.Errorf("study %s is %s: %s", uid, s.State, s.Reason)
		}
		if len(got[uid][basicTextSR]) != s.sent() {
			t.Errorf("study %s at revision %d has %d narratives at the receiver", uid, s.Revision, len(got[uid][basicTextSR]))
		}
		narratives += len(got[uid][basicTextSR])
	}
	t.Logf("%d kills under load: %d instances of %d studies acknowledged, all kept; %d revisions, each with one narrative at the receiver",
		kills, len(known.digests), len(states), narratives)
}

// pushUntilTaken sends one phantom study again and again until all of it was acknowledged, as a modality would.
func pushUntilTaken(t *testing.T, known *acknowledged, seed uint64, dir, port string) {
	habit := phantom.Habits()[seed%uint64(len(phantom.Habits()))]
	habit.Size = 512
	patient := phantom.NewRandom(seed)
	files, err := patient.WriteDICOM(dir, habit)
	if err != nil {
		t.Error(err)
		return
	}
	deadline := time.Now().Add(draftTime)
	for left := files; len(left) > 0; {
		if time.Now().After(deadline) {
			t.Errorf("study %s is not taken", patient.StudyUID())
			return
		}
		sent := map[string]bool{}
		_ = daemon.Send(t.Context(), dicomnet.Client{CallingAETitle: "MODALITY", CalledAETitle: "LLAMAXR"}, "127.0.0.1:"+port, left, func(path string, err error) { sent[path] = err == nil })
		var again []string
		known.mu.Lock()
		for _, path := range left {
			if !sent[path] {
				again = append(again, path)
				continue
			}
			uid, digest, err := dataSet(path)
			if err != nil {
				t.Error(err)
			}
			known.digests[uid] = digest
			known.studies[patient.StudyUID()] = true
		}
		known.mu.Unlock()
		if left = again; len(left) > 0 {
			time.Sleep(100 * time.Millisecond)
		}
	}
	for _, path := range files {
		os.Remove(path)
	}
}

// dataSet returns an object's SOP Instance UID and the digest of its data set, which is what the wire carries.
func dataSet(path string) (uid, digest string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", "", err
	}
	defer file.Close()
	meta, err := part10.Decode(file)
	if err != nil {
		return "", "", err
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		return "", "", err
	}
	sum := sha256.Sum256(whole[meta.Length:])
	return meta.SOPInstanceUID, hex.EncodeToString(sum[:]), nil
}

// checkKept reads the state as the appliance left it: the ledger's invariants hold and each acknowledged instance is there unchanged.
func checkKept(t *testing.T, known *acknowledged, state string) {
	t.Helper()
	db, err := queue.OpenReadOnly(filepath.Join(state, "llamaxr.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *queue.Tx) error {
		for uid, want := range known.digests {
			instance, err := tx.Instance(uid)
			if err != nil {
				return err
			}
			if instance == nil {
				t.Errorf("instance %s was acknowledged and is not known", uid)
				continue
			}
			if _, got, err := dataSet(filepath.Join(state, instance.Path)); err != nil || got != want {
				t.Errorf("instance %s was acknowledged and its data set is not what was sent (%v)", uid, err)
			}
		}
		return tx.Check()
	})
	if err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(state, "incoming", "*")); len(left) > 0 {
		t.Errorf("half-written objects are left: %v", left)
	}
}
