package e2e

import (
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
)

// TestFetch: a study that lies in an archive is found by accession number or UID, sent to the appliance and drafted; what the archive does not
// have is said plainly.
func TestFetch(t *testing.T) {
	archive := startOrthanc(t)
	n := startNode(t)
	archive.know(t, n)
	from := "ORTHANC@127.0.0.1:" + archive.port
	for i, seed := range []uint64{9301, 9302} {
		uid, frontal, lateral := phantomStudy(t, seed)
		send := exec.Command(peertest.Program(t, "storescu"), "-aec", "ORTHANC", "127.0.0.1", archive.port, frontal, lateral)
		if out, err := send.CombinedOutput(); err != nil {
			t.Fatalf("storescu: %v\n%s", err, out)
		}
		query := []string{"--study", uid}
		if i == 1 {
			query = []string{"--accession", accessionOf(t, archive, uid)}
		}
		out, err := exec.Command(program, append([]string{"fetch", "--from", from, "--json"}, query...)...).Output()
		if err != nil {
			t.Fatalf("fetch %v: %v %s", query, err, stderr(err))
		}
		var got []struct {
			Study string `json:"study_instance_uid"`
			Sent  int
		}
		if err := json.Unmarshal(out, &got); err != nil || len(got) != 1 || got[0].Study != uid || got[0].Sent != 2 {
			t.Errorf("fetch %v: %s (%v)", query, out, err)
		}
		if s := n.settle(i + 1)[uid]; s.State != "delivered" {
			t.Errorf("the study that was fetched is %+v", s)
		}
	}
	for _, query := range [][]string{{"--study", "1.2.3.4"}, {"--accession", "nowhere"}} {
		if _, err := exec.Command(program, append([]string{"fetch", "--from", from}, query...)...).Output(); err == nil || !strings.Contains(stderr(err), "no such study") {
			t.Errorf("fetch %v: %v %s", query, err, stderr(err))
		}
	}
}

// accessionOf asks the archive for a study's accession number.
func accessionOf(t *testing.T, archive orthanc, uid string) string {
	t.Helper()
	var ids []string
	archive.get(t, "/instances", &ids)
	for _, id := range ids {
		var tags struct{ StudyInstanceUID, AccessionNumber string }
		archive.get(t, "/instances/"+id+"/simplified-tags", &tags)
		if tags.StudyInstanceUID == uid {
			return tags.AccessionNumber
		}
	}
	t.Fatalf("the archive does not hold %s", uid)
	return ""
}

// stderr is what a command that failed said.
func stderr(err error) string {
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return string(failed.Stderr)
	}
	return ""
}
