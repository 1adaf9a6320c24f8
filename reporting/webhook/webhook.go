// Package webhook signs events as the Standard Webhooks specification has it: the receiver checks with one of its libraries, or by
//
//	base64(HMAC-SHA256(secret, webhook-id + "." + webhook-timestamp + "." + body))
//
// against the header webhook-signature, after "v1,". The identifier of an event is the same for each try.
package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// prefix begins a secret, so that it is known where it leaks.
const prefix = "whsec_"

// Lengths of a secret in bytes.
const (
	leastSecret = 24
	mostSecret  = 64
	newSecret   = 32
)

// ErrSecret is returned for text that is no secret.
var ErrSecret = errors.New("webhook: a secret is whsec_ and base64 of 24 to 64 bytes")

// Secret is what sender and receiver share.
type Secret []byte

// ParseSecret reads a secret as people hand it on.
func ParseSecret(text string) (Secret, error) {
	raw, ok := strings.CutPrefix(strings.TrimSpace(text), prefix)
	secret, err := base64.StdEncoding.DecodeString(raw)
	if !ok || err != nil || len(secret) < leastSecret || len(secret) > mostSecret {
		return nil, ErrSecret
	}
	return secret, nil
}

// NewSecret makes one.
func NewSecret() (string, error) {
	raw := make([]byte, newSecret)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("webhook: making a secret: %w", err)
	}
	return prefix + base64.StdEncoding.EncodeToString(raw), nil
}

// Headers are the headers of a request with an event.
func (s Secret) Headers(id string, now time.Time, body []byte) map[string]string {
	at := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, s)
	fmt.Fprintf(mac, "%s.%s.", id, at)
	mac.Write(body)
	return map[string]string{
		"webhook-id": id, "webhook-timestamp": at, "webhook-signature": "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)), "Content-Type": "application/json",
	}
}
