package daemon

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"llamaxr/inference"
	"llamaxr/queue"

	"github.com/prometheus/client_golang/prometheus"
)

// jobCollector collects what a scrape tells of jobs alone.
type jobCollector struct {
	*gauges
	t *testing.T
}

// Collect implements prometheus.Collector.
func (c jobCollector) Collect(out chan<- prometheus.Metric) {
	if err := (scrape{c.gauges, out}).jobs(); err != nil {
		c.t.Error(err)
	}
}

// TestBacklog: however many studies wait at once, with drafts made together by the gain that is reckoned with their mean wait is no longer than one
// after another, and shorter where more are under way than one.
func TestBacklog(t *testing.T) {
	for n := 1; n <= 100; n++ {
		waiting, now, total := n, 0.0, 0.0
		var left [inference.MostTogether]float64 // of each worker's draft
		most := 0
		for waiting > 0 || slices.Max(left[:]) > 0 {
			for i := range left {
				if left[i] == 0 && waiting >= backlog(i) {
					left[i] = 1
					waiting--
				}
			}
			busy, next := 0, 1.0
			for _, l := range left {
				if l > 0 {
					busy, next = busy+1, min(next, l)
				}
			}
			took := next * float64(busy)
			if busy > 1 {
				took /= gainTogether / 100.
			}
			now += took
			for i := range left {
				if left[i] == next {
					total += now
				}
				left[i] = max(0, left[i]-next)
			}
			most = max(most, busy)
		}
		mean, alone := total/float64(n), float64(n+1)/2
		if mean > alone+1e-9 || most > 1 && mean > alone-1e-9 {
			t.Errorf("%d studies, up to %d at once: a mean wait of %.2f drafts, one after another %.2f", n, most, mean, alone)
		}
		if want := map[int]int{1: 1, 5: 1, 6: 2, 12: 2, 13: 3, 18: 3, 19: 4, 100: 4}[n]; want != 0 && most != want {
			t.Errorf("%d studies: %d at once, want %d", n, most, want)
		}
	}
}

// TestEveryKindIsServedAndMeasured: each kind of job that is declared here has its workers, a way to be performed, and its series in the
// metrics from the start, so that no dead letter goes unseen; so has each status that an object is refused with.
func TestEveryKindIsServedAndMeasured(t *testing.T) {
	al := newAlerting(t)
	al.newMetrics("test")
	if err := al.metrics.Register(jobCollector{newGauges(al.Appliance), t}); err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	al.metrics.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	text := answer.Body.String()
	for _, status := range declared(t, filepath.Join("..", "ingest", "*.go"), `^Status[A-Z]`) {
		value, err := strconv.ParseUint(status, 0, 16)
		if want := fmt.Sprintf("llamaxr_received_objects_total{status=%q} 0", statusLabel(uint16(value))); err != nil || !strings.Contains(text, want+"\n") {
			t.Errorf("no %s in the metrics (%v)", want, err)
		}
	}
	var kinds []string
	for _, quoted := range declared(t, "*.go", `^kind[A-Z]`) {
		kind, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, kind)
	}
	for _, kind := range kinds {
		for _, series := range []string{
			`llamaxr_stage_jobs_total{result="dead",stage=%q} 0`, `llamaxr_stage_duration_seconds_count{stage=%q} 0`, `llamaxr_dead_letters{stage=%q} 0`,
		} {
			if want := fmt.Sprintf(series, kind); !strings.Contains(text, want+"\n") {
				t.Errorf("no %s in the metrics", want)
			}
		}
		err := al.db.Update(func(tx *queue.Tx) error { return tx.Enqueue(queue.Job{ID: kind, Kind: kind, Payload: []byte("[]")}) })
		if err != nil {
			t.Fatal(err)
		}
		lease, err := al.db.Lease(t.Context(), leaseTime, kind)
		if err != nil {
			t.Fatal(err)
		}
		if err := al.perform(t.Context(), lease); err != nil && strings.Contains(err.Error(), "unknown kind") {
			t.Error(err)
		}
	}
	served := allKinds()
	slices.Sort(served)
	slices.Sort(kinds)
	if !slices.Equal(served, kinds) || len(kinds) < 20 {
		t.Errorf("workers serve %q, declared are %q", served, kinds)
	}
}

// declared reads the values of the literals that names stand for out of the sources.
func declared(t *testing.T, sources, names string) (values []string) {
	t.Helper()
	files, err := filepath.Glob(sources)
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(names)
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			for i, id := range spec.Names {
				if name.MatchString(id.Name) {
					values = append(values, spec.Values[i].(*ast.BasicLit).Value)
				}
			}
			return true
		})
	}
	return values
}
