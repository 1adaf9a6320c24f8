package e2e

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"llamaxr/daemon"
	"llamaxr/daemon/config"
	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/pairing"
	"llamaxr/ingest/pairing/viewnet"
	"llamaxr/ingest/phantom"
)

// firstLyingPhantom is far from every seed the view classifier was trained on.
const firstLyingPhantom = uint64(1) << 59

// TestPhantomsWithLyingHeaders: of phantom studies whose headers are empty or lie as often as real ones do, at least 99.5 % are paired
// right, both views, without a doubt left. 1,000 studies with LLAMAXR_LONG, 100 else.
func TestPhantomsWithLyingHeaders(t *testing.T) {
	studies := 100
	if os.Getenv("LLAMAXR_LONG") != "" {
		studies = 1000
	}
	views, err := viewnet.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	right, lied := 0, 0
	seeds := make(chan uint64)
	for range runtime.NumCPU() {
		wg.Go(func() {
			for seed := range seeds {
				rng := rand.New(rand.NewPCG(seed, 3))
				habit := phantom.LyingHabit(rng)
				dir := filepath.Join(t.TempDir(), strconv.FormatUint(seed, 10))
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Error(err)
					continue
				}
				paths, err := phantom.NewRandom(seed).WriteDICOM(dir, habit)
				if err != nil {
					t.Error(err)
					continue
				}
				var candidates []pairing.Candidate
				var uids []string
				for _, path := range paths {
					seen := daemon.Examine(t.Context(), views, dicomfile.Open, path)
					candidates = append(candidates, seen.Candidate())
					uids = append(uids, seen.Header.SOPInstanceUID)
				}
				os.RemoveAll(dir)
				pair := pairing.Decide(candidates, pairing.Config{MinimumAge: config.Default().MinimumAge})
				mu.Lock()
				if habit.Lies || !habit.ViewPosition {
					lied++
				}
				if pair.Frontal == uids[0] && pair.Lateral == uids[1] {
					right++
				} else {
					t.Logf("phantom %d, habit %+v: %+v", seed, habit, pair)
				}
				mu.Unlock()
			}
		})
	}
	for i := range studies {
		seeds <- firstLyingPhantom + uint64(i)
	}
	close(seeds)
	wg.Wait()
	t.Logf("%d of %d phantom studies paired right (%.2f %%); the headers of %d were empty or lied", right, studies, 100*float64(right)/float64(studies), lied)
	if float64(right) < 0.995*float64(studies) {
		t.Errorf("%d of %d paired right, want 99.5 %%", right, studies)
	}
}
