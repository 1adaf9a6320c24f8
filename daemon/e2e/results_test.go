package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"llamaxr/internal/peertest"
)

// ris is python-hl7's MLLP server.
type ris struct{ port, folder string }

// startRIS answers the first messages with the codes given, every later one with AA.
func startRIS(t testing.TB, codes ...string) ris {
	t.Helper()
	r := ris{freePort(t), t.TempDir()}
	cmd := exec.Command(peertest.Python(t), append([]string{"testdata/ris.py", r.port, r.folder}, codes...)...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return r
}

// waits returns the messages once there are n, in the order in which they came.
func (r ris) waits(t testing.TB, n int) []string {
	t.Helper()
	deadline := time.Now().Add(draftTime)
	for {
		files, _ := filepath.Glob(filepath.Join(r.folder, "*.hl7"))
		if len(files) >= n {
			return files
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d messages came, want %d: %v", len(files), n, files)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// oru is a message as hl7apy validates and python-hl7 reads it.
type oru struct {
	Control, Name, Patient, Accession, Status []string
	Observations                              [][3]any
}

func readORU(t testing.TB, files ...string) (out []oru) {
	t.Helper()
	cmd := exec.Command(peertest.Python(t), append([]string{"../../reporting/hl7/testdata/validate.py"}, files...)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("hl7apy: %v\n%s", err, errs.String())
	}
	for line := range strings.Lines(string(text)) {
		var m oru
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

// text is what an observation says.
func (m oru) text(code string) (status, text string) {
	for _, o := range m.Observations {
		if o[0] == code {
			return o[1].(string), o[2].([]any)[0].(string)
		}
	}
	return "", ""
}

// signer is a reader without a browser.
type signer struct {
	n      *node
	client *http.Client
}

func (n *node) signer(name string) *signer {
	n.t.Helper()
	jar, _ := cookiejar.New(nil)
	d := &signer{n, &http.Client{Jar: jar}}
	answer, err := d.client.PostForm("http://127.0.0.1:"+n.http+"/login", url.Values{"name": {name}, "password": {password}})
	if err != nil {
		n.t.Fatal(err)
	}
	answer.Body.Close()
	return d
}

// does posts an act on a study's reading and returns the reading's new version.
func (d *signer) does(act, uid string, version int, findings, impression string) int {
	d.n.t.Helper()
	body, _ := json.Marshal(map[string]any{"revision": 1, "findings": findings, "impression": impression})
	request, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:"+d.n.http+"/studies/"+uid+"/"+act, bytes.NewReader(body))
	if err != nil {
		d.n.t.Fatal(err)
	}
	request.Header.Set("If-Match", fmt.Sprintf(`"%d"`, version))
	answer, err := d.client.Do(request)
	if err != nil {
		d.n.t.Fatal(err)
	}
	defer answer.Body.Close()
	var reading struct{ Version int }
	if err := json.NewDecoder(answer.Body).Decode(&reading); err != nil || answer.StatusCode != http.StatusOK {
		d.n.t.Fatalf("%s: %d, %v", act, answer.StatusCode, err)
	}
	return reading.Version
}

// kept is what `llamaxr corrections list --json` prints.
type kept struct {
	Corrections []struct {
		UID      string `json:"study_instance_uid"`
		Revision int
		Final    string
		Source   string
		Masked   int
	}
	Aside []struct{ Report, Reason, Source string }
}

// learns waits until corrections from a source are kept.
func (n *node) learns(want int, source string) kept {
	n.t.Helper()
	deadline := time.Now().Add(draftTime)
	for {
		all := jsonOf[kept](n.t, "corrections", "list", "--state", n.state, "--json")
		have := 0
		for _, c := range all.Corrections {
			if c.Source == source {
				have++
			}
		}
		if have >= want {
			return all
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("corrections: %+v", all)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func writeSettings(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "llamaxr.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestResultsByHL7: a study's draft, its signed report and the correction of that reach a RIS in their order, each once, the first after a
// failure; final results of the RIS become corrections, and what fits no draft is kept aside.
func TestResultsByHL7(t *testing.T) {
	pacs, folder := startStorescp(t)
	r, in := startRIS(t, "AE"), freePort(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+pacs, "--config", writeSettings(t, "organization: Test Hospital\nhl7: {facility: Test Hospital, listen: '127.0.0.1:"+in+
		"', destinations: [{name: RIS, address: '127.0.0.1:"+r.port+"', application: RIS}]}\n"))
	n.addUser("jane", "Doe^Jane^^Dr", password, "signer")
	uid, frontal, lateral := phantomStudy(t, 4711)
	storescu(t, n.port, frontal, lateral)
	if s := n.settle(1)[uid]; s.State != "delivered" {
		t.Fatalf("the study is %+v", s)
	}
	r.waits(t, 2)
	jane := n.signer("jane")
	version := jane.does("sign", uid, 0, "The heart | is large.\nNo effusion.", "Cardiomegaly.")
	version = jane.does("reopen", uid, version, "", "")
	jane.does("sign", uid, version, "The heart is normal.", "Normal chest.")
	files := r.waits(t, 4)
	messages := readORU(t, files...)
	for i, want := range []string{"P", "P", "F", "C"} {
		m := messages[i]
		if status, _ := m.text("59776-5"); m.Status[0] != want || status != want || m.Patient[0] != "PHANTOM4711" || m.Accession[0] != "PH4711" {
			t.Errorf("message %d is %+v, want status %s", i, m, want)
		}
	}
	first, _ := os.ReadFile(files[0])
	if again, _ := os.ReadFile(files[1]); !bytes.Equal(first, again) {
		t.Error("the draft that was sent again is another message")
	}
	if _, text := messages[1].text("19005-8"); !strings.HasPrefix(text, "AI draft, not reviewed by a physician. STARTER MODELS - NOT FOR CLINICAL USE.") {
		t.Errorf("the draft's impression is %q", text)
	}
	if _, text := messages[2].text("59776-5"); !strings.HasSuffix(text, "The heart | is large.") {
		t.Errorf("the signed findings are %q", text)
	}
	n.learns(2, "reading room")
	n.takesResults(t, in, uid, files)
	n.takesDocuments(t, folder, uid)
	if again := r.waits(t, 4); len(again) != 4 {
		t.Errorf("more was sent than happened: %v", again)
	}
	if s := n.studies()[uid]; s.Revision != 1 || s.State != "delivered" {
		t.Errorf("after reports came the study is %+v", s)
	}
	if strings.Contains(n.log.String(), "Phantom^") || strings.Contains(n.log.String(), "PHANTOM4711") {
		t.Error("a patient's name or number is in the log")
	}
}

// takesResults has python-hl7 send results to the appliance: what came from us, twice what a radiologist wrote elsewhere, what fits nothing.
func (n *node) takesResults(t *testing.T, port, uid string, ours []string) {
	t.Helper()
	var files []string
	message := func(id, accession, patient, status, study, text string) {
		m := "MSH|^~\\&|RIS|H|LLAMAXR|H|20260103||ORU^R01^ORU_R01|" + id + "|P|2.5.1\rPID|1||" + patient + "^^^H||Phantom^4711\r" +
			"OBR|1||" + accession + "|X^Y^L|||||||||||||||||||||" + status + "|||||||&Winterbottom&Ada\r"
		if study != "" {
			m += "ZDS|" + study + "^RIS^Application^DICOM\r"
		}
		m += "OBX|1|FT|1&GDT^Chest||" + text + "||||||" + status + "\rOBX|2|FT|1&IMP^Chest||No disease.||||||" + status + "\r"
		path := filepath.Join(t.TempDir(), id+".hl7")
		if err := os.WriteFile(path, []byte(m), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
	}
	written := "Lungs clear as Phantom has them, PHANTOM4711, says Dr Winterbottom, 3/4/2026.\\.br\\AI draft, not reviewed by a physician."
	message("1", "PH4711", "PHANTOM4711", "F", "", written)
	message("2", "PH4711", "PHANTOM4711", "F", uid, written)
	message("3", "PH4711", "PHANTOM4711", "P", "", "Preliminary.")
	message("4", "PH4711", "OTHER", "F", "", "Another patient's.")
	message("5", "NONE", "PHANTOM4711", "C", "", "Another order's.")
	message("6", "PH4711", "PHANTOM4711", "F", "1.2.3", "Another study's.")
	files = append(ours[2:4:4], files...)
	out, err := exec.Command(peertest.Python(t), append([]string{"../../reporting/hl7/testdata/send.py", port}, files...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("python-hl7: %v\n%s", err, out)
	}
	var answers []string
	for line := range strings.Lines(string(out)) {
		part := strings.Fields(line)
		answers = append(answers, part[0]+strings.Join(part[2:], ""))
	}
	if want := []string{"AA", "AA", "AA", "AA", "AA", "AA204", "AA204", "AA204"}; !slices.Equal(answers, want) {
		t.Errorf("the RIS was answered %v, want %v", answers, want)
	}
	all := n.learns(3, "HL7") // two were signed here, and can be withdrawn by HL7 since it brought them too
	if len(all.Corrections) != 3 || len(all.Aside) != 3 {
		t.Errorf("%d corrections and %d reports aside, want 3 (two signed here, one of the RIS) and 3: %+v", len(all.Corrections), len(all.Aside), all)
	}
	of := 0
	for _, c := range all.Corrections {
		if strings.Contains(c.Final, "The heart") {
			continue
		}
		of++
		if c.UID != uid || c.Revision != 1 || !strings.HasPrefix(c.Final, "FINDINGS: Lungs clear as ") || !strings.HasSuffix(strings.TrimSpace(c.Final), "IMPRESSION: No disease.") {
			t.Errorf("the correction is %+v", c)
		}
		if regexp.MustCompile(`(?i)phantom|winterbottom|3/4/2026|4711|not reviewed`).MatchString(c.Final) {
			t.Errorf("not masked: %q", c.Final)
		}
	}
	if of != 1 {
		t.Errorf("%d corrections of the RIS, want 1", of)
	}
}

// takesDocuments stores reports here: one that was verified elsewhere, one of our own, the draft itself. Of the two that were signed here the second
// names the first as its predecessor, and that one the draft.
func (n *node) takesDocuments(t *testing.T, folder, uid string) {
	t.Helper()
	var narratives []string
	waitFor(t, "both signed reports at the PACS", func() bool { narratives = received(t, folder)[uid][basicTextSR]; return len(narratives) == 3 })
	out, err := exec.Command(peertest.Python(t), append([]string{"testdata/verified.py"}, narratives...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	signed, draft := strings.Split(strings.Split(string(out), "\n")[0], "\t")[0], ""
	for _, path := range narratives {
		if !strings.Contains(string(out), path) {
			draft = path
		}
	}
	reports := strings.Split(strings.TrimSpace(string(out)), "\n")
	one, other := strings.Split(reports[0], "\t"), strings.Split(reports[1], "\t")
	if one[6] == other[1] {
		one, other = other, one
	}
	if other[6] != one[1] || !strings.HasSuffix(draft, one[6]) || one[6] == "" {
		t.Errorf("the signed reports name %s and %s as what they replace; they are %s and %s, the draft is %s", one[6], other[6], one[1], other[1], draft)
	}
	elsewhere := filepath.Join(t.TempDir(), "verified.dcm")
	if out, err := exec.Command(peertest.Python(t), "testdata/verify.py", draft, elsewhere, "Phantom has a large heart, as Ada Winterbottom sees it.").CombinedOutput(); err != nil {
		t.Fatalf("pydicom: %v\n%s", err, out)
	}
	storescu(t, n.port, draft, signed, elsewhere, elsewhere)
	all := n.learns(1, "verified SR")
	deadline := time.Now().Add(draftTime)
	for _, want := range []string{"our signed report came back", "it is complete and unverified"} {
		for !strings.Contains(n.history(uid), want) {
			if time.Now().After(deadline) {
				t.Fatalf("no %q in the study's history:\n%s", want, n.history(uid))
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	all = n.learns(1, "verified SR")
	if len(all.Corrections) != 4 {
		t.Errorf("%d corrections, want one more: %+v", len(all.Corrections), all.Corrections)
	}
	for _, c := range all.Corrections {
		if c.Source == "verified SR" && (!strings.HasPrefix(c.Final, "FINDINGS: [name] has a large heart, as [name] [name] sees it.\nIMPRESSION: ") || strings.Contains(c.Final, "not reviewed")) {
			t.Errorf("the correction is %q", c.Final)
		}
	}
}

// history is what happened to a study.
func (n *node) history(uid string) string {
	s := jsonOf[struct {
		Events []struct{ What string }
	}](n.t, "show", uid, "--state", n.state, "--json")
	var lines []string
	for _, e := range s.Events {
		lines = append(lines, e.What)
	}
	return strings.Join(lines, "\n")
}

// TestWithdrawalByHL7: a draft whose images are rejected is deleted at the RIS, and one that the RIS never had is not spoken of.
func TestWithdrawalByHL7(t *testing.T) {
	r, quiet := startRIS(t), startRIS(t)
	n := startNode(t, "--config", writeSettings(t, "hl7: {destinations: [{name: RIS, address: '127.0.0.1:"+r.port+"'}, {name: quiet, address: '127.0.0.1:"+quiet.port+
		"', send: [withdrawn]}]}\n"))
	uid, frontal, lateral := phantomStudy(t, 4712)
	storescu(t, n.port, frontal, lateral)
	r.waits(t, 1)
	n.taken(rejectionNotes(t, rejection{"113037", []string{frontal, lateral}})...)
	messages := readORU(t, r.waits(t, 2)...)
	if status, text := messages[1].text("59776-5"); messages[1].Status[0] != "X" || status != "D" || !strings.HasPrefix(text, "AI draft withdrawn: ") {
		t.Errorf("the withdrawal of study %s is %+v", uid, messages[1])
	}
	waitFor(t, "the other RIS to be passed over", func() bool { return strings.Contains(n.history(uid), "it never had the report") })
	if files, _ := filepath.Glob(filepath.Join(quiet.folder, "*")); len(files) > 0 {
		t.Errorf("it was told %v", files)
	}
}
