package webhook

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"llamaxr/internal/peertest"
)

// TestTheReferenceLibraryBelievesUs: standardwebhooks takes what we sign, and nothing that was changed since.
func TestTheReferenceLibraryBelievesUs(t *testing.T) {
	text, err := NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := ParseSecret(text + "\n")
	if err != nil {
		t.Fatal(err)
	}
	body := `{"type": "draft", "data": "größer"}`
	h := secret.Headers("msg_1", time.Now(), []byte(body))
	for said, want := range map[string]bool{body: true, body + " ": false} {
		cmd := exec.Command(peertest.Python(t), "testdata/verify.py", text, h["webhook-id"], h["webhook-timestamp"], h["webhook-signature"])
		cmd.Stdin = strings.NewReader(said)
		if out, err := cmd.CombinedOutput(); (err == nil) != want {
			t.Errorf("%s: %v\n%s", said, err, out)
		}
	}
}

func TestSecrets(t *testing.T) {
	for _, text := range []string{"", "whsec_", "whsec_AAAA", "secret", "whsec_" + strings.Repeat("A", 400), strings.Repeat("A", 32)} {
		if _, err := ParseSecret(text); !errors.Is(err, ErrSecret) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
