package corrections

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"llamaxr/study"
)

// PatientKey is a patient's identity as a correction keeps it: a digest under the site's own key, so that it cannot be looked up.
func PatientKey(siteKey []byte, h *study.Header) string {
	mac := hmac.New(sha256.New, siteKey)
	mac.Write([]byte(h.IssuerOfPatientID + "\x00" + h.PatientID + "\x00" + h.PatientBirthDate))
	return hex.EncodeToString(mac.Sum(nil)[:12])
}

// HeldOut reports whether a patient's studies are kept for the gate: the same patient is always on the same side, in every run.
func HeldOut(patient string, share float64) bool {
	sum := sha256.Sum256([]byte("held out " + patient))
	return float64(binary.BigEndian.Uint64(sum[:8]))/(1<<64) < share
}
