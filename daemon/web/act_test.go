package web_test

import (
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"llamaxr/daemon"
	"llamaxr/daemon/config"
	"llamaxr/queue"
)

// TestNothingIsDoneWithoutItsEntry: an act of a person that cannot be entered into the audit log takes no effect. One that was refused has no entry as if it had,
// and one that failed has a second entry that says so.
func TestNothingIsDoneWithoutItsEntry(t *testing.T) {
	const uid = "2.25.1"
	var state string
	appliance, server := room(t, func(cfg *config.Config, _ string) {
		state = cfg.State
		db, err := queue.Open(filepath.Join(state, "llamaxr.db"), queue.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s := &queue.Study{UID: uid, State: queue.Delivered, Revision: 1, Alerts: []*queue.Alert{{Number: 1, Revision: 1}}}
		r := &queue.Reading{StudyInstanceUID: uid, State: queue.ReadingSigned, Version: 3, Revision: 1}
		err = db.Update(func(tx *queue.Tx) error { return errors.Join(tx.PutStudy(s), tx.PutReading(r)) })
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	})
	browsers := map[string]*http.Client{}
	for _, name := range []string{"sam", "tina"} {
		browsers[name] = client(t)
		login(t, server, browsers[name], name, password)
	}
	post := func(name, path, version string, form url.Values) int {
		t.Helper()
		body, kind := form.Encode(), "application/x-www-form-urlencoded"
		if version != "" {
			body, kind = `{"revision": 1, "findings": "Clear.", "impression": "Normal."}`, "application/json"
		}
		q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", kind)
		q.Header.Set("If-Match", version)
		answer, err := browsers[name].Do(q)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	acts := []struct {
		name, path, version string
		form                url.Values
	}{
		{"sam", "/studies/" + uid + "/reopen", "3", nil},
		{"sam", "/studies/" + uid + "/acknowledge", "", url.Values{"number": {"1"}}},
		{"tina", "/learning/starter", "", nil},
	}

	if got := post("sam", acts[0].path, "2", nil); got != http.StatusPreconditionFailed {
		t.Errorf("of another version: %d", got)
	}
	post("tina", "/learning/promote", "", url.Values{"adapter": {"none"}})
	want := []string{"reopen report refused another version is newer", "learning promote none", `learning promote failed none: models: "none": no such model`}
	if got := entered(t, appliance, len(want)); !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("the audit log has %q, want %q", got, want)
	}

	use := filepath.Join(state, daemon.ModelFolder, "use")
	if err := os.RemoveAll(use); err != nil {
		t.Fatal(err)
	}
	if err := appliance.Audit().Close(); err != nil {
		t.Fatal(err)
	}
	for _, a := range acts {
		if got := post(a.name, a.path, a.version, a.form); got != http.StatusServiceUnavailable {
			t.Errorf("%s without the audit log: %d", a.path, got)
		}
	}
	reading, err := appliance.Reading(uid)
	if err != nil || reading.State != queue.ReadingSigned || reading.Version != 3 {
		t.Errorf("%v: the report was reopened: %+v", err, reading)
	}
	report, err := appliance.Study(uid)
	if err != nil || !report.Alert().Open() {
		t.Errorf("%v: the finding was acknowledged: %+v", err, report.Alert())
	}
	if _, err := os.Stat(use); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an adapter was chosen: %v", err)
	}
}

// entered are the newest acts of the audit log, in their order.
func entered(t *testing.T, appliance *daemon.Appliance, n int) (acts []string) {
	t.Helper()
	entries, err := appliance.Audit().LastEntries(n)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range slices.Backward(entries) {
		acts = append(acts, e.Act+" "+e.Detail)
	}
	return acts
}
