package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"llamaxr/internal/peertest"
)

// orthanc is a running archive.
type orthanc struct{ port, http string }

func startOrthanc(t testing.TB, plugins ...string) orthanc {
	t.Helper()
	o := orthanc{freePort(t), freePort(t)}
	dir := t.TempDir()
	settings, err := json.Marshal(map[string]any{
		"Name": "archive", "DicomAet": "ORTHANC", "DicomPort": json.Number(o.port), "HttpPort": json.Number(o.http), "RemoteAccessAllowed": false,
		"AuthenticationEnabled": false, "StorageDirectory": filepath.Join(dir, "storage"), "IndexDirectory": filepath.Join(dir, "index"), "Plugins": append([]string{}, plugins...),
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "orthanc.json")
	if err := os.WriteFile(path, settings, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(peertest.Program(t, "Orthanc"), path)
	cmd.Env = append(os.Environ(), "TCP_NODELAY=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	deadline := time.Now().Add(startTime)
	for {
		response, err := http.Get("http://127.0.0.1:" + o.http + "/system")
		if err == nil {
			response.Body.Close()
			return o
		}
		if time.Now().After(deadline) {
			t.Fatalf("Orthanc does not start: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (o orthanc) get(t testing.TB, path string, into any) {
	t.Helper()
	response, err := http.Get("http://127.0.0.1:" + o.http + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		t.Fatalf("Orthanc %s: %v", path, err)
	}
}

// studies counts what the archive holds, by study and SOP class.
func (o orthanc) studies(t testing.TB) map[string]map[string]int {
	t.Helper()
	var ids []string
	o.get(t, "/instances", &ids)
	found := map[string]map[string]int{}
	for _, id := range ids {
		var tags struct{ StudyInstanceUID, SOPClassUID string }
		o.get(t, "/instances/"+id+"/simplified-tags", &tags)
		if found[tags.StudyInstanceUID] == nil {
			found[tags.StudyInstanceUID] = map[string]int{}
		}
		found[tags.StudyInstanceUID][tags.SOPClassUID]++
	}
	return found
}
