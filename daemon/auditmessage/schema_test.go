package auditmessage

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llamaxr/daemon/access"
	"llamaxr/internal/peertest"
)

// TestSchema: every message that we can send is valid by the schema of PS3.15, A.5.1.1, as jing (an implementation of RELAX NG) reads it; messages
// that break one rule each are not, or the schema would hold nothing.
func TestSchema(t *testing.T) {
	jing := peertest.Program(t, "jing")
	valid := func(messages map[string]string) (faults string) {
		t.Helper()
		folder := t.TempDir()
		args := []string{"-c", filepath.Join("testdata", "message.rnc")}
		for name, text := range messages {
			path := filepath.Join(folder, strings.ReplaceAll(name, " ", "_")+".xml")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			args = append(args, path)
		}
		out, err := exec.Command(jing, args...).Output() // its start script warns on stderr
		if _, failed := err.(*exec.ExitError); err != nil && !failed {
			t.Fatal(err)
		}
		if (err == nil) != (len(out) == 0) {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	acts := []string{
		ActStarted, ActStopped, ActReceived, storedByWeb, ActSending, ActSent, ActStranger, ActRemoved, ActReload, ActAdapter, viewAudit, "log in", "log in failed",
		"log in refused", "log out", "refused", "DICOMweb refused", "user add", "DICOMweb search studies", "DICOMweb retrieve", "DICOMweb retrieve rendered",
		"view study", "view image", "sign", "sign refused", "reject", "learning promote",
	}
	messages := map[string]string{}
	for _, act := range acts {
		for i, e := range []access.Entry{
			{Act: act, User: "ann", Address: "10.0.0.7", Study: "1.2.3", Detail: "a <b> & \"c\"\x00 token"},
			{Act: act, User: "PACS@10.0.0.5:104", Address: "::1", Study: "1.2.3", Detail: Failed},
			{Act: act, Study: "1.2.3"},
		} {
			for j, patient := range []Patient{{}, {"P&1", "Doe^Jo<y>"}, {"", "Doe"}, {"12", ""}} {
				e.Time = time.Date(2026, 3, 4, 5, 6, 7, 891, time.UTC)
				m, ok := Of(e, "XR", patient)
				if !ok {
					t.Fatalf("%s has no message", act)
				}
				text, err := m.XML()
				if err != nil {
					t.Fatal(err)
				}
				messages[fmt.Sprintf("%s %d %d", act, i, j)] = string(text)
			}
		}
	}
	if faults := valid(messages); faults != "" {
		t.Errorf("of %d messages:\n%s", len(messages), faults)
	}
	sound := messages["view study 0 1"]
	broken := map[string]string{}
	for i, change := range []struct{ from, to string }{
		{` EventOutcomeIndicator="0"`, ``},
		{`EventOutcomeIndicator="0"`, `EventOutcomeIndicator="1"`},
		{`EventActionCode="R"`, `EventActionCode="X"`},
		{`EventDateTime="2026`, `EventDateTime="26`},
		{` originalText="DICOM Instances Accessed"`, ``},
		{`UserIsRequestor="true"`, `UserIsRequestor="maybe"`},
		{`NetworkAccessPointTypeCode="2"`, `NetworkAccessPointTypeCode="6"`},
		{`<ParticipantObjectName>1.2.3</ParticipantObjectName>`, ``},
		{`ParticipantObjectTypeCodeRole="3"`, `ParticipantObjectTypeCodeRole="27"`},
		{` AuditSourceID="XR"`, ``},
	} {
		text := strings.Replace(sound, change.from, change.to, 1)
		if text == sound {
			t.Fatalf("%s is not in %s", change.from, sound)
		}
		broken[fmt.Sprintf("broken-%d-", i)] = text
	}
	faults := valid(broken)
	for name, text := range broken {
		if !strings.Contains(faults, name+".xml") {
			t.Errorf("this is valid: %s", text)
		}
	}
}
