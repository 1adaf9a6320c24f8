package daemon

import (
	"testing"
	"time"

	"llamaxr/daemon/config"
	"llamaxr/internal/peertest"
)

// TestCertificateBeforeItsTime: a certificate that is put in too early, which every peer refuses, is told of as one that is about to end is.
func TestCertificateBeforeItsTime(t *testing.T) {
	authority := peertest.NewAuthority(t)
	file, key, _ := authority.Node("llamaxr", 2048, 90*24*time.Hour)
	cfg := config.Default()
	cfg.TLS.Certificate, cfg.TLS.Key = file, key
	for at, want := range map[time.Duration][2]bool{-24 * time.Hour: {true, true}, 0: {false, false}, 80 * 24 * time.Hour: {false, true}} {
		all, err := Certificates(cfg, time.Now().Add(at))
		if err != nil || len(all) != 1 || all[0].Early != want[0] || all[0].Alarm != want[1] {
			t.Errorf("after %s: %+v, %v", at, all, err)
		}
	}
}
