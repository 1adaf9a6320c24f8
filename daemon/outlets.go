package daemon

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"llamaxr/daemon/config"
	"llamaxr/dicomnet"
	"llamaxr/queue"
	"llamaxr/reporting/hl7"
	"llamaxr/study"
)

// Kinds of jobs that tell other systems.
const (
	kindHL7     = "hl7"
	kindFHIR    = "fhir"
	kindWebhook = "webhook"
)

// openOutlets makes what the configuration names.
func (a *Appliance) openOutlets() {
	for _, d := range a.cfg.HL7.Destinations {
		a.outlets = append(a.outlets, a.hl7Outlet(d))
	}
}

// hl7Outlet sends results as ORU^R01.
func (a *Appliance) hl7Outlet(d config.HL7Destination) outlet {
	sender := hl7.Sender{
		Application: a.cfg.HL7.Application, Facility: a.cfg.HL7.Facility, ReceivingApplication: d.Application, ReceivingFacility: d.Facility,
		Equipment: a.device.SerialNumber,
	}
	return outlet{
		kind: kindHL7, name: d.Name, results: true, wants: func(event string) bool { return resultEvent(event) && config.Sends(d.Send, event) },
		send: func(ctx context.Context, _ announcement, _ *queue.Study, r study.Result) error {
			client := hl7.Client{Address: d.Address, Timeout: cmp.Or(d.Timeout, config.DefaultTimeout)}
			var err error
			if client.TLS, err = clientTLS(a.credentials.of(d.TLS), d.Address); err != nil {
				return err
			}
			err = client.Send(ctx, sender.Message(r))
			var ack *hl7.AckError
			if errors.As(err, &ack) && ack.Permanent() {
				return queue.Permanent(err)
			}
			return err
		},
	}
}

func resultEvent(event string) bool {
	for _, s := range study.ResultStatuses() {
		if string(s) == event {
			return true
		}
	}
	return false
}

// clientTLS is the configuration for a connection to an address, nil for plain TCP.
func clientTLS(c *dicomnet.Credentials, address string) (*tls.Config, error) {
	if c == nil {
		return nil, nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return c.ClientConfig(host)
}

// maxReply bounds what is read of an HTTP answer: its status is what counts.
const maxReply = 64 << 10

// post sends a body to an HTTP target. An answer that says that the same request will never do is permanent.
func post(ctx context.Context, t config.HTTPTarget, credentials *dicomnet.Credentials, headers map[string]string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(t.Timeout, config.DefaultTimeout))
	defer cancel()
	u, err := url.Parse(t.URL)
	if err != nil {
		return queue.Permanent(errors.New("daemon: the address is none"))
	}
	transport := &http.Transport{DisableKeepAlives: true, Proxy: nil}
	if u.Scheme == "https" {
		if transport.TLSClientConfig, err = credentials.ClientConfig(u.Hostname()); err != nil {
			return err
		}
	}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL, bytes.NewReader(body))
	if err != nil {
		return queue.Permanent(errors.New("daemon: the address is none"))
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	answer, err := client.Do(request)
	if err != nil {
		var failed *url.Error // its text holds the address, which may hold a secret
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return fmt.Errorf("daemon: sending to %s: %w", u.Host, err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxReply))
	return httpStatus(u.Host, answer.StatusCode)
}

// httpStatus is the one place where an HTTP status becomes done, again or never. A server that does not let us in may do so once a token is
// renewed.
func httpStatus(host string, status int) error {
	if status >= 200 && status < 300 {
		return nil
	}
	err := fmt.Errorf("daemon: %s answered %d %s", host, status, http.StatusText(status))
	switch {
	case status >= 500, status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusRequestTimeout,
		status == http.StatusConflict, status == http.StatusTooEarly, status == http.StatusTooManyRequests:
		return err
	}
	return queue.Permanent(err)
}

// maxSecret bounds a file with a token or a secret.
const maxSecret = 16 << 10

// readSecret reads a token or a secret; an empty path gives an empty one.
func readSecret(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("daemon: secret: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxSecret))
	if err != nil {
		return "", fmt.Errorf("daemon: secret: %w", err)
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" || strings.ContainsAny(secret, "\r\n") {
		return "", fmt.Errorf("daemon: secret: %s must hold one line", path)
	}
	return secret, nil
}
