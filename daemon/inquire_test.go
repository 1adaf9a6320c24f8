package daemon

import (
	"os"
	"testing"
)

// TestAWrongFolderBecomesNoState: what changes the ledger of a stopped appliance makes none in a folder that holds no state.
func TestAWrongFolderBecomesNoState(t *testing.T) {
	for name, change := range map[string]func(folder string) error{
		"resend": func(folder string) error { return Resend(folder, "score/1.2") },
		"corrections import": func(folder string) error {
			_, err := ImportCorrections(folder, []CorrectionInput{{AccessionNumber: "A1", Report: "FINDINGS: Clear.\nIMPRESSION: Normal."}})
			return err
		},
	} {
		folder := t.TempDir()
		err := change(folder)
		if made, readErr := os.ReadDir(folder); err == nil || readErr != nil || len(made) > 0 {
			t.Errorf("%s: %v, made %v, %v", name, err, made, readErr)
		}
	}
}
