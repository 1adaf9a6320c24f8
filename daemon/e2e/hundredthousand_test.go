package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"llamaxr/daemon"
	"llamaxr/dicomnet"
	"llamaxr/ingest/phantom"
	"llamaxr/queue"
	"llamaxr/study"
)

// site is a size of hospital: studies in the ledger, readers at their desks, studies that come while they look.
type site struct{ studies, readers, arrivals int }

// What a reader may wait for on loopback with 2 cores, and how much longer the test is patient: it shares the machine with others.
const (
	firstPaint = 300 * time.Millisecond
	imagesIn   = time.Second
	waitingIn  = 5 * time.Second  // after a start until those that wait are listed
	listedIn   = 10 * time.Second // and all are
	patience   = 10
	largeSide  = 2500 // of the images, in pixels
)

// TestReadersOfALargeSite: over a ledger of many studies the worklist is painted, searched, filtered and paged, readers follow the studies
// that arrive, and all open a study at once, within the times above. The long form has 100,000 studies, 20 readers and 200 arrivals.
func TestReadersOfALargeSite(t *testing.T) {
	of := site{studies: 3000, readers: 4, arrivals: 2}
	if os.Getenv("LLAMAXR_LONG") != "" {
		of = site{studies: 100_000, readers: 20, arrivals: 200}
	}
	n := &node{t: t, state: t.TempDir(), port: freePort(t), http: freePort(t), log: new(syncBuffer)}
	fillLedger(t, n.state, of.studies)
	for i := range of.readers {
		n.addUser(readerName(i), fmt.Sprintf("Doe^Jane%d^^Dr", i), password, "signer")
	}
	started := time.Now()
	n.start()
	t.Cleanup(func() {
		n.stop(os.Interrupt)
		if t.Failed() {
			t.Logf("the appliance's log ends:\n%s", tail(n.log.String(), 60))
		}
	})
	desks := []*desk{sit(t, n, readerName(0))}
	for _, list := range []struct {
		filter  string
		studies int
		in      time.Duration
	}{{"open", of.studies / readOf, waitingIn}, {"all", of.studies, listedIn}} {
		for desks[0].count(t, "/?filter="+list.filter) < list.studies {
			time.Sleep(50 * time.Millisecond)
		}
		within(t, fmt.Sprintf("%d studies are listed after the start", list.studies), list.in, []time.Duration{time.Since(started)})
	}
	for len(desks) < of.readers {
		desks = append(desks, sit(t, n, readerName(len(desks))))
	}
	within(t, "a page of the worklist", firstPaint, desks[0].times(t, "/", "/?filter=signed&page=50", "/?filter=critical", "/?filter=all&page=2"))
	within(t, "a search", firstPaint, desks[0].times(t, "/?filter=all&q=patient77+ann", "/?filter=all&q=nobody", "/?filter=all&finding=Effusion"))

	large := phantom.Habit{DX: true, BitsStored: 14, Window: true, ViewPosition: true, Orientation: true, Size: largeSide}
	uid := sends(t, n, phantom.NewRandom(900_000), large)
	desks[0].await(t, "/?filter=open&q=phantom", 1)
	painted(t, n, uid)
	followsArrivals(t, n, desks, of.arrivals)
	openAtOnce(t, desks, uid)
	sameAfterKill(t, n, desks[0])
}

// sameAfterKill: after kill -9 and a start every list has as many studies as before.
func sameAfterKill(t *testing.T, n *node, d *desk) {
	t.Helper()
	before := map[string]int{}
	for _, filter := range []string{"all", "open", "signed", "critical", "arriving", "attention"} {
		before[filter] = d.count(t, "/?filter="+filter)
	}
	n.stop(os.Kill)
	n.start()
	d = sit(t, n, readerName(0))
	d.await(t, "/?filter=all", before["all"])
	for filter, want := range before {
		if got := d.count(t, "/?filter="+filter); got != want {
			t.Errorf("after a kill the list %q has %d studies, it had %d", filter, got, want)
		}
	}
}

// readOf is of how many studies one waits to be read.
const readOf = 200

// fillLedger makes studies that were read long ago, but for one in readOf.
func fillLedger(t testing.TB, state string, n int) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(state, "objects", "00"), 0o700); err != nil { // where none is, the appliance does not start
		t.Fatal(err)
	}
	db, err := queue.Open(filepath.Join(state, "llamaxr.db"), queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	numbers := make([]int, n)
	for i := range numbers {
		numbers[i] = i
	}
	for part := range slices.Chunk(numbers, 5000) {
		err := db.Update(func(tx *queue.Tx) error {
			for _, i := range part {
				if err := putStudy(tx, i); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func putStudy(tx *queue.Tx, i int) error {
	uid, at := fmt.Sprintf("2.25.%09d", i), time.Date(2026, 1, 2, 8, 0, 0, 0, time.UTC).Add(time.Duration(i)*time.Minute)
	s := &queue.Study{UID: uid, State: queue.Delivered, Revision: 1, First: at, Last: at, Instances: []string{uid + ".1"}, Summary: &queue.DraftSummary{}}
	for range 10 {
		s.Note(at, "an event of the usual length of such an event, for the size of the record")
	}
	if i%3 == 0 {
		s.Summary.Present = append(s.Summary.Present, queue.FindingScore{Finding: study.Effusion, Score: 0.8, View: study.Lateral})
	}
	if i%7 == 0 {
		s.Summary.Present = append(s.Summary.Present, queue.FindingScore{Finding: study.Pneumothorax, Score: 0.9, View: study.Frontal})
	}
	if i%readOf != 0 {
		if err := tx.PutReading(&queue.Reading{StudyInstanceUID: uid, Revision: 1, State: queue.ReadingSigned, ByName: "Dr Jane Doe", Time: at}); err != nil {
			return err
		}
	}
	if err := tx.PutInstance(&queue.Instance{Instance: study.Instance{Header: study.Header{
		SOPInstanceUID: uid + ".1", StudyInstanceUID: uid, PatientName: fmt.Sprintf("Patient%d^Ann", i), PatientID: fmt.Sprintf("P%06d", i),
		AccessionNumber: fmt.Sprintf("A%06d", i), StudyDate: "20260102", StudyDescription: "Chest two views",
	}}}); err != nil {
		return err
	}
	return tx.PutStudy(s)
}

// sends stores a study at the appliance and returns its UID.
func sends(t testing.TB, n *node, patient *phantom.Case, habit phantom.Habit) string {
	t.Helper()
	paths, err := patient.WriteDICOM(t.TempDir(), habit)
	if err != nil {
		t.Fatal(err)
	}
	client := dicomnet.Client{CallingAETitle: "MODALITY", CalledAETitle: "LLAMAXR"}
	if err := daemon.Send(context.Background(), client, "127.0.0.1:"+n.port, paths, nil); err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		os.Remove(path)
	}
	return patient.StudyUID()
}

// desk is a reader's browser without its window: what the page's script asks for, a desk asks for.
type desk struct {
	*http.Client
	site string
	mu   sync.Mutex
	done []refresh
}

// refresh is one time that a list was brought up to date.
type refresh struct{ began, ended time.Time }

// readerName is a reader's own: the rate of requests is bounded for each.
func readerName(i int) string { return fmt.Sprintf("jane%d", i) }

func sit(t testing.TB, n *node, name string) *desk {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{Client: &http.Client{Jar: jar, Transport: &http.Transport{}}, site: "http://127.0.0.1:" + n.http}
	for { // a department that logs in at one moment from one machine is slowed down, as guessing would be
		answer, err := d.PostForm(d.site+"/login", url.Values{"name": {name}, "password": {password}})
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return d
		}
		if answer.StatusCode != http.StatusTooManyRequests {
			t.Fatalf("logging in: %s", answer.Status)
		}
		time.Sleep(time.Second)
	}
}

// get answers with a page's bytes and how long they took.
func (d *desk) get(path string) ([]byte, time.Duration, error) {
	var body bytes.Buffer
	took, err := d.fetch(path, &body)
	return body.Bytes(), took, err
}

// fetch writes what an address answers with and tells how long that took.
func (d *desk) fetch(path string, into io.Writer) (time.Duration, error) {
	began := time.Now()
	answer, err := d.Get(d.site + path)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(answer.Body, 200))
		return 0, fmt.Errorf("%s: %s: %s", path, answer.Status, said)
	}
	_, err = io.Copy(into, answer.Body)
	return time.Since(began), err
}

var matching = regexp.MustCompile(`\d+ to \d+ of (\d+)`)

// count is how many studies fit a list.
func (d *desk) count(t testing.TB, path string) int {
	t.Helper()
	body, _, err := d.get(path)
	if err != nil {
		t.Fatal(err)
	}
	if found := matching.FindSubmatch(body); found != nil {
		n, _ := strconv.Atoi(string(found[1]))
		return n
	}
	return 0
}

// await waits until a list has n studies.
func (d *desk) await(t testing.TB, path string, n int) {
	t.Helper()
	deadline := time.Now().Add(draftTime + time.Duration(n)*studyTime)
	for d.count(t, path) < n {
		if time.Now().After(deadline) {
			t.Fatalf("%s has %d studies, want %d", path, d.count(t, path), n)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// times asks for each address five times.
func (d *desk) times(t testing.TB, paths ...string) (out []time.Duration) {
	t.Helper()
	for range 5 {
		for _, path := range paths {
			_, took, err := d.get(path)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, took)
		}
	}
	return out
}

// within tells times and fails when most are far beyond what a reader may wait for.
func within(t testing.TB, what string, want time.Duration, times []time.Duration) {
	t.Helper()
	slices.Sort(times)
	median, most := times[len(times)/2], times[len(times)-1]
	t.Logf("%s: median %s, longest %s of %d; promised %s", what, median.Round(100*time.Microsecond), most.Round(100*time.Microsecond), len(times), want)
	if median > patience*want {
		t.Errorf("%s takes %s, promised %s", what, median, want)
	}
}

// painted measures in Chromium what a radiologist sees: the worklist's first paint, and a study's with its images at full depth.
func painted(t testing.TB, n *node, uid string) {
	t.Helper()
	r := startBrowser(t).visit("http://127.0.0.1:" + n.http)
	r.login(readerName(0), password, "/")
	paint := `performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0`
	ms := func(v float64) time.Duration { return time.Duration(v * float64(time.Millisecond)) }
	var lists, studies, images []time.Duration
	for range 5 {
		r.open("/")
		r.until(paint)
		lists = append(lists, ms(eval[float64](r, paint)))
		r.open("/studies/" + uid)
		r.shows(`body[data-ready]`)
		r.until(paint)
		studies = append(studies, ms(eval[float64](r, paint)))
		images = append(images, ms(eval[float64](r, `Math.max(...performance.getEntriesByType("resource").filter((e) => e.name.includes("/images/")).map((e) => e.responseEnd))`)))
	}
	within(t, "first paint of the worklist", firstPaint, lists)
	within(t, "first paint of a study", firstPaint, studies)
	within(t, "both images of 2500 x 2500 pixels", imagesIn, images)
}

// followsArrivals lets every desk follow the events while studies arrive. A desk's list is as new as the arrival in the time promised, and
// in the end has them all.
func followsArrivals(t *testing.T, n *node, desks []*desk, arrivals int) {
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i, d := range desks {
		path := []string{"/?", "/?filter=all&q=phantom&"}[i%2]
		wg.Go(func() {
			if err := d.follow(ctx, path+"partial=1"); err != nil && ctx.Err() == nil {
				t.Errorf("desk %d: %v", i, err)
			}
		})
	}
	var acknowledged []time.Time
	habits := phantom.Habits()
	for i := range arrivals {
		sends(t, n, phantom.NewRandom(910_000+uint64(i)), habits[i%len(habits)])
		acknowledged = append(acknowledged, time.Now())
	}
	for _, d := range desks {
		d.await(t, "/?filter=open&q=phantom", arrivals+1)
	}
	stop()
	wg.Wait()
	var behind []time.Duration
	count := 0
	for _, d := range desks {
		count += len(d.done)
		for _, at := range acknowledged {
			i := slices.IndexFunc(d.done, func(r refresh) bool { return r.began.After(at) })
			if i < 0 {
				t.Error("a desk was not told of an arrival")
				continue
			}
			behind = append(behind, d.done[i].ended.Sub(at))
		}
	}
	within(t, fmt.Sprintf("a list behind an arrival (%d arrivals, %d desks, %d refreshes)", arrivals, len(desks), count), time.Second, behind)
}

// follow brings a list up to date at every event, as worklist.js does, until ctx is cancelled.
func (d *desk) follow(ctx context.Context, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.site+"/events", nil)
	if err != nil {
		return err
	}
	answer, err := d.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if lines.Text() != "event: worklist" {
			continue
		}
		began := time.Now()
		if _, _, err := d.get(path); err != nil {
			return err
		}
		d.mu.Lock()
		d.done = append(d.done, refresh{began, time.Now()})
		d.mu.Unlock()
	}
	return lines.Err()
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

// openAtOnce has every desk open the same study at the same moment: its page, then both images.
func openAtOnce(t testing.TB, desks []*desk, uid string) {
	t.Helper()
	var mu sync.Mutex
	var pages, images []time.Duration
	var wg sync.WaitGroup
	for _, d := range desks {
		wg.Go(func() {
			body, took, err := d.get("/studies/" + uid)
			if err != nil {
				t.Error(err)
				return
			}
			began := time.Now()
			var both sync.WaitGroup
			for _, sop := range regexp.MustCompile(`data-sop="([^"]+)"`).FindAllStringSubmatch(string(body), -1) {
				both.Go(func() {
					// A reader's own machine keeps the picture; here only its bytes are counted.
					var size counter
					if _, err := d.fetch("/studies/"+uid+"/images/"+sop[1], &size); err != nil || size < 2*largeSide*largeSide {
						t.Errorf("%d bytes, %v", size, err)
					}
				})
			}
			both.Wait()
			mu.Lock()
			defer mu.Unlock()
			pages, images = append(pages, took), append(images, time.Since(began))
		})
	}
	wg.Wait()
	if !t.Failed() {
		within(t, fmt.Sprintf("a study's page for %d readers at once", len(desks)), firstPaint, pages)
		within(t, fmt.Sprintf("its images for %d readers at once", len(desks)), imagesIn, images)
	}
}
