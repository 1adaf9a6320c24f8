package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"llamaxr/daemon"
	"llamaxr/ingest/dicomfile"
	"llamaxr/internal/peertest"
	"llamaxr/queue"
)

// committer is a pynetdicom user of storage commitment.
type committer struct {
	t   testing.TB
	in  io.WriteCloser
	out *bufio.Scanner
}

// ask is one request, outcome what pynetdicom heard.
type ask struct {
	Transaction string      `json:"transaction,omitempty"`
	Objects     [][2]string `json:"objects"`
	Action      int         `json:"action,omitempty"`
	Instance    string      `json:"instance,omitempty"`
	Quiet       bool        `json:"quiet,omitempty"` // do not wait for the result
	Await       bool        `json:"await,omitempty"` // wait for a result, ask nothing
}

type outcome struct {
	Status      int
	Transaction string
	Event       int
	Committed   []string
	Failed      map[string]int
}

// startPython starts a script that is talked to line by line; the caller ends it.
func startPython(t testing.TB, args ...string) (cmd *exec.Cmd, in io.WriteCloser, lines *bufio.Scanner) {
	t.Helper()
	cmd = exec.Command(peertest.Python(t), args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, in, bufio.NewScanner(out)
}

func startCommitter(t testing.TB, port, calling, listen string, options ...string) *committer {
	t.Helper()
	cmd, in, lines := startPython(t, append([]string{"testdata/commit.py", port, calling, listen}, options...)...)
	c := &committer{t, in, lines}
	t.Cleanup(func() { c.end(); _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return c
}

func (c *committer) end() { _ = c.in.Close() }

func (c *committer) ask(a ask) (o outcome) {
	c.t.Helper()
	line, err := json.Marshal(a)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.in.Write(append(line, '\n')); err != nil {
		c.t.Fatal(err)
	}
	if !c.out.Scan() {
		c.t.Fatalf("pynetdicom ended: %v", c.out.Err())
	}
	if err := json.Unmarshal(c.out.Bytes(), &o); err != nil {
		c.t.Fatalf("%s: %v", c.out.Text(), err)
	}
	return o
}

// reference is a file's class and instance.
func reference(t testing.TB, path string) [2]string {
	t.Helper()
	h, err := dicomfile.ReadHeader(path)
	if err != nil {
		t.Fatal(err)
	}
	return [2]string{h.SOPClassUID, h.SOPInstanceUID}
}

const unknownInstance = "1.2.826.0.1.3680043.8.498.1"

// TestStorageCommitmentIsTruthful: pynetdicom asks whether the appliance keeps what it was sent. Success of N-ACTION is a promise of a result
// that survives a kill; the result says of each object what is so.
func TestStorageCommitmentIsTruthful(t *testing.T) {
	results := freePort(t)
	n := startNode(t, "--config", configured(t, "retention: {keep_days: 30}\npeers:\n- {ae_title: MODALITY, results_to: '127.0.0.1:"+results+"'}\n- {addresses: [127.0.0.0/8]}\n"))
	root := peertest.SharedData(t, "dicom")
	files := []string{
		filepath.Join(root, "transfer_syntaxes", "ct_image.dcm"), filepath.Join(root, "sr", "test-SR.dcm"), filepath.Join(root, "odd", "waveform_ecg.dcm"),
	}
	n.taken(files...)
	n.settle(len(files))
	ct, document, ecg := reference(t, files[0]), reference(t, files[1]), reference(t, files[2])
	check := func(what string, got outcome, event int, committed []string, failed map[string]int) {
		t.Helper()
		slices.Sort(committed)
		slices.Sort(got.Committed)
		if got.Status != 0 || got.Event != event || !slices.Equal(got.Committed, committed) || !maps.Equal(got.Failed, failed) {
			t.Errorf("%s: %+v, want event %d, committed %v, failed %v", what, got, event, committed, failed)
		}
	}
	modality := startCommitter(t, n.port, "MODALITY", results)
	both := ask{Transaction: "2.25.1", Objects: [][2]string{ct, document}}
	check("two that are here", modality.ask(both), 1, []string{ct[1], document[1]}, nil)
	check("the same request again", modality.ask(both), 1, []string{ct[1], document[1]}, nil)
	check("another request of the same Transaction UID", modality.ask(ask{Transaction: "2.25.1", Objects: [][2]string{ct}}), 2, nil, map[string]int{ct[1]: 0x0131})
	check("one that never came, one of another class", modality.ask(ask{Transaction: "2.25.2", Objects: [][2]string{
		{ct[0], unknownInstance}, {ct[0], document[1]}, ecg,
	}}), 2, []string{ecg[1]}, map[string]int{unknownInstance: 0x0112, document[1]: 0x0119})
	for what, bad := range map[string]struct {
		ask
		status int
	}{
		"no Transaction UID": {ask{Objects: [][2]string{ct}}, 0x0115},
		"no objects":         {ask{Transaction: "2.25.3"}, 0x0115},
		"another action":     {ask{Transaction: "2.25.3", Objects: [][2]string{ct}, Action: 2}, 0x0123},
		"another instance":   {ask{Transaction: "2.25.3", Objects: [][2]string{ct}, Instance: "1.2.3"}, 0x0112},
	} {
		if got := modality.ask(bad.ask); got.Status != bad.status {
			t.Errorf("%s: %+v, want status %#04x", what, got, bad.status)
		}
	}

	// A bit that the disk changed.
	report, err := daemon.StudyOf(n.state, studyUID(t, files[2]))
	if err != nil || len(report.Objects) != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	if until := report.Objects[0].PromisedUntil; until.Before(time.Now().AddDate(0, 0, 29)) || until.After(time.Now().AddDate(0, 0, 31)) {
		t.Errorf("committed to for 30 days, kept until %s", until)
	}
	path := filepath.Join(n.state, report.Objects[0].Path)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-9] ^= 4
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	check("a damaged file", modality.ask(ask{Transaction: "2.25.4", Objects: [][2]string{ecg, ct}}), 2, []string{ct[1]}, map[string]int{ecg[1]: 0x0110})

	t.Run("an address that nobody knows: on the same association", func(t *testing.T) {
		stranger := startCommitter(t, n.port, "STRANGER", "0")
		check("the stranger", stranger.ask(ask{Transaction: "2.25.5", Objects: [][2]string{ct}}), 1, []string{ct[1]}, nil)
		if got := stranger.ask(ask{Transaction: "2.25.6", Objects: [][2]string{ct}, Quiet: true}); got.Status != 0 {
			t.Errorf("%+v", got)
		}
		dead := n.deadLetter("promise/2.25.6")
		if !strings.Contains(dead.LastError, "STRANGER") || !strings.Contains(dead.LastError, "results_to") {
			t.Errorf("a result that has nowhere to go: %+v", dead)
		}
	})
	t.Run("a kill between success and result, the modality away", func(t *testing.T) {
		modality.end()
		for modality.out.Scan() {
			t.Errorf("unexpected: %s", modality.out.Text())
		}
		if _, err := os.Stat(path); err == nil {
			t.Error("the damaged file is still in its place")
		}
		away := startCommitter(t, n.port, "MODALITY", freePort(t))
		if got := away.ask(ask{Transaction: "2.25.7", Objects: [][2]string{ct, document}, Quiet: true}); got.Status != 0 {
			t.Fatalf("%+v", got)
		}
		away.end()
		n.stop(syscall.SIGKILL)
		n.start()
		back := startCommitter(t, n.port, "MODALITY", results)
		got := back.ask(ask{Await: true})
		check("after the kill", got, 1, []string{ct[1], document[1]}, nil)
		if got.Transaction != "2.25.7" {
			t.Errorf("transaction %s", got.Transaction)
		}
	})
}

// studyUID is a file's Study Instance UID.
func studyUID(t testing.TB, path string) string {
	t.Helper()
	h, err := dicomfile.ReadHeader(path)
	if err != nil {
		t.Fatal(err)
	}
	return h.StudyInstanceUID
}

// deadLetter waits until a job is given up.
func (n *node) deadLetter(id string) *queue.Job {
	n.t.Helper()
	deadline := time.Now().Add(draftTime)
	for {
		jobs, err := daemon.Jobs(n.state)
		if err != nil {
			n.t.Fatal(err)
		}
		for _, j := range jobs {
			if j.ID == id && j.Dead {
				return j
			}
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("job %s is not given up: %+v", id, jobs)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// archiveSaid is a line of archives.py.
type archiveSaid struct {
	Archive  string
	Stored   string
	Objects  []string
	Reported *int
}

// startArchives runs archives.py; modes are names of archives. It returns their ports and what they say, as it comes.
func startArchives(t testing.TB, appliance string, modes []string, options ...string) (ports map[string]string, said func() []archiveSaid) {
	t.Helper()
	ports = map[string]string{}
	args := append([]string{"testdata/archives.py", appliance}, options...)
	for _, mode := range modes {
		ports[mode] = freePort(t)
		args = append(args, mode+"="+ports[mode])
	}
	return ports, startTelling[archiveSaid](t, args...)
}

// startTelling starts a script that prints a line when it is ready, and then one of JSON for everything that happens; it returns what was
// printed so far.
func startTelling[T any](t testing.TB, args ...string) (said func() []T) {
	t.Helper()
	cmd, in, lines := startPython(t, args...)
	if !lines.Scan() {
		t.Fatal("pynetdicom does not start")
	}
	var mu sync.Mutex
	var all []T
	var wg sync.WaitGroup
	wg.Go(func() {
		for lines.Scan() {
			var s T
			if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
				t.Errorf("%s: %v", lines.Text(), err)
			}
			mu.Lock()
			all = append(all, s)
			mu.Unlock()
		}
	})
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Process.Kill(); wg.Wait(); _ = cmd.Wait() })
	return func() []T { mu.Lock(); defer mu.Unlock(); return slices.Clone(all) }
}

// TestOurDraftsAreCommittedTo: each archive is asked to commit to the four documents that it was sent. One that fails an object is sent it
// again, one that says nothing is asked again, one that never answers, or does not offer it, is a dead letter with the reason.
func TestOurDraftsAreCommittedTo(t *testing.T) {
	appliance := freePort(t)
	ports, said := startArchives(t, appliance, []string{"COMMITS", "SAME", "FAILS", "SILENT", "NEVER"})
	ports["PACS"], _ = startStorescp(t)
	text := "limits: {attempts: 2}\nstorage_commitment: {answer_time: 4s}\ndestinations:\n"
	for name, port := range ports {
		text += fmt.Sprintf("- {ae_title: %s, address: '127.0.0.1:%s', storage_commitment: true}\n", name, port)
	}
	n := startNode(t, "--config", configured(t, text))
	n.stop(os.Interrupt)
	n.port = appliance
	n.start()
	uid, frontal, lateral := phantomStudy(t, 9401)
	n.taken(frontal, lateral)
	id := func(name string) string {
		return fmt.Sprintf("commit/%s/1/0/%s@127.0.0.1:%s", uid, name, ports[name])
	}
	if dead := n.deadLetter(id("NEVER")); !strings.Contains(dead.LastError, "did not answer 2 requests") {
		t.Errorf("the archive that never answers: %q", dead.LastError)
	}
	if dead := n.deadLetter(id("PACS")); !strings.Contains(dead.LastError, "does not offer storage commitment") || dead.Attempts != 1 {
		t.Errorf("the archive without storage commitment: %q after %d attempts", dead.LastError, dead.Attempts)
	}
	report := n.awaitReport(uid, "the others committed", func(r *daemon.StudyReport) bool { return len(r.Jobs) == 2 })
	if report.State != queue.Failed || len(report.Draft.Documents) != 4 {
		t.Errorf("the study is %s with %d documents", report.State, len(report.Draft.Documents))
	}
	for name, port := range ports {
		d := report.Deliveries[name+"@127.0.0.1:"+port]
		if d == nil || d.Commitment == nil || d.Commitment.Committed.IsZero() != (name == "NEVER" || name == "PACS") {
			t.Errorf("%s: %+v", name, d)
		}
	}
	requests, stored, reported := map[string][][]string{}, map[string]int{}, map[string]int{}
	for _, s := range said() {
		switch {
		case s.Objects != nil:
			requests[s.Archive] = append(requests[s.Archive], s.Objects)
		case s.Stored != "":
			stored[s.Archive]++
		case s.Reported != nil && *s.Reported == 0:
			reported[s.Archive]++
		}
	}
	var want []string
	for _, d := range report.Draft.Documents {
		want = append(want, d.SOPInstanceUID)
	}
	for name, count := range map[string]int{"COMMITS": 1, "SAME": 1, "FAILS": 2, "SILENT": 2, "NEVER": 2} {
		got := requests[name]
		if len(got) != count || !slices.Equal(got[0], want) {
			t.Errorf("%s was asked for %v, want %d requests that begin with %v", name, got, count, want)
		}
	}
	if again := requests["FAILS"]; len(again) == 2 && !slices.Equal(again[1], want[:1]) || stored["FAILS"] != 5 {
		t.Errorf("FAILS was asked again for %v, and was sent %d objects", again, stored["FAILS"])
	}
	if !maps.Equal(reported, map[string]int{"COMMITS": 1, "SAME": 1, "FAILS": 2, "SILENT": 1}) {
		t.Errorf("reports that the appliance took: %v", reported)
	}
	shown, err := exec.Command(program, "show", uid, "--state", n.state).Output()
	for _, want := range []string{", committed at ", "not committed: daemon: NEVER did not answer 2 requests", "revision 1 committed by COMMITS@"} {
		if err != nil || !strings.Contains(string(shown), want) {
			t.Errorf("llamaxr show says no %q: %v\n%s", want, err, shown)
		}
	}
}

// TestStorageCommitmentByTLS: with pynetdicom and mutual TLS, in both roles. An archive commits to our documents on an association of its own, and
// on that of the request; a modality is told of its images where the peer's entry says. Where the certificate is another's, nothing is told.
func TestStorageCommitmentByTLS(t *testing.T) {
	authority, other := peertest.NewAuthority(t), peertest.NewAuthority(t)
	node := func(name string) (certificate, key string) {
		certificate, key, _ = authority.Node(name, 2048, 100*24*time.Hour)
		return certificate, key
	}
	option := func(name string) string {
		certificate, key := node(name)
		return "--tls=" + certificate + "," + key + "," + authority.File
	}
	own, ownKey := node("llamaxr")
	modality := option("modality")
	results, n := freePort(t), unstarted(t)
	ports, said := startArchives(t, n.port, []string{"COMMITS", "SAME"}, option("archive"))
	n.args = []string{"--config", configured(t, fmt.Sprintf(`
tls: {certificate: %[1]q, key: %[2]q, client_ca: %[3]q}
limits: {attempts: 1}
peers:
- {ae_title: MODALITY, certificates: [modality], results_to: '127.0.0.1:%[4]s', tls: {on: true, ca: %[3]q}}
- {ae_title: MISLED, certificates: [modality], results_to: '127.0.0.1:%[4]s', tls: {on: true, ca: %[5]q}}
- {ae_title: COMMITS, certificates: [archive]}
destinations:
- {ae_title: COMMITS, address: '127.0.0.1:%[6]s', storage_commitment: true, tls: {on: true, ca: %[3]q}}
- {ae_title: SAME, address: '127.0.0.1:%[7]s', storage_commitment: true, tls: {on: true, ca: %[3]q}}
`, own, ownKey, authority.File, results, other.File, ports["COMMITS"], ports["SAME"]))}
	n.start()

	uid, frontal, lateral := phantomStudy(t, 9403)
	certificate, key, ca := tlsFiles(modality)
	send := []string{"send", frontal, lateral, "--calling", "MODALITY", "--to", "LLAMAXR@127.0.0.1:" + n.port, "--tls", "--tls-certificate", certificate, "--tls-key", key, "--tls-ca", ca}
	if out, err := exec.Command(program, send...).CombinedOutput(); err != nil {
		t.Fatalf("llamaxr send: %v\n%s", err, out)
	}
	report := n.await(uid, "drafted and committed", stands(queue.Delivered, 1))
	for name, port := range ports {
		if d := report.Deliveries[name+"@127.0.0.1:"+port]; d == nil || d.Commitment == nil || d.Commitment.Committed.IsZero() {
			t.Errorf("%s and our documents: %+v", name, d)
		}
	}
	taken := map[string]int{}
	for _, s := range said() {
		if s.Reported != nil && *s.Reported == 0 {
			taken[s.Archive]++
		}
	}
	if !maps.Equal(taken, map[string]int{"COMMITS": 1, "SAME": 1}) {
		t.Errorf("reports that the appliance took: %v", taken)
	}

	f := reference(t, frontal)
	asked := startCommitter(t, n.port, "MODALITY", results, modality)
	got := asked.ask(ask{Transaction: "2.25.1", Objects: [][2]string{f, {f[0], unknownInstance}}})
	if got.Status != 0 || got.Event != 2 || !slices.Equal(got.Committed, []string{f[1]}) || !maps.Equal(got.Failed, map[string]int{unknownInstance: 0x0112}) {
		t.Errorf("the modality heard %+v", got)
	}
	misled := startCommitter(t, n.port, "MISLED", "0", modality)
	if got := misled.ask(ask{Transaction: "2.25.2", Objects: [][2]string{f}, Quiet: true}); got.Status != 0 {
		t.Errorf("%+v", got)
	}
	if dead := n.deadLetter("promise/2.25.2"); !strings.Contains(dead.LastError, "certificate") {
		t.Errorf("a result to somebody with another's certificate: %q", dead.LastError)
	}
}

// tlsFiles are those of an option for secured.py.
func tlsFiles(option string) (certificate, key, ca string) {
	files := strings.Split(strings.TrimPrefix(option, "--tls="), ",")
	return files[0], files[1], files[2]
}

// awaitReport waits until a study is as wanted.
func (n *node) awaitReport(uid, what string, is func(*daemon.StudyReport) bool) *daemon.StudyReport {
	n.t.Helper()
	deadline := time.Now().Add(draftTime)
	for {
		report, err := daemon.StudyOf(n.state, uid)
		if err == nil && is(report) {
			return report
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("%s: study %s is %+v (%v)", what, uid, report, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// TestStorageCommitmentWithOrthanc: Orthanc commits to our draft, and asks us to commit to the images that it sent.
func TestStorageCommitmentWithOrthanc(t *testing.T) {
	archive := startOrthanc(t)
	n := startNode(t, "--config", configured(t, "destinations:\n- {ae_title: ORTHANC, address: '127.0.0.1:"+archive.port+"', storage_commitment: true}\n"))
	archive.know(t, n)
	uid, frontal, lateral := phantomStudy(t, 9402)
	n.taken(frontal, lateral)
	report := n.await(uid, "drafted and committed", stands(queue.Delivered, 1))
	if d := report.Deliveries["ORTHANC@127.0.0.1:"+archive.port]; d == nil || d.Commitment == nil || d.Commitment.Committed.IsZero() {
		t.Errorf("Orthanc and our draft: %+v", d)
	}
	var started struct{ ID, Path string }
	f, l := reference(t, frontal), reference(t, lateral)
	archive.post(t, "/modalities/llamaxr/storage-commitment", map[string]any{"DicomInstances": [][2]string{f, l, {f[0], unknownInstance}}}, &started)
	var got struct {
		Status   string
		Success  []struct{ SOPInstanceUID string }
		Failures []struct {
			SOPInstanceUID string
			FailureReason  int
		}
	}
	for deadline := time.Now().Add(startTime); ; time.Sleep(50 * time.Millisecond) {
		archive.get(t, started.Path, &got)
		if got.Status != "Pending" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("Orthanc waits for the result:\n%s", tail(n.log.String(), 20))
		}
	}
	if got.Status != "Failure" || len(got.Success) != 2 || len(got.Failures) != 1 || got.Failures[0].SOPInstanceUID != unknownInstance ||
		got.Failures[0].FailureReason != 0x0112 {
		t.Errorf("Orthanc heard %+v", got)
	}
	report = n.await(uid, "kept", stands(queue.Delivered, 1))
	for _, o := range report.Objects {
		if !o.PromisedUntil.Equal(queue.Forever) {
			t.Errorf("object %s, which nothing removes, is kept until %s", o.Header.SOPInstanceUID, o.PromisedUntil)
		}
	}
}

// know tells the archive of an appliance.
func (o orthanc) know(t testing.TB, n *node) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://127.0.0.1:"+o.http+"/modalities/llamaxr",
		strings.NewReader(`{"AET": "LLAMAXR", "Host": "127.0.0.1", "Port": `+n.port+`}`))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("telling Orthanc of the appliance: %v %v", response, err)
	}
	response.Body.Close()
}

// post sends JSON and reads the answer.
func (o orthanc) post(t testing.TB, path string, body, into any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Post("http://127.0.0.1:"+o.http+path, "application/json", strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("Orthanc %s: %v %v", path, response.Status, err)
	}
}
