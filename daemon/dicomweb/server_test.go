package dicomweb

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"io"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/suyashkumar/dicom/pkg/tag"

	"llamaxr/daemon/access"
	"llamaxr/dicomnet/dicomjson"
	"llamaxr/dicomnet/part10"
	"llamaxr/ingest"
	"llamaxr/ingest/atrest"
	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/rejection"
	"llamaxr/ingest/report"
	"llamaxr/ingest/spool"
	"llamaxr/internal/dicomwrite"
	"llamaxr/queue"
	"llamaxr/study"
)

const crClass = "1.2.840.10008.5.1.4.1.1.1"

// site is a server with a real spool and ledger beneath it.
type site struct {
	t      testing.TB
	db     *queue.DB
	server *Server
	web    *httptest.Server
	tokens map[access.Role]string
	done   []string // studies that were released
	audit  string
}

func newSite(t testing.TB, minFree int64, change func(*Server)) *site {
	t.Helper()
	s := &site{t: t, tokens: map[access.Role]string{}}
	dir := t.TempDir()
	var err error
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	s.db, err = queue.Open(filepath.Join(dir, "db"), queue.Options{})
	must(err)
	store, err := spool.Open(dir, minFree)
	must(err)
	log := slog.New(slog.DiscardHandler)
	receiver := &ingest.Receiver{
		DB: s.db, Spool: store, ReadHeader: dicomfile.ReadHeader, ReadNote: func(path string) (*study.RejectionNote, error) { return rejection.Read(dicomfile.Open, path) }, Log: log,
		Complete: func(*queue.Tx, *queue.Study) error { return nil }, Look: func(*queue.Tx, *queue.Instance) error { return nil },
		Rejected: func(*queue.Tx, *queue.Study, ingest.RejectedObjects) error { return nil },
		IsReport: report.Is, Report: func(*queue.Tx, *queue.Instance) error { return nil },
	}
	users, err := access.OpenUsers(filepath.Join(dir, "users.json"))
	must(err)
	for _, role := range []access.Role{access.Sender, access.Reader} {
		s.tokens[role], err = users.AddMachine(access.User{Name: string(role), Roles: []access.Role{role}})
		must(err)
	}
	s.audit = filepath.Join(dir, "audit.log")
	audit, err := access.OpenAuditLog(s.audit)
	must(err)
	s.server = &Server{
		Users: users, Audit: audit, Ledger: s.db, Open: func(path string) (*atrest.File, error) { return store.Open(store.Path(path)) }, Receive: receiver.Receive, Requests: 8, Idle: time.Minute, Log: log,
		Whole:    func(i *queue.Instance) error { return ingest.Verify(store, i) },
		Released: func(studies []string) { s.done = append(s.done, studies...) },
		Draw: func(context.Context, *dicomfile.File) (image.Image, error) {
			return image.NewGray(image.Rect(0, 0, 2, 2)), nil
		},
	}
	if change != nil {
		change(s.server)
	}
	s.web = httptest.NewServer(s.server.Handler())
	t.Cleanup(func() { s.web.Close(); audit.Close(); s.db.Close() })
	return s
}

// object is a small CR image as a file.
func object(t testing.TB, study, series, instance string, change func(*dicomwrite.Set)) []byte {
	t.Helper()
	set := dicomwrite.New().
		Text(tag.SOPClassUID, crClass).Text(tag.SOPInstanceUID, instance).Text(tag.StudyInstanceUID, study).Text(tag.SeriesInstanceUID, series).
		Text(tag.Modality, "CR").Text(tag.PatientName, "Doe^Jane").Text(tag.PatientID, "4711").Text(tag.StudyDate, "20260102").
		Text(tag.StudyTime, "103000").Text(tag.AccessionNumber, "A1").Text(tag.InstanceNumber, "1")
	if change != nil {
		change(set)
	}
	var buf bytes.Buffer
	if err := set.Write(&buf, "1.2.3", "TEST"); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func related(t testing.TB, objects ...[]byte) (body *bytes.Buffer, contentType string) {
	t.Helper()
	body = new(bytes.Buffer)
	w := multipart.NewWriter(body)
	for _, o := range objects {
		part, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/dicom"}})
		if err == nil {
			_, err = part.Write(o)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	return body, `multipart/related; type="application/dicom"; boundary=` + w.Boundary()
}

// ask sends a request as the machine with a role and returns status, header and body.
func (s *site) ask(role access.Role, method, path string, body io.Reader, header ...string) (int, http.Header, []byte) {
	s.t.Helper()
	q, err := http.NewRequest(method, s.web.URL+Path+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if role != "" {
		q.Header.Set("Authorization", "Bearer "+s.tokens[role])
	}
	for i := 0; i < len(header); i += 2 {
		if q.Header.Set(header[i], header[i+1]); header[i] == "Host" {
			q.Host = header[i+1]
		}
	}
	response, err := http.DefaultClient.Do(q)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, response.Header, text
}

func (s *site) store(objects ...[]byte) (int, dicomjson.Object) {
	s.t.Helper()
	body, kind := related(s.t, objects...)
	status, _, text := s.ask(access.Sender, "POST", "/studies", body, "Content-Type", kind)
	var answer dicomjson.Object
	if err := json.Unmarshal(text, &answer); err != nil {
		s.t.Fatalf("%d %s: %v", status, text, err)
	}
	return status, answer
}

// find returns the values of an attribute of what a search finds.
func (s *site) find(path string, t tag.Tag) (values []string) {
	s.t.Helper()
	status, _, text := s.ask(access.Reader, "GET", path, nil)
	if status == http.StatusNoContent {
		return nil
	}
	var found []dicomjson.Object
	if err := json.Unmarshal(text, &found); err != nil {
		s.t.Fatalf("%s: %d %s", path, status, text)
	}
	for _, o := range found {
		values = append(values, fmt.Sprint(o[dicomjson.Key(t)].Value...))
	}
	return values
}

// TestNoRoom: a full disk is told as such, in the status and in the reason, and nothing is kept.
func TestNoRoom(t *testing.T) {
	s := newSite(t, 1<<60, nil)
	status, answer := s.store(object(t, "1.2", "1.2.1", "1.2.1.1", nil))
	item, _ := answer["00081198"].Value[0].(map[string]any)
	if reason := item["00081197"].(map[string]any)["Value"]; status != http.StatusInsufficientStorage || fmt.Sprint(reason) != "[42752]" {
		t.Errorf("%d, reason %v", status, reason)
	}
	if found := s.find("/instances", tag.SOPInstanceUID); found != nil {
		t.Errorf("found %v", found)
	}
}

// TestTheFileSaysWhoSentIt: who sent an object is known without the ledger.
func TestTheFileSaysWhoSentIt(t *testing.T) {
	s := newSite(t, 0, nil)
	if status, answer := s.store(object(t, "1.2", "1.2.1", "1.2.1.1", nil)); status != http.StatusOK {
		t.Fatalf("%d %v", status, answer)
	}
	err := s.db.View(func(tx *queue.Tx) error {
		i, err := tx.Instance("1.2.1.1")
		if err != nil {
			return err
		}
		file, err := s.server.Open(i.Path)
		if err != nil {
			return err
		}
		defer file.Close()
		meta, err := part10.Decode(file)
		if err == nil && (meta.SourceAETitle != string(access.Sender) || i.Calling != meta.SourceAETitle) {
			t.Errorf("sent by %q, the ledger says %q", meta.SourceAETitle, i.Calling)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestTakenBack: what a rejection note took back is neither found nor given out, nor is what expired; the rest is.
func TestTakenBack(t *testing.T) {
	s := newSite(t, 0, nil)
	if status, answer := s.store(
		object(t, "1.2", "1.2.1", "1.2.1.1", nil), object(t, "1.2", "1.2.1", "1.2.1.2", nil), object(t, "1.2", "1.2.2", "1.2.2.1", nil),
	); status != http.StatusOK {
		t.Fatalf("%d %v", status, answer)
	}
	if len(s.done) != 1 || s.done[0] != "1.2" {
		t.Errorf("released: %v", s.done)
	}
	if status, _ := s.store(object(t, "1.2", "1.2.1", "1.2.1.1", nil)); status != http.StatusOK || len(s.done) != 1 {
		t.Errorf("stored again, which is nothing new: %d, released: %v", status, s.done)
	}
	const first = "/studies/1.2/series/1.2.1/instances/1.2.1.1"
	if status, _, _ := s.ask(access.Reader, "GET", first, nil); status != http.StatusOK {
		t.Fatalf("before: %d", status)
	}
	err := s.db.Update(func(tx *queue.Tx) error {
		err := tx.Reject(&queue.Rejection{Object: study.ObjectReference{StudyInstanceUID: "1.2", SOPInstanceUID: "1.2.1.1"}, Title: study.RejectedQuality})
		if err != nil {
			return err
		}
		i, err := tx.Instance("1.2.2.1")
		if err != nil {
			return err
		}
		i.Gone = "expired"
		return tx.PutInstance(i)
	})
	if err != nil {
		t.Fatal(err)
	}
	if found := s.find("/studies/1.2/instances", tag.SOPInstanceUID); len(found) != 1 || found[0] != "1.2.1.2" {
		t.Errorf("found %v", found)
	}
	for path, want := range map[string]int{
		first: 410, first + "/metadata": 410, first + "/rendered": 410, "/studies/1.2/series/1.2.2": 410, "/studies/1.2/series/1.2.3": 404,
		"/studies/1.2": 206, "/studies/1.2/metadata": 206, "/studies/1.2/series/1.2.1/instances/1.2.1.2": 200, "/studies/1.3/metadata": 404,
	} {
		if status, _, _ := s.ask(access.Reader, "GET", path, nil); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	s.ask(access.Reader, "GET", "/studies?PatientName=Doe*", nil)
	names := 0
	if _, err := access.ReadAudit(s.audit, func(e access.Entry) { names += strings.Count(e.Detail, "Doe") }); err != nil || names > 0 {
		t.Errorf("the audit log names a patient %d times (%v)", names, err)
	}
}

// TestReportsAreGivenOut: the address that STOW-RS answers for a report leads to it, and a search finds it beside the images, or alone.
func TestReportsAreGivenOut(t *testing.T) {
	s := newSite(t, 0, nil)
	const class = "1.2.840.10008.5.1.4.1.1.88.11"
	reported := func(study, instance string) []byte {
		return object(t, study, study+".9", instance, func(set *dicomwrite.Set) { set.Text(tag.SOPClassUID, class).Text(tag.Modality, "SR") })
	}
	status, answer := s.store(object(t, "1.2", "1.2.1", "1.2.1.1", nil), reported("1.2", "1.2.9.1"), reported("1.3", "1.3.9.1"))
	if status != http.StatusOK {
		t.Fatalf("%d %v", status, answer)
	}
	for _, item := range answer["00081199"].Value {
		url := item.(map[string]any)["00081190"].(map[string]any)["Value"].([]any)[0].(string)
		if status, _, text := s.ask(access.Reader, "GET", strings.TrimPrefix(url, s.web.URL+Path), nil); status != http.StatusOK {
			t.Errorf("%s: %d %s", url, status, text)
		}
	}
	for path, want := range map[string]string{"/studies/1.2/instances": "[1.2.1.1 1.2.9.1]", "/studies/1.3/instances": "[1.3.9.1]", "/instances?SOPClassUID=" + class: "[1.2.9.1 1.3.9.1]"} {
		if found := fmt.Sprint(s.find(path, tag.SOPInstanceUID)); found != want {
			t.Errorf("%s finds %s, want %s", path, found, want)
		}
	}
}

// TestGivenOutExplicit: an object that came in a transfer syntax that is not for the web is given out in Explicit VR Little Endian with the same values,
// whether the request names that or nothing, and is said to be had in it (PS3.18 8.7.3).
func TestGivenOutExplicit(t *testing.T) {
	s := newSite(t, 0, nil)
	explicit := object(t, "1.2", "1.2.1", "1.2.1.1", func(set *dicomwrite.Set) { set.Pixels([]byte{1, 2, 3, 4}) })
	set, err := dicomwrite.Implicit(explicit)
	if err != nil {
		t.Fatal(err)
	}
	meta := part10.Meta{SOPClassUID: crClass, SOPInstanceUID: "1.2.1.1", TransferSyntaxUID: dicomfile.ImplicitVRLittleEndian}
	if status, answer := s.store(append(part10.Encode(meta, "1.2.3", "TEST"), set...)); status != http.StatusOK {
		t.Fatalf("%d %v", status, answer)
	}
	was, err := part10.Decode(bytes.NewReader(explicit))
	if err != nil {
		t.Fatal(err)
	}
	for accept, want := range map[string]int{
		"": 200, "; transfer-syntax=*": 200, "; transfer-syntax=" + dicomfile.ExplicitVRLittleEndian: 200, "; transfer-syntax=" + dicomfile.ImplicitVRLittleEndian: 406,
	} {
		status, header, text := s.ask(access.Reader, "GET", "/studies/1.2", nil, "Accept", `multipart/related; type="application/dicom"`+accept)
		if status != want {
			t.Errorf("%s: %d %s, want %d", accept, status, text, want)
		}
		if status != http.StatusOK {
			continue
		}
		_, boundary, err := relatedType(header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		part, err := newParts(bytes.NewReader(text), boundary).next()
		if err != nil {
			t.Fatal(err)
		}
		whole, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		is, err := part10.Decode(bytes.NewReader(whole))
		if err != nil || is.TransferSyntaxUID != dicomfile.ExplicitVRLittleEndian || is.SourceAETitle != string(access.Sender) {
			t.Errorf("%s: %+v, %v", accept, is, err)
		}
		if kind := part.Header.Get("Content-Type"); kind != "application/dicom; transfer-syntax="+dicomfile.ExplicitVRLittleEndian {
			t.Errorf("%s: a part of type %s", accept, kind)
		}
		if !bytes.Equal(whole[is.Length:], explicit[was.Length:]) {
			t.Errorf("%s: other values", accept)
		}
	}
	if found := s.find("/instances", tag.AvailableTransferSyntaxUID); len(found) != 1 || found[0] != dicomfile.ExplicitVRLittleEndian {
		t.Errorf("said to be had in %v", found)
	}
}

// TestReportsSayLessThanImages: what a study is found by is what its images say, a report's word where they say nothing, and a header without it
// takes nothing away.
func TestReportsSayLessThanImages(t *testing.T) {
	s := newSite(t, 0, nil)
	image := func(study, accession string) []byte {
		return object(t, study, study+".1", study+".1.1", func(set *dicomwrite.Set) { set.Required(tag.AccessionNumber, accession).Ints(tag.Rows, 2) })
	}
	const doseReport, comprehensive = "1.2.840.10008.5.1.4.1.1.88.67", "1.2.840.10008.5.1.4.1.1.88.33"
	report := func(class, study, accession, patient string) []byte {
		return object(t, study, study+".9", study+".9.1", func(set *dicomwrite.Set) {
			set.Text(tag.SOPClassUID, class).Text(tag.Modality, "SR").Required(tag.AccessionNumber, accession).Text(tag.PatientID, patient)
		})
	}
	if status, answer := s.store(
		image("1.2", "A1"), report(doseReport, "1.2", "", "0"), report(comprehensive, "1.3", "B7", "99"), image("1.4", ""), report(comprehensive, "1.4", "C1", "0"),
	); status != http.StatusOK {
		t.Fatalf("%d %v", status, answer)
	}
	for path, want := range map[string]string{
		"/studies?AccessionNumber=A1": "[1.2]", "/studies?AccessionNumber=A*": "[1.2]", "/studies?AccessionNumber=B7": "[1.3]", "/studies?AccessionNumber=C1": "[1.4]",
		"/studies?PatientID=0": "[]", "/studies?PatientID=4711": "[1.2 1.4]", "/studies?PatientID=99": "[1.3]", "/series?AccessionNumber=A1": "[1.2 1.2]",
		"/instances?AccessionNumber=A1": "[1.2 1.2]",
	} {
		if found := fmt.Sprint(s.find(path, tag.StudyInstanceUID)); found != want {
			t.Errorf("%s finds %s, want %s", path, found, want)
		}
	}
}

// TestWhoMayDoWhat: a role opens its own acts only; without a token nobody is let in but this machine, where that is allowed, and then not
// through a proxy, by a foreign name, or for a page.
func TestWhoMayDoWhat(t *testing.T) {
	closed, open := newSite(t, 0, nil), newSite(t, 0, func(s *Server) { s.OpenOnLoopback = true })
	body, kind := related(t, object(t, "1.2", "1.2.1", "1.2.1.1", nil))
	for _, test := range []struct {
		what   string
		site   *site
		role   access.Role
		method string
		header []string
		want   int
	}{
		{"a sender searches", closed, access.Sender, "GET", nil, 403},
		{"a reader stores", closed, access.Reader, "POST", []string{"Content-Type", kind}, 403},
		{"nobody searches", closed, "", "GET", nil, 401},
		{"nobody stores", closed, "", "POST", []string{"Content-Type", kind}, 401},
		{"a session's cookie", closed, "", "GET", []string{"Cookie", "llamaxr-session=x"}, 401},
		{"a password", closed, "", "GET", []string{"Authorization", "Basic cmVhZGVyOnBhc3N3b3Jk"}, 401},
		{"another act", closed, access.Reader, "DELETE", nil, 405},
		{"this machine", open, "", "GET", nil, 204},
		{"a wrong token from this machine", open, "", "GET", []string{"Authorization", "Bearer x"}, 401},
		{"a proxy on this machine", open, "", "GET", []string{"X-Forwarded-For", "192.0.2.1"}, 401},
		{"another name of this machine", open, "", "GET", []string{"Host", "evil.example"}, 401},
		{"a foreign page", open, "", "POST", []string{"Content-Type", kind, "Sec-Fetch-Site", "cross-site"}, 403},
	} {
		var send io.Reader
		if test.method == "POST" {
			send = bytes.NewReader(body.Bytes())
		}
		status, header, text := test.site.ask(test.role, test.method, "/studies", send, test.header...)
		if status != test.want || status == 401 && !strings.HasPrefix(header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s: %d %s, want %d", test.what, status, text, test.want)
		}
	}
}

// TestHugeRequests: what passes a limit ends the request with its status, and what came before it is stored and said to be.
func TestHugeRequests(t *testing.T) {
	s := newSite(t, 0, nil)
	good := object(t, "1.2", "1.2.1", "1.2.1.1", nil)
	start := "--b\r\nContent-Type: application/dicom\r\n\r\n" + string(good) + "\r\n--b\r\n"
	for what, rest := range map[string]string{
		"a long header": "X: " + strings.Repeat("x", 2*(maxPartHeader+readAhead)) + "\r\n\r\n",
		"many headers":  strings.Repeat("X: y\r\n", (maxPartHeader+readAhead)/3) + "\r\n",
		"many parts":    strings.Repeat("\r\n\r\n--b\r\n", maxParts),
	} {
		status, _, text := s.ask(access.Sender, "POST", "/studies", strings.NewReader(start+rest), "Content-Type", `multipart/related; type="application/dicom"; boundary=b`)
		if status != http.StatusRequestEntityTooLarge || !bytes.Contains(text, []byte(`"00081199"`)) {
			t.Errorf("%s: %d %.200s", what, status, text)
		}
	}
	if found := s.find("/instances", tag.SOPInstanceUID); len(found) != 1 {
		t.Errorf("found %v", found)
	}
	if status, _, _ := s.ask(access.Reader, "GET", "/studies?PatientID="+strings.Repeat("x", maxQuery), nil); status != http.StatusRequestURITooLong {
		t.Errorf("a long query: %d", status)
	}
}

// TestUnreadableParameters: a search whose key cannot be read is refused, and does not find what the key would have left out.
func TestUnreadableParameters(t *testing.T) {
	s := newSite(t, 0, nil)
	if status, answer := s.store(object(t, "1.2", "1.2.1", "1.2.1.1", nil)); status != http.StatusOK {
		t.Fatalf("%d %v", status, answer)
	}
	for _, query := range []string{"PatientID=nobody;x", "PatientID=%zz", "PatientID=%", "PatientID=nobody&;"} {
		if status, _, text := s.ask(access.Reader, "GET", "/studies?"+query, nil); status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", query, status, text)
		}
	}
}

// TestIgnoredParameters: a parameter that is not known, or that is not matched by, leaves a search as it is and is named in a warning; one whose value
// is wrong is refused.
func TestIgnoredParameters(t *testing.T) {
	s := newSite(t, 0, nil)
	if status, answer := s.store(object(t, "1.2", "1.2.1", "1.2.1.1", nil)); status != http.StatusOK {
		t.Fatalf("%d %v", status, answer)
	}
	for _, test := range []struct {
		query, named string // in the warning, empty for none
		want         int
	}{
		{"/studies?PatientID=4711&charset=utf-8", "", 200},
		{"/studies?PatientID=4711&charset=utf-8,iso-8859-1%3Bq=0.5", "", 200},
		{"/studies?charset=iso-8859-1", "", 400},
		{"/studies?PatientID=4711&orderby=-StudyDate&foo=bar", "foo, orderby", 200},
		{"/studies?PatientID=nobody&foo=bar", "foo", 204},
		{"/studies?Modality=MR", "Modality", 200},
		{"/series?PerformedProcedureStepStartDate=20260101", "PerformedProcedureStepStartDate", 200},
		{"/series?RequestAttributesSequence.RequestedProcedureID=1", "RequestAttributesSequence.RequestedProcedureID", 200},
		{"/studies?includefield=Foo,PatientAge", "includefield=Foo", 200},
		{"/studies?foo%0D%0AX:%22=bar", `foo\r\nX:\"`, 200},
		{"/studies?" + strings.Repeat("x", maxQuery/2) + "=1", strings.Repeat("x", maxNamed), 200},
		{"/studies?foo=bar&StudyDate=yesterday", "", 400},
		{"/studies?includefield=" + strings.Repeat("x,", maxKeys+1), "", 400},
		{"/studies?AccessionNumber=A1&00080050=A1", "", 400},
	} {
		warning := ""
		if test.named != "" {
			warning = fmt.Sprintf(`299 %s: "%s: %s"`, s.web.URL+Path, warnIgnored, test.named)
		}
		status, header, text := s.ask(access.Reader, "GET", test.query, nil)
		if status != test.want || header.Get("Warning") != warning {
			t.Errorf("%.100s: %d, warning %q, want %d and %q: %.200s", test.query, status, header.Get("Warning"), test.want, warning, text)
		}
	}
}

// TestStandingStill: a sender that stops in the midst of an object is let go, and leaves nothing behind.
func TestStandingStill(t *testing.T) {
	s := newSite(t, 0, func(s *Server) { s.Idle = 200 * time.Millisecond })
	nc, err := net.Dial("tcp", s.web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	fmt.Fprintf(nc, "POST %s/studies HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: multipart/related; type=application/dicom; boundary=b\r\n"+
		"Content-Length: 100000\r\n\r\n--b\r\nContent-Type: application/dicom\r\n\r\n", Path, s.tokens[access.Sender])
	if _, err := nc.Write(object(t, "1.2", "1.2.1", "1.2.1.1", nil)); err != nil {
		t.Fatal(err)
	}
	_ = nc.SetReadDeadline(time.Now().Add(time.Minute))
	answer, err := io.ReadAll(nc)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 400")) {
		t.Errorf("%v %.200s", err, answer)
	}
	if found := s.find("/instances", tag.SOPInstanceUID); found != nil {
		t.Errorf("found %v", found)
	}
}

// TestLevels: what is returned unasked at a level, and what the address already says is not repeated (PS3.18, tables 10.6.3-3 to 10.6.3-5).
func TestLevels(t *testing.T) {
	s := newSite(t, 0, nil)
	s.store(object(t, "1.2", "1.2.1", "1.2.1.1", nil), object(t, "1.3", "1.3.1", "1.3.1.1", func(o *dicomwrite.Set) { o.Text(tag.AccessionNumber, "A2") }))
	for _, test := range []struct {
		path         string
		found        int
		has, without []tag.Tag
	}{
		{"/studies", 2, []tag.Tag{tag.PatientName, tag.StudyID, tag.ModalitiesInStudy, tag.RetrieveURL, tag.NumberOfStudyRelatedSeries}, []tag.Tag{tag.Modality, tag.StudyDescription, tag.PatientAge}},
		{"/studies?AccessionNumber=A2", 1, []tag.Tag{tag.PatientName}, nil},
		{"/studies?AccessionNumber=A*&includefield=PatientAge,00081030", 2, []tag.Tag{tag.PatientName}, nil},
		{"/series", 2, []tag.Tag{tag.PatientName, tag.Modality, tag.SeriesNumber}, []tag.Tag{tag.SOPInstanceUID}},
		{"/studies/1.2/series", 1, []tag.Tag{tag.StudyInstanceUID, tag.Modality, tag.NumberOfSeriesRelatedInstances}, []tag.Tag{tag.PatientName}},
		{"/studies/1.2/series?PatientID=4711", 1, []tag.Tag{tag.PatientID}, []tag.Tag{tag.PatientName}},
		{"/studies/1.2/instances", 1, []tag.Tag{tag.SeriesInstanceUID, tag.Modality, tag.SOPClassUID}, []tag.Tag{tag.PatientName}},
		{"/studies/1.2/series/1.2.1/instances", 1, []tag.Tag{tag.SeriesInstanceUID, tag.SOPInstanceUID}, []tag.Tag{tag.Modality}},
		{"/studies/1.2/series/1.3.1/instances", 0, nil, nil},
		{"/studies/1.2/series?StudyInstanceUID=1.3", 0, nil, nil},
		{"/studies?includefield=all&limit=1", 1, []tag.Tag{tag.PatientName}, []tag.Tag{tag.Modality}},
		{"/studies?limit=0", 0, nil, nil},
	} {
		status, _, text := s.ask(access.Reader, "GET", test.path, nil)
		var found []dicomjson.Object
		if status != http.StatusNoContent {
			if err := json.Unmarshal(text, &found); err != nil {
				t.Fatalf("%s: %d %s", test.path, status, text)
			}
		}
		if len(found) != test.found {
			t.Errorf("%s: %d found, want %d", test.path, len(found), test.found)
			continue
		}
		for _, o := range found {
			for _, want := range test.has {
				if o[dicomjson.Key(want)].VR == "" {
					t.Errorf("%s: no %s", test.path, dicomjson.Key(want))
				}
			}
			for _, other := range test.without {
				if o[dicomjson.Key(other)].VR != "" {
					t.Errorf("%s: %s", test.path, dicomjson.Key(other))
				}
			}
		}
	}
}
