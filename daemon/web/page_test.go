package web_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llamaxr/daemon"
	"llamaxr/daemon/access"
	"llamaxr/daemon/config"
	"llamaxr/queue"
	"llamaxr/study"
)

const shown = "2.25.1" // Study Instance UID

// signedAt is when reports of these tests were signed.
var signedAt = time.Date(2026, 1, 2, 8, 0, 0, 0, time.Local)

// withStudy is a room over what put stores; of a study each header is a draft's, of the first revision on.
func withStudy(t *testing.T, put func(*queue.Tx) error, headers ...study.Header) (*daemon.Appliance, *httptest.Server) {
	t.Helper()
	return room(t, func(cfg *config.Config, _ string) {
		cfg.Destinations = []config.Destination{{AETitle: "A", Address: "127.0.0.1:1"}, {AETitle: "B", Address: "127.0.0.1:1"}, {AETitle: "C", Address: "127.0.0.1:1"}}
		db, err := queue.Open(filepath.Join(cfg.State, "llamaxr.db"), queue.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Update(put), db.Close()); err != nil {
			t.Fatal(err)
		}
		for i, h := range headers {
			folder := daemon.DraftFolder(cfg.State, shown, i+1)
			text, err := json.Marshal(daemon.DraftRecord{Draft: study.Draft{StudyInstanceUID: shown, Revision: i + 1}, Frontal: &h})
			if err = errors.Join(err, os.MkdirAll(folder, 0o700)); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(folder, "draft.json"), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// opened is the study's page as a user sees it.
func opened(t *testing.T, server *httptest.Server, c *http.Client, path string) string {
	t.Helper()
	status, body := ask(t, c, "GET", server.URL+"/studies/"+shown+path, nil)
	if status != http.StatusOK {
		t.Fatalf("the page is answered %d: %.200s", status, body)
	}
	return body
}

// stream opens a stream of events. next returns the data of the next event of a name; false when the stream ends before.
func stream(t *testing.T, server *httptest.Server, c *http.Client, study string) (next func(name string) (string, bool)) {
	t.Helper()
	answer, err := c.Get(server.URL + "/events?study=" + study)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	lines := bufio.NewScanner(answer.Body)
	return func(name string) (string, bool) {
		for lines.Scan() {
			if lines.Text() == "event: "+name && lines.Scan() {
				return strings.TrimPrefix(lines.Text(), "data: "), true
			}
		}
		return "", false
	}
}

// TestPageOfAnother: what a page asks for that was made for one user is refused while another is logged in in the same browser, and its stream of events
// ends and begins anew with who that is.
func TestPageOfAnother(t *testing.T) {
	appliance, server := withStudy(t, func(tx *queue.Tx) error {
		s := &queue.Study{UID: shown, State: queue.Delivered, Revision: 1, Alerts: []*queue.Alert{{Number: 1, Revision: 1}}}
		return errors.Join(tx.PutStudy(s), tx.PutReading(&queue.Reading{StudyInstanceUID: shown, State: queue.ReadingSigned, Version: 3, Revision: 1}))
	})
	if err := appliance.Users().Add(access.User{Name: "bob", FullName: "Roe^Bob^^Dr", Roles: []access.Role{access.Signer, access.Trainer, access.Admin}}, password); err != nil {
		t.Fatal(err)
	}
	c := client(t) // one browser
	login(t, server, c, "sam", password)
	if page := opened(t, server, c, ""); !strings.Contains(page, `name="user" value="sam"`) || !strings.Contains(page, `"user":"sam"`) {
		t.Error("the page does not know for whom it is")
	}
	next := stream(t, server, c, shown)
	if who, _ := next("user"); who != `{"name":"sam X","user":"sam"}` {
		t.Errorf("the stream is for %s", who)
	}
	login(t, server, c, "bob", password)
	began := time.Now()
	if _, again := next("user"); again || time.Since(began) > 10*time.Second {
		t.Error("the first user's stream goes on")
	}
	if who, _ := stream(t, server, c, shown)("user"); who != `{"name":"Dr Bob Roe","user":"bob"}` {
		t.Errorf("the stream is for %s", who)
	}

	const want = "this page was opened by sam X and Dr Bob Roe is logged in now: reload it"
	for method, act := range map[string]string{"PUT": "reading", "POST": "sign"} {
		if status, said := ask(t, c, method, server.URL+"/studies/"+shown+"/"+act, map[string]string{"If-Match": `"3"`, "Llamaxr-User": "sam"}); status != http.StatusConflict || strings.TrimSpace(said) != want {
			t.Errorf("%s by the other's page: %d %s", act, status, said)
		}
	}
	for _, act := range []string{"reject", "reopen", "redraft"} {
		if status, said := ask(t, c, "POST", server.URL+"/studies/"+shown+"/"+act, map[string]string{"If-Match": `"3"`, "Llamaxr-User": "sam"}); status != http.StatusConflict || strings.TrimSpace(said) != want {
			t.Errorf("%s by the other's page: %d %s", act, status, said)
		}
	}
	post := func(user, path string) (int, string) {
		answer, err := c.PostForm(server.URL+path, url.Values{"number": {"1"}, "node": {"none"}, "user": {user}})
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		said, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, strings.TrimSpace(string(said))
	}
	acknowledge := "/studies/" + shown + "/acknowledge"
	for _, path := range []string{acknowledge, "/learning/rollback", "/admin/echo"} {
		if status, said := post("sam", path); status != http.StatusConflict || said != want {
			t.Errorf("%s by the other's page: %d %s", path, status, said)
		}
	}
	for _, path := range []string{"/learning", "/admin"} {
		_, page := ask(t, c, "GET", server.URL+path, nil)
		acts, named := strings.Count(page, `method="post" action="`+path+`/`), strings.Count(page, `name="user" value="bob"`)
		if acts == 0 && path == "/learning" || acts != named {
			t.Errorf("%s has %d forms, %d of them name the user", path, acts, named)
		}
	}
	reading, err := appliance.Reading(shown)
	if err != nil || reading.State != queue.ReadingSigned || reading.Version != 3 {
		t.Errorf("%v: the reading was changed: %+v", err, reading)
	}
	if status, said := ask(t, c, "POST", server.URL+"/studies/"+shown+"/reopen", map[string]string{"If-Match": `"3"`, "Llamaxr-User": "bob"}); status != http.StatusOK {
		t.Errorf("by his own page: %d %s", status, said)
	}
	if status, said := post("bob", acknowledge); status != http.StatusSeeOther {
		t.Errorf("acknowledged by his own page: %d %s", status, said)
	}
}

// TestPageIsOfWhomItsDraftIs: the page names the patient and the order of the draft that it shows; without one what the worklist names.
func TestPageIsOfWhomItsDraftIs(t *testing.T) {
	wrong := study.Header{SOPInstanceUID: "1", PatientName: "Wrong^Ann", PatientID: "A", AccessionNumber: "OF-ANN"}
	right := study.Header{SOPInstanceUID: "2", PatientName: "Right^Bea", PatientID: "B", AccessionNumber: "OF-BEA"}
	for revision, want := range map[int]string{1: "Wrong, Ann", 2: "Right, Bea", 3: "Right, Bea"} {
		_, server := withStudy(t, func(tx *queue.Tx) error {
			r := &queue.Rejection{Object: study.ObjectReference{StudyInstanceUID: shown, SOPInstanceUID: "1"}, Title: study.RejectedWorklist}
			s := &queue.Study{UID: shown, State: queue.Delivered, Revision: max(2, revision), Instances: []string{"2", "1"}}
			return errors.Join(tx.Reject(r), tx.PutStudy(s), tx.PutInstance(&queue.Instance{Instance: study.Instance{Header: wrong}, Gone: queue.GoneRetention}),
				tx.PutInstance(&queue.Instance{Instance: study.Instance{Header: right}, Gone: queue.GoneRetention}))
		}, wrong, right)
		c := client(t)
		login(t, server, c, "sam", password)
		page := opened(t, server, c, fmt.Sprintf("?revision=%d", revision))
		if title, _, _ := strings.Cut(page[strings.Index(page, "<h1>")+len("<h1>"):], "</h1>"); title != want || strings.Contains(page, "OF-ANN") != (revision == 1) {
			t.Errorf("of revision %d the page names %s, want %s", revision, title, want)
		}
	}
}

// TestASignedReportStands: a report that is open to be amended is shown as one that a physician signed, as long as that stands, and where it went.
func TestASignedReportStands(t *testing.T) {
	signatures := []queue.Signature{
		{Number: 1, Revision: 1, User: "sam", Name: "Doe^Jane", Time: signedAt, SOPInstanceUID: "2.25.8"},
		{Number: 2, Revision: 2, User: "sam", Name: "Doe^Jane", Time: signedAt, SOPInstanceUID: "2.25.9", Delivered: map[string]time.Time{"A@127.0.0.1:1": signedAt, "OLD@127.0.0.1:2": signedAt}},
	}
	for withdrawn, want := range map[int]string{1: "stands", 2: "open"} {
		_, server := withStudy(t, func(tx *queue.Tx) error {
			s := &queue.Study{UID: shown, State: queue.Delivered, Revision: 2, Withdrawn: []*queue.Withdrawal{{Revision: withdrawn}}}
			job := func(to string) queue.Job {
				payload := fmt.Appendf(nil, `{"number": 2, "destination": "%s@127.0.0.1:1"}`, to)
				return queue.Job{ID: to, Kind: "deliver signed", Study: shown, Payload: payload, NotBefore: time.Now().Add(time.Hour)}
			}
			dead, gone := job("B"), job("D")
			dead.Dead, dead.LastError, gone.Dead, gone.LastError = true, "it was refused", true, "it is not configured"
			r := &queue.Reading{StudyInstanceUID: shown, State: queue.ReadingOpen, Version: 5, Revision: 2, Signatures: signatures}
			return errors.Join(tx.PutStudy(s), tx.PutReading(r), tx.Enqueue(dead), tx.Enqueue(job("C")), tx.Enqueue(gone))
		}, study.Header{}, study.Header{})
		c := client(t)
		login(t, server, c, "sam", password)
		page := opened(t, server, c, "")
		for _, said := range []string{
			fmt.Sprintf(`data-state="%s"`, want), fmt.Sprintf(`"stands":%v`, want == "stands"), "The report signed by Jane Doe, 2026-01-02 08:00:00, stands until it is signed anew",
			"Delivered to A@127.0.0.1:1 at 2026-01-02 08:00:00.", "Given up for B@127.0.0.1:1: it was refused.", "Waits to be sent to C@127.0.0.1:1.",
			"Given up for D@127.0.0.1:1: it is not configured.", "Delivered to OLD@127.0.0.1:2 at 2026-01-02 08:00:00.",
		} {
			if !strings.Contains(page, said) {
				t.Errorf("revision %d is withdrawn: the page lacks %s", withdrawn, said)
			}
		}
		if older := opened(t, server, c, "?revision=1"); !strings.Contains(older, `data-state="open"`) {
			t.Error("a draft that was signed before another is shown as the report that stands")
		}
	}
}

// TestNextStudy: it is the one after in the list when the link is followed, past what another user has open; the worklist when there is none.
func TestNextStudy(t *testing.T) {
	_, server := withStudy(t, func(tx *queue.Tx) error {
		for i := range 3 {
			s := &queue.Study{UID: fmt.Sprintf("2.25.%d", i+1), State: queue.Delivered, Revision: 1, Summary: &queue.DraftSummary{}, Last: signedAt.Add(time.Duration(i) * time.Second)}
			if err := tx.PutStudy(s); err != nil {
				return err
			}
		}
		return nil
	}, study.Header{})
	sam, rita := client(t), client(t)
	login(t, server, sam, "sam", password)
	login(t, server, rita, "rita", password)
	follow := func(uid string) string {
		answer, err := sam.Get(server.URL + "/studies/" + uid + "/next")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.Header.Get("Location")
	}
	for deadline := time.Now().Add(time.Minute); follow(shown) != "/studies/2.25.2"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after the first comes %s", follow(shown))
		}
	}
	if page := opened(t, server, sam, ""); !strings.Contains(page, `href="/studies/2.25.1/next" id="next"`) {
		t.Error("the page's link is not asked about when it is followed")
	}
	if next := follow("2.25.3"); next != "/studies/2.25.1" {
		t.Errorf("after the last comes %s", next)
	}
	for _, test := range []struct{ opens, want string }{{"2.25.2", "/studies/2.25.3"}, {"2.25.3", "/"}} {
		stream(t, server, rita, test.opens)("presence")
		if got := follow(shown); got != test.want {
			t.Errorf("rita opens %s: after the first comes %s, want %s", test.opens, got, test.want)
		}
	}
}

// TestWhatIsTakenBackIsSaid: an open page hears that there is no draft any more, and that the one it shows was taken back.
func TestWhatIsTakenBackIsSaid(t *testing.T) {
	_, server := withStudy(t, func(tx *queue.Tx) error {
		s := &queue.Study{
			UID: shown, State: queue.Refused, Reason: "every image was rejected", Revision: 2, Withdrawn: []*queue.Withdrawal{{Revision: 1, Reason: "patient safety"}},
		}
		return errors.Join(tx.PutStudy(s), tx.PutReading(&queue.Reading{StudyInstanceUID: shown, State: queue.ReadingOpen, Version: 1, Revision: 1}))
	}, study.Header{})
	c := client(t)
	login(t, server, c, "sam", password)
	said, _ := stream(t, server, c, shown)("reading")
	for _, want := range []string{`"status":"no draft"`, `"without":"every image was rejected"`, `"withdrawn":"revision 1, patient safety"`} {
		if !strings.Contains(said, want) {
			t.Errorf("the page hears %s, which lacks %s", said, want)
		}
	}
}
