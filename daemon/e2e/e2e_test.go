// Package e2e drives the built program as a site would: real senders, real receivers, real radiographs.
package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"llamaxr/internal/peertest"
)

// Limits of the tests' patience.
const (
	startTime = peertest.Patience * 60 * time.Second
	draftTime = peertest.Patience * 5 * time.Minute
	studyTime = peertest.Patience * 6 * time.Second // more for each study that waits
)

var program string

// racePrefix begins the names of the files of races that the program's processes met, where the race detector watches.
const racePrefix = "race"

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "llamaxr-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "llamaxr")
	build := exec.Command("go", "build", "-o", program, "llamaxr/daemon/llamaxr")
	if peertest.Race {
		build.Args = slices.Insert(build.Args, 2, "-race")
		os.Setenv("GORACE", "atexit_sleep_ms=0 log_path="+filepath.Join(dir, racePrefix)) // one file a process
	}
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building the program:", err)
		os.Exit(1)
	}
	code := m.Run()
	races, _ := filepath.Glob(filepath.Join(dir, racePrefix+"*"))
	for _, race := range races {
		text, err := os.ReadFile(race)
		fmt.Fprintf(os.Stderr, "races in a process of the tests: %v\n%s\n", err, text)
		code = 1
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

func freePort(t testing.TB) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
		l.Close()
		if _, given := givenPorts.LoadOrStore(port, true); !given {
			return port
		}
	}
}

// givenPorts are those that freePort returned: what is free again may be meant for another listener of the same test.
var givenPorts sync.Map

// node is a running appliance.
type node struct {
	t          testing.TB
	state      string
	port, http string
	log        *syncBuffer
	args       []string
	cmd        *exec.Cmd
}

func startNode(t testing.TB, args ...string) *node {
	t.Helper()
	n := unstarted(t)
	n.args = args
	n.start()
	return n
}

// unstarted is a node whose addresses are known before it starts.
func unstarted(t testing.TB) *node {
	t.Helper()
	// Where the appliance lies is its administrator's: with what shells and patterns would read otherwise.
	state := filepath.Join(t.TempDir(), "state of [a] *")
	n := &node{t: t, state: state, port: freePort(t), http: freePort(t), log: new(syncBuffer)}
	t.Cleanup(func() {
		n.stop(os.Interrupt)
		if t.Failed() {
			t.Logf("the appliance's log ends:\n%s", tail(n.log.String(), 60))
		}
	})
	return n
}

func (n *node) start() {
	n.t.Helper()
	args := append([]string{
		"run", "--state", n.state, "--listen", "127.0.0.1:" + n.port, "--ae-title", "LLAMAXR", "--quiet-time", "1s",
		"--http", "127.0.0.1:" + n.http,
	}, n.args...)
	n.cmd = exec.Command(program, args...)
	n.cmd.Stdout, n.cmd.Stderr = n.log, n.log
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	deadline := time.Now().Add(startTime)
	for {
		response, err := http.Get("http://127.0.0.1:" + n.http + "/healthz")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("the appliance does not start:\n%s", n.log)
		}
		time.Sleep(30 * time.Millisecond)
	}
}

func (n *node) stop(signal os.Signal) {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Signal(signal)
	_ = n.cmd.Wait()
	n.cmd = nil
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(len(all)-lines, 0):], "\n")
}

// studyState is what the tests read of `llamaxr studies --json`.
type studyState struct {
	UID      string `json:"study_instance_uid"`
	State    string `json:"state"`
	Reason   string `json:"reason"`
	Revision int    `json:"revision"`
	Events   []struct {
		What string `json:"what"`
	} `json:"events"`
}

// sent is of how many revisions a draft left: of each, but those that a later one overtook.
func (s studyState) sent() int {
	n := s.Revision
	for _, e := range s.Events {
		if strings.HasPrefix(e.What, "no draft of revision") {
			n--
		}
	}
	return n
}

func (n *node) studies() map[string]studyState {
	n.t.Helper()
	out, err := exec.Command(program, "studies", "--state", n.state, "--json").Output()
	if err != nil {
		n.t.Fatalf("llamaxr studies: %v", err)
	}
	var list []studyState
	if err := json.Unmarshal(out, &list); err != nil {
		n.t.Fatal(err)
	}
	found := map[string]studyState{}
	for _, s := range list {
		found[s.UID] = s
	}
	return found
}

// settle waits until no study is on its way and returns them.
func (n *node) settle(want int) map[string]studyState {
	n.t.Helper()
	deadline := time.Now().Add(draftTime + time.Duration(want)*studyTime)
	for {
		studies := n.studies()
		settled := len(studies) >= want
		for _, s := range studies {
			if s.State != "delivered" && s.State != "refused" && s.State != "failed" {
				settled = false
			}
		}
		if settled {
			return studies
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("%d studies, still on their way: %+v", len(studies), studies)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// startStorescp runs DCMTK's receiver and returns its port and folder.
func startStorescp(t testing.TB) (port, folder string) {
	t.Helper()
	port = freePort(t)
	return port, storescp(t, port)
}

func storescp(t testing.TB, port string, options ...string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	cmd := exec.Command(peertest.Program(t, "storescp"), append(options, "-aet", "PACS", "-od", folder, port)...)
	cmd.Env = append(os.Environ(), "TCP_NODELAY=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return folder
}

func storescu(t testing.TB, port string, files ...string) {
	t.Helper()
	cmd := exec.Command(peertest.Program(t, "storescu"), append([]string{"-xf", "/etc/dcmtk/storescu.cfg", "Default", "-aec", "LLAMAXR", "127.0.0.1", port}, files...)...)
	if _, err := os.Stat("/etc/dcmtk/storescu.cfg"); err != nil {
		cmd.Args = append([]string{cmd.Args[0]}, cmd.Args[4:]...)
	}
	cmd.Env = append(os.Environ(), "TCP_NODELAY=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("storescu: %v\n%s", err, out)
	}
}

// wrapped are the shared radiographs as DX objects: study UID to files.
func wrapped(t testing.TB, studies ...string) map[string][]string {
	t.Helper()
	args := append([]string{"testdata/wrap.py", filepath.Join(peertest.SharedData(t, "chest"), "manifest.csv"), t.TempDir()}, studies...)
	out, err := exec.Command(peertest.Python(t), args...).Output()
	if err != nil {
		t.Fatalf("wrapping: %v", err)
	}
	files := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		part := strings.Split(strings.TrimSpace(line), "\t")
		files[part[3]] = append(files[part[3]], part[2])
	}
	return files
}

// received sorts a receiver's files by study and SOP class.
func received(t testing.TB, folder string) map[string]map[string][]string {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(folder, "*"))
	cmd := exec.Command(peertest.Python(t), "testdata/classes.py")
	cmd.Stdin = strings.NewReader(strings.Join(files, "\n"))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("reading what was received: %v", err)
	}
	found := map[string]map[string][]string{}
	for line := range strings.Lines(string(out)) {
		part := strings.Split(strings.TrimSpace(line), "\t")
		if found[part[0]] == nil {
			found[part[0]] = map[string][]string{}
		}
		found[part[0]][part[1]] = append(found[part[0]][part[1]], part[2])
	}
	return found
}

const (
	basicTextSR       = "1.2.840.10008.5.1.4.1.1.88.11"
	comprehensive3DSR = "1.2.840.10008.5.1.4.1.1.88.34"
	secondaryCapture  = "1.2.840.10008.5.1.4.1.1.7"
)

// TestRealRadiographs: every real study goes in by storescu and comes out at a storescp and at an Orthanc as one valid pair of SRs and
// two pictures.
func TestRealRadiographs(t *testing.T) {
	port, folder := startStorescp(t)
	archive := startOrthanc(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+port, "--destination", "ORTHANC@127.0.0.1:"+archive.port)
	studies := wrapped(t)
	drafted := 0
	for _, files := range studies {
		storescu(t, n.port, files...)
	}
	states := n.settle(len(studies))
	got, archived := received(t, folder), archive.studies(t)
	dciodvfy := peertest.Program(t, "dciodvfy")
	for uid := range studies {
		switch states[uid].State {
		case "delivered":
			drafted++
			for class, want := range map[string]int{basicTextSR: 1, comprehensive3DSR: 1, secondaryCapture: 2} {
				if len(got[uid][class]) != want {
					t.Errorf("study %s: %d objects of class %s, want %d", uid, len(got[uid][class]), class, want)
				}
				if archived[uid][class] != want {
					t.Errorf("study %s: Orthanc holds %d objects of class %s, want %d", uid, archived[uid][class], class, want)
				}
				for _, file := range got[uid][class] {
					out, _ := exec.Command(dciodvfy, file).CombinedOutput()
					if bytes.Contains(out, []byte("\nError")) || bytes.HasPrefix(out, []byte("Error")) {
						t.Errorf("%s:\n%s", filepath.Base(file), out)
					}
				}
			}
		default:
			t.Errorf("study %s is %s: %s", uid, states[uid].State, states[uid].Reason)
		}
	}
	t.Logf("%d of %d real studies drafted", drafted, len(studies))
	if strings.Contains(n.log.String(), "Wrapped^") {
		t.Error("a patient's name is in the log")
	}
}

// TestWhatIsNoChestIsKeptAndSaid: other objects are stored, get no draft, and the reason can be asked for.
func TestWhatIsNoChestIsKeptAndSaid(t *testing.T) {
	port, folder := startStorescp(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+port)
	root := peertest.SharedData(t, "dicom")
	files := []string{
		filepath.Join(root, "transfer_syntaxes", "ct_image.dcm"), filepath.Join(root, "sr", "test-SR.dcm"), filepath.Join(root, "odd", "waveform_ecg.dcm"),
	}
	for _, file := range files {
		out, err := exec.Command(program, "send", file, "--to", "LLAMAXR@127.0.0.1:"+n.port).CombinedOutput()
		if err != nil {
			t.Errorf("%s is not taken: %v\n%s", filepath.Base(file), err, out)
		}
	}
	for uid, s := range n.settle(len(files)) {
		if s.State != "refused" || s.Reason == "" {
			t.Errorf("study %s is %s with reason %q", uid, s.State, s.Reason)
		}
	}
	if left, _ := filepath.Glob(folder + "/*"); len(left) > 0 {
		t.Errorf("drafts went out for what is no chest: %v", left)
	}
}

// TestBrokenFilesDoNotStopIt sends every malformed and odd file that has a head; the appliance answers, lives and drafts a good study
// afterwards.
func TestBrokenFilesDoNotStopIt(t *testing.T) {
	port, _ := startStorescp(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+port)
	for _, name := range []string{"dicom/malformed", "dicom/odd"} {
		files, _ := filepath.Glob(filepath.Join(peertest.SharedData(t, name), "*"))
		for _, file := range files {
			out, err := exec.Command(program, "send", file, "--to", "LLAMAXR@127.0.0.1:"+n.port).CombinedOutput()
			if err != nil && len(out) == 0 {
				t.Errorf("%s: failed without a word", filepath.Base(file))
			}
		}
	}
	for uid, files := range wrapped(t, "cov089_d0") {
		storescu(t, n.port, files...)
		deadline := time.Now().Add(draftTime)
		for n.studies()[uid].State != "delivered" {
			if time.Now().After(deadline) {
				t.Fatalf("after the broken files a good study is %+v", n.studies()[uid])
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
	if strings.Contains(n.log.String(), "panic") {
		t.Error("something panicked")
	}
	if left, _ := os.ReadDir(filepath.Join(n.state, "incoming")); len(left) > 0 {
		t.Errorf("half-written objects are left: %v", left)
	}
}

// TestOneViewAndALateLateral: a frontal view alone is drafted as partial; its lateral, when it comes, makes a second revision that
// replaces the first.
func TestOneViewAndALateLateral(t *testing.T) {
	port, folder := startStorescp(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+port)
	dir := t.TempDir()
	if out, err := exec.Command(program, "phantom", "--out", dir, "--seed", "77", "--finding", "Cardiomegaly").CombinedOutput(); err != nil {
		t.Fatalf("phantom: %v\n%s", err, out)
	}
	uid := ""
	for i, name := range []string{"frontal", "lateral"} {
		files, _ := filepath.Glob(filepath.Join(dir, "*"+name+".dcm"))
		storescu(t, n.port, files...)
		deadline := time.Now().Add(draftTime)
		for {
			studies := n.studies()
			for known := range studies {
				uid = known
			}
			if s := studies[uid]; s.State == "delivered" && s.Revision == i+1 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("after the %s view: %+v", name, studies)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
	narratives := received(t, folder)[uid][basicTextSR]
	if len(narratives) != 2 {
		t.Fatalf("%d narratives, want one a revision", len(narratives))
	}
	out, err := exec.Command(peertest.Python(t), append([]string{"testdata/revisions.py"}, narratives...)...).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "1 PARTIAL lateral not received -> 2 COMPLETE replaces 1" {
		t.Errorf("%v %s", err, out)
	}
}

// TestUsage: exit status 2 is wrong usage, 1 a failure, and --json prints one document.
func TestUsage(t *testing.T) {
	for _, test := range []struct {
		args []string
		want int
	}{
		{[]string{"nonsense"}, 2},
		{[]string{"audit", "verfy", "--state", "/nonexistent"}, 2},
		{[]string{"audit", "verify"}, 2},
		{[]string{"bundle", "verify", "/nonexistent"}, 2},
		{[]string{"service"}, 0},
		{[]string{"echo"}, 2},
		{[]string{"echo", "nobody"}, 2},
		{[]string{"run", "--destination", "x"}, 2},
		{[]string{"send", "x", "--wrong"}, 2},
		{[]string{"echo", "X@127.0.0.1:1"}, 1},
		{[]string{"inspect", "/nonexistent"}, 1},
		{[]string{"studies", "--state", "/nonexistent"}, 1},
		{[]string{"version", "--json"}, 0},
		{[]string{"config", "explain"}, 0},
	} {
		cmd := exec.Command(program, test.args...)
		out, err := cmd.Output()
		if got := cmd.ProcessState.ExitCode(); got != test.want {
			t.Errorf("llamaxr %v: exit status %d, want %d (%v)", test.args, got, test.want, err)
		}
		if test.want != 0 && len(out) > 0 {
			t.Errorf("llamaxr %v: an error prints %q on standard output", test.args, out)
		}
	}
}
