package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"llamaxr/ingest/phantom"
	"llamaxr/internal/peertest"
)

// TestMutatedAssociations: real associations with bytes changed, cut, doubled and swapped leave the appliance taking studies, with the memory
// and the open files that it had. LLAMAXR_TORTURE=1 sends a million.
func TestMutatedAssociations(t *testing.T) {
	many := int64(2000)
	if os.Getenv("LLAMAXR_TORTURE") != "" {
		many = 1_000_000
	}
	var seeds [][]byte
	for _, name := range []string{"storescu-cr", "storescu-sr", "echoscu"} {
		seeds = append(seeds, peertest.Seed(t, filepath.Join("..", "..", "dicomnet", "testdata", "fuzz", "FuzzServer", name)))
	}
	n := startNode(t)
	throw := func(from, to int64) {
		var wg sync.WaitGroup
		var sent atomic.Int64
		for worker := range 8 {
			random := rand.New(rand.NewPCG(uint64(from), uint64(worker)))
			wg.Go(func() {
				for {
					k := from + sent.Add(1)
					if k > to || !peertest.Throw(t, "127.0.0.1:"+n.port, peertest.Mutate(random, seeds)) {
						return
					}
					if k%50_000 == 0 {
						fmt.Printf("%d of %d associations, %+v\n", k, many, n.usage())
					}
				}
			})
		}
		wg.Wait()
	}
	throw(0, many/10) // what it keeps for good, it has by then
	before := n.usage()
	throw(many/10, many)
	var after usage
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		if after = n.usage(); after.files <= before.files && !after.grown(before) {
			break
		}
	}
	t.Logf("%d associations: before %+v, after %+v", many, before, after)
	if after.files > before.files || after.grown(before) {
		t.Errorf("%d associations: before %+v, after %+v", many, before, after)
	}
	uid := sends(t, n, phantom.NewRandom(4711), phantom.Habits()[0])
	n.settled(map[string]string{uid: "delivered"})
}
