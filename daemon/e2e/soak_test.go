package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"llamaxr/daemon"
	"llamaxr/daemon/config"
	"llamaxr/dicomnet"
	"llamaxr/ingest/phantom"
	"llamaxr/internal/peertest"
)

// Load of the soak.
const (
	modalities = 20
	// admitted is how many of them the first configuration knows; the reload lets the others in.
	admitted  = 10
	shortSoak = 40 // studies
	longSoak  = 2000
	// fewest are what tells growth of memory from a start.
	fewest = 500
	// mostWaiting jobs, and the modalities wait: less than a minute of drafting, so that the load is steady.
	mostWaiting = 60
	sampling    = time.Second
	// soakPatience is how long nothing may be taken, or one study not, before the test gives up.
	soakPatience = 15 * time.Minute
	// stopTime is TimeoutStopSec of the unit file.
	stopTime = time.Minute
)

// What the appliance's process may take, in KiB: resident memory at any time, mapped files included; anonymous memory that Go did not ask for, which
// is that of C's malloc, in which XLA lives; and how far the median of either kind of anonymous memory over the last fifth of the studies may lie
// above that over the second fifth of them, in the last life, which has no restart in it: 40 KiB a study would be found.
const (
	mostResident   = 512 << 10
	mostOutside    = 224 << 10
	growthOfMemory = 32 << 10
	growthOfFiles  = 8 // and threads
)

// soak is a site's months in a hurry: modalities that push studies by TLS, and an administrator at work on the appliance.
type soak struct {
	t         *testing.T
	n         *node
	client    dicomnet.Client
	authority *peertest.Authority
	received  string // the receiver's folder
	outbox    string // the modalities' files
	config    string
	settings  func(modalities int) string
	backups   string
	open      chan struct{} // closed when all modalities are admitted

	total, begun, waiting, process atomic.Int64

	mu       sync.Mutex
	known    *acknowledged
	life     int // of the state: a lost one ends it
	taken    []pushed
	again    [modalities][]uint64 // seeds to be sent once more
	repeated map[string]bool      // studies that the lost state had taken too
	kept     int                  // how many were taken before the last backup began
	samples  []sample
}

type pushed struct {
	modality int
	seed     uint64
}

// sample is what the process takes after so many studies.
type sample struct {
	taken   int
	process int64
	usage
	outside int // KiB of anonymous memory that Go did not ask for
}

// TestSoak: 2,000 studies of twenty modalities by TLS, while the appliance is killed, restarted, given a new certificate and a new
// configuration and backed up, and loses its state and goes on from the backup. Nothing is lost: each acknowledged instance is held byte for
// byte, each study is one narrative a revision at the receiver; and memory, files and threads do not grow.
func TestSoak(t *testing.T) {
	s := startSoak(t)
	done := make(chan struct{})
	var sampler, senders sync.WaitGroup
	sampler.Go(func() { s.sample(done) })
	for m := range modalities {
		senders.Go(func() { s.push(m) })
	}
	t.Cleanup(senders.Wait)
	began := time.Now()
	for _, step := range []struct {
		after float64 // share of the studies
		what  string
		act   func()
	}{
		{0.05, "kill -9", s.kill},
		{0.10, "SIGTERM", s.restart},
		{0.15, "backup", s.backup},
		{0.20, "kill -9, the state is lost, restored from the backup", s.restore},
		{0.25, "SIGTERM", s.restart},
		{0.30, "kill -9", s.kill},
		{0.45, "another certificate", s.renew},
		{0.55, "SIGHUP: ten more modalities", s.admit},
		{0.70, "backup", s.backup},
	} {
		s.await(step.after)
		at, taken := time.Now(), s.count()
		step.act()
		t.Logf("%s: %d studies taken: %s, in %s", at.Sub(began).Round(time.Second), taken, step.what, time.Since(at).Round(100*time.Millisecond))
	}
	senders.Wait()
	s.await(1)
	states := s.n.settle(int(s.total.Load()))
	close(done)
	sampler.Wait()
	t.Logf("%s: %d studies delivered", time.Since(began).Round(time.Second), len(states))
	s.checkMemory()
	s.checkDelivered(states)
	s.n.stop(os.Interrupt)
	checkKept(t, s.known, s.n.state)
	if report, status := fsck(t, s.n.state); status != 0 {
		t.Errorf("fsck: exit status %d, %+v", status, report.Findings)
	}
	if out, err := exec.Command(program, "audit", "verify", "--state", s.n.state).CombinedOutput(); err != nil {
		t.Errorf("audit verify: %v\n%s", err, out)
	}
	if err := os.RemoveAll(s.n.state); err != nil { // the disk need not hold both
		t.Fatal(err)
	}
	s.checkBackup()
}

func startSoak(t *testing.T) *soak {
	port, folder := startStorescp(t)
	authority := peertest.NewAuthority(t)
	certificate, key, _ := authority.Node("llamaxr", 2048, 100*24*time.Hour)
	s := &soak{
		t: t, authority: authority, received: folder, outbox: t.TempDir(), config: filepath.Join(t.TempDir(), "llamaxr.yaml"), backups: t.TempDir(),
		client: dicomnet.Client{CalledAETitle: "LLAMAXR", TLS: config.ClientTLS{On: true, CA: authority.File}.Credentials(config.TLS{})},
		open:   make(chan struct{}), known: &acknowledged{digests: map[string]string{}, studies: map[string]bool{}}, repeated: map[string]bool{},
	}
	s.total.Store(shortSoak)
	if os.Getenv("LLAMAXR_TORTURE") != "" {
		s.total.Store(longSoak)
	}
	if text := os.Getenv("LLAMAXR_SOAK"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < shortSoak {
			t.Fatalf("LLAMAXR_SOAK=%s: want a number of studies, %d or more", text, shortSoak)
		}
		s.total.Store(int64(n))
	}
	s.settings = func(modalities int) string {
		text := fmt.Sprintf("tls: {certificate: %q, key: %q}\ndestinations:\n- {ae_title: PACS, address: '127.0.0.1:%s'}\npeers:\n", certificate, key, port)
		for m := range modalities {
			text += fmt.Sprintf("- {ae_title: %s, associations: 2}\n", modalityTitle(m))
		}
		return text
	}
	if err := os.WriteFile(s.config, []byte(s.settings(admitted)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.n = startNode(t, "--config", s.config)
	s.process.Store(int64(s.n.cmd.Process.Pid))
	return s
}

func modalityTitle(m int) string { return fmt.Sprintf("CR%02d", m+1) }

// push is one modality: one study after the other, each sent until all of it was taken.
func (s *soak) push(m int) {
	if m >= admitted {
		if _, err := s.send(m, s.study(m, uint64(m))); err == nil {
			s.t.Errorf("%s is taken before it is admitted", modalityTitle(m))
		}
		select {
		case <-s.open:
		case <-s.t.Context().Done():
			return
		}
	}
	for seed := uint64(100_000 * (m + 1)); ; {
		s.mu.Lock()
		if again := s.again[m]; len(again) > 0 {
			s.again[m] = again[1:]
			s.mu.Unlock()
			s.deliver(m, again[0])
			continue
		}
		all := int64(len(s.taken)) == s.total.Load()
		s.mu.Unlock()
		switch {
		case all || s.t.Failed():
			return
		case s.begun.Load() >= s.total.Load() || s.waiting.Load() > mostWaiting:
			time.Sleep(100 * time.Millisecond)
		case s.begun.Add(1) <= s.total.Load():
			s.deliver(m, seed)
			seed++
		}
	}
}

// deliver sends a study again and again until all of it was acknowledged within one life of the state.
func (s *soak) deliver(m int, seed uint64) {
	files := s.study(m, seed)
	defer func() {
		for _, file := range files {
			os.Remove(file)
		}
	}()
	deadline := time.Now().Add(soakPatience)
	for {
		s.mu.Lock()
		life := s.life
		s.mu.Unlock()
		digests, err := s.send(m, files)
		s.mu.Lock()
		if err == nil && life == s.life {
			s.taken = append(s.taken, pushed{m, seed})
			for uid, digest := range digests {
				s.known.digests[uid] = digest
			}
			s.known.studies[phantom.NewRandom(seed).StudyUID()] = true
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		if time.Now().After(deadline) {
			s.t.Errorf("study %d of %s is not taken: %v", seed, modalityTitle(m), err)
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// study writes the two views of a study as this modality's vendor does.
func (s *soak) study(m int, seed uint64) []string {
	habit := phantom.Habits()[m%len(phantom.Habits())]
	habit.Size = 512
	files, err := phantom.NewRandom(seed).WriteDICOM(s.outbox, habit)
	if err != nil {
		s.t.Error(err)
	}
	return files
}

// send sends a study on one association; it returns the digests of its data sets by SOP Instance UID.
func (s *soak) send(m int, files []string) (map[string]string, error) {
	client := s.client
	client.CallingAETitle = modalityTitle(m)
	err := daemon.Send(s.t.Context(), client, "127.0.0.1:"+s.n.port, files, nil)
	digests := map[string]string{}
	for _, file := range files {
		uid, digest, unreadable := dataSet(file)
		digests[uid] = digest
		err = errors.Join(err, unreadable)
	}
	return digests, err
}

func (s *soak) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.taken)
}

// await waits until this share of the studies was taken.
func (s *soak) await(share float64) {
	want := int(share * float64(s.total.Load()))
	last, deadline := -1, time.Time{}
	for {
		have := s.count()
		if have >= want {
			return
		}
		if have != last {
			last, deadline = have, time.Now().Add(soakPatience)
		}
		if s.t.Failed() || time.Now().After(deadline) {
			s.t.Fatalf("%d studies are taken, and then no more", have)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *soak) start() {
	s.n.start()
	s.process.Store(int64(s.n.cmd.Process.Pid))
}

func (s *soak) kill() {
	s.n.stop(syscall.SIGKILL)
	s.start()
}

func (s *soak) restart() {
	began := time.Now()
	s.n.stop(syscall.SIGTERM)
	if took := time.Since(began); took > stopTime {
		s.t.Errorf("stopping took %s with %d jobs waiting, systemd waits %s", took.Round(time.Second), s.waiting.Load(), stopTime)
	}
	s.start()
}

// backup makes one while studies arrive.
func (s *soak) backup() {
	old, _ := filepath.Glob(filepath.Join(s.backups, "*"))
	s.mu.Lock()
	s.kept = len(s.taken)
	s.mu.Unlock()
	s.do("backup", "--state", s.n.state, "--to", s.backups)
	for _, file := range old {
		if err := os.Remove(file); err != nil {
			s.t.Error(err)
		}
	}
}

func (s *soak) do(args ...string) {
	s.t.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		s.t.Fatalf("llamaxr %v: %v\n%s", args, err, out)
	}
}

// restore loses the state, goes on from the backup, and has the modalities send what came since, as an administrator would.
func (s *soak) restore() {
	s.n.stop(syscall.SIGKILL)
	if err := os.RemoveAll(s.n.state); err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.life++
	for _, p := range s.taken[s.kept:] {
		s.again[p.modality] = append(s.again[p.modality], p.seed)
		s.repeated[phantom.NewRandom(p.seed).StudyUID()] = true
	}
	s.t.Logf("%d of %d studies are to be sent again", len(s.taken)-s.kept, len(s.taken))
	s.taken = s.taken[:s.kept]
	s.mu.Unlock()
	files, _ := filepath.Glob(filepath.Join(s.backups, "*"))
	s.do("restore", files[0], "--state", s.n.state)
	s.start()
}

// renew gives the appliance another certificate in the same files.
func (s *soak) renew() {
	first := s.shown()
	s.authority.Node("llamaxr", 2048, 200*24*time.Hour)
	if second := s.shown(); second == first {
		s.t.Error("the new certificate is not shown")
	}
}

// shown is the serial number of the certificate that the appliance shows.
func (s *soak) shown() string {
	certificate, key, _ := s.authority.Node("administrator", 2048, 24*time.Hour)
	return served(s.t, s.n.port, s.authority, certificate, key).String()
}

// admit lets the other modalities in.
func (s *soak) admit() {
	s.n.hangup(s.config, s.settings(modalities), "configuration read again")
	close(s.open)
}

// sample reads what the process takes, and how many jobs wait, until done.
func (s *soak) sample(done chan struct{}) {
	const progress = 50 // studies between two lines
	for told := 0; ; {
		select {
		case <-done:
			return
		case <-time.After(sampling):
		}
		if jobs, err := s.jobs(); err == nil {
			s.waiting.Store(jobs)
		}
		process := s.process.Load()
		ofGo, unknown := s.memoryOfGo()
		if u, err := usageOf(int(process)); errors.Join(err, unknown) == nil && u.resident > 0 && process == s.process.Load() {
			taken, outside := s.count(), max(0, u.memory-ofGo)
			if s.samples = append(s.samples, sample{taken, process, u, outside}); taken-told >= progress {
				told = taken
				fmt.Printf("%d studies taken, %d jobs wait; anonymous %d MiB, %d of them outside Go, resident %d MiB, %d files, %d threads\n",
					taken, s.waiting.Load(), u.memory>>10, outside>>10, u.resident>>10, u.files, u.threads)
			}
		}
	}
}

func (s *soak) jobs() (waiting int64, err error) {
	response, err := http.Get("http://127.0.0.1:" + s.n.http + "/healthz")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	var status daemon.Status
	err = json.NewDecoder(response.Body).Decode(&status)
	for _, n := range status.Jobs {
		waiting += int64(n)
	}
	return waiting, err
}

// memoryOfGo is what Go has of the system and did not give back, in KiB.
func (s *soak) memoryOfGo() (kib int, err error) {
	response, err := http.Get("http://127.0.0.1:" + s.n.http + "/metrics")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	var taken, returned float64
	for line := range strings.Lines(string(text)) {
		_, _ = fmt.Sscanf(line, "go_memstats_sys_bytes %g", &taken)
		_, _ = fmt.Sscanf(line, "go_memstats_heap_released_bytes %g", &returned)
	}
	if err == nil && taken == 0 {
		err = errors.New("the metrics do not tell Go's memory")
	}
	return int(taken-returned) >> 10, err
}

// checkMemory holds the samples against the bounds.
func (s *soak) checkMemory() {
	if peertest.Race {
		return // the detector has memory of its own
	}
	median := func(from, to float64, of func(sample) int) int {
		var values []int
		for _, x := range s.samples {
			if at := float64(x.taken) / float64(s.total.Load()); x.process == s.process.Load() && at >= from && at <= to {
				values = append(values, of(x))
			}
		}
		if len(values) == 0 {
			return 0
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	anonymous := func(x sample) int { return x.memory }
	outside := func(x sample) int { return x.outside }
	series := func(of func(sample) int) string {
		var values []string
		for tenth := 3; tenth < 10; tenth++ {
			values = append(values, fmt.Sprint(median(float64(tenth)/10, float64(tenth+1)/10, of)>>10))
		}
		return strings.Join(values, " ")
	}
	peak, files, threads, malloc := 0, 0, 0, 0
	for _, x := range s.samples {
		peak, files, threads, malloc = max(peak, x.resident), max(files, x.files), max(threads, x.threads), max(malloc, x.outside)
	}
	s.t.Logf("the last life, medians of each tenth of the studies from 30 %%: anonymous memory %s MiB, of that outside Go %s MiB", series(anonymous), series(outside))
	s.t.Logf("at most: resident %d MiB, outside Go %d MiB, files %d, threads %d", peak>>10, malloc>>10, files, threads)
	if peak > mostResident {
		s.t.Errorf("resident memory of %d KiB, at most %d are allowed", peak, mostResident)
	}
	if malloc > mostOutside {
		s.t.Errorf("anonymous memory outside Go of %d KiB, at most %d are allowed", malloc, mostOutside)
	}
	if s.total.Load() < fewest {
		return // too short to tell growth from a start
	}
	if median(0.4, 0.6, anonymous) == 0 || median(0.8, 1, anonymous) == 0 {
		s.t.Error("nothing is known of the process's memory")
	}
	for what, of := range map[string]func(sample) int{"anonymous memory": anonymous, "anonymous memory outside Go": outside} {
		if early, late := median(0.4, 0.6, of), median(0.8, 1, of); late > early+growthOfMemory {
			s.t.Errorf("%s grew from %d to %d KiB", what, early, late)
		}
	}
	for what, of := range map[string]func(sample) int{"files": func(x sample) int { return x.files }, "threads": func(x sample) int { return x.threads }} {
		if early, late := median(0.4, 0.6, of), median(0.8, 1, of); late > early+growthOfFiles {
			s.t.Errorf("%s grew from %d to %d", what, early, late)
		}
	}
}

// checkDelivered looks for the narratives at the receiver.
func (s *soak) checkDelivered(states map[string]studyState) {
	got := received(s.t, s.received)
	narratives, more := 0, 0
	if len(states) != int(s.total.Load()) || len(s.known.studies) != len(states) {
		s.t.Errorf("%d studies are known and %d were taken, of %d", len(states), len(s.known.studies), s.total.Load())
	}
	for uid, state := range states {
		n := len(got[uid][basicTextSR])
		narratives += n
		if state.State != "delivered" || !s.known.studies[uid] {
			s.t.Errorf("study %s is %s: %s", uid, state.State, state.Reason)
		}
		switch {
		case n == state.sent():
		case n > state.sent() && s.repeated[uid]:
			more++ // a revision that only the lost state knew
		default:
			s.t.Errorf("study %s at revision %d has %d narratives at the receiver", uid, state.Revision, n)
		}
	}
	s.t.Logf("%d instances of %d studies held; %d narratives, one a revision; %d studies were drafted by the lost state and again, %d of them with more revisions",
		len(s.known.digests), len(states), narratives, len(s.repeated), more)
}

// checkBackup restores the last backup beside: what was taken before it began is in it, and it is sound.
func (s *soak) checkBackup() {
	files, _ := filepath.Glob(filepath.Join(s.backups, "*"))
	state := filepath.Join(s.t.TempDir(), "beside")
	s.do("restore", files[0], "--state", state)
	for _, p := range s.taken[:s.kept] {
		uid := phantom.NewRandom(p.seed).StudyUID()
		if report, err := daemon.StudyOf(state, uid); err != nil || len(report.Objects) != 2 {
			s.t.Errorf("study %s was taken before the backup and is not in it: %v", uid, err)
		}
	}
	if report, status := fsck(s.t, state); status != 0 {
		s.t.Errorf("the restored state: exit status %d, %+v", status, report.Findings)
	}
}
