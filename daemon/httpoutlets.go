package daemon

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"llamaxr/daemon/config"
	"llamaxr/dicomnet"
	"llamaxr/queue"
	"llamaxr/reporting/fhir"
	"llamaxr/reporting/webhook"
	"llamaxr/study"
)

// fhirOutlet sends results as transactions to a FHIR server.
func (a *Appliance) fhirOutlet(f config.FHIR) outlet {
	credentials := f.HTTP.Credentials()
	device := fhir.Device{Manufacturer: a.device.Manufacturer, Model: a.device.Model, SerialNumber: a.device.SerialNumber, SoftwareVersion: a.device.SoftwareVersion}
	return outlet{
		kind: kindFHIR, name: f.Name, results: true, wants: func(event string) bool { return resultEvent(event) && config.Sends(f.Send, event) },
		send: func(ctx context.Context, _ announcement, _ *queue.Study, r study.Result) error {
			body, err := fhir.Bundle(r, device)
			if err != nil {
				return queue.Permanent(err)
			}
			headers := map[string]string{"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}
			token, err := config.ReadSecret(f.TokenFile)
			if err != nil {
				return err
			}
			if token != "" {
				headers["Authorization"] = "Bearer " + token
			}
			return post(ctx, f.HTTP, credentials, headers, body)
		},
	}
}

// event is what a webhook is told.
type event struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      eventData `json:"data"`
}

type eventData struct {
	Study     string `json:"study_instance_uid"`
	Revision  int    `json:"revision,omitempty"`
	Signature int    `json:"signature,omitempty"`
	// Destination of a delivery, finding with its score, job that was given up.
	Destination string   `json:"destination,omitempty"`
	Finding     string   `json:"finding,omitempty"`
	Score       *float32 `json:"score,omitempty"`
	View        string   `json:"view,omitempty"`
	Job         string   `json:"job,omitempty"`
	Warning     string   `json:"warning,omitempty"`
	// Of critical findings that somebody must take note of: which, how often others were told, who did and how.
	Findings   []string `json:"findings,omitempty"`
	Escalation int      `json:"escalation,omitempty"`
	By         string   `json:"by,omitempty"` // user name
	How        string   `json:"how,omitempty"`
	// Only where the site says so.
	PatientName     string `json:"patient_name,omitempty"`
	PatientID       string `json:"patient_id,omitempty"`
	AccessionNumber string `json:"accession_number,omitempty"`
	Reason          string `json:"reason,omitempty"` // of a dead letter or a withdrawal: a peer's words may name the patient
}

// webhookOutlet tells events.
func (a *Appliance) webhookOutlet(w config.Webhook) outlet {
	credentials := w.HTTP.Credentials()
	return outlet{
		kind: kindWebhook, name: w.Name, wants: func(event string) bool { return event != config.EventAlert && config.Sends(w.Events, event) },
		send: func(ctx context.Context, n announcement, s *queue.Study, r study.Result) error {
			secret, err := webhookSecret(w)
			if err != nil {
				return err
			}
			body, err := json.Marshal(eventOf(n, s, r, w.Patient))
			if err != nil {
				return queue.Permanent(err)
			}
			return post(ctx, w.HTTP, credentials, secret.Headers("msg_"+n.id(w.Name, s.UID), time.Now(), body), body)
		},
	}
}

func webhookSecret(w config.Webhook) (webhook.Secret, error) {
	text, err := config.ReadSecret(w.SecretFile)
	if err != nil {
		return nil, err
	}
	return webhook.ParseSecret(text)
}

// eventOf is what is told of an announcement. Without patient it holds nothing of the patient but what a UID is.
func eventOf(n announcement, s *queue.Study, r study.Result, patient bool) event {
	d := eventData{Study: s.UID, Revision: n.Revision, Signature: n.Number}
	switch n.Event {
	case config.EventDelivered:
		d.Destination = n.Detail
	case config.EventCritical:
		d.Finding, d.Warning = n.Detail, study.DraftWarning
		if f, err := study.ParseFinding(n.Detail); err == nil {
			score, view := r.Draft.Scores.Combined(f)
			d.Score, d.View = &score, view.String()
		}
	case config.EventEscalated, config.EventAcknowledged:
		d.Signature, d.Warning = 0, study.DraftWarning
		alert := s.AlertNumber(n.Number)
		if alert == nil {
			break
		}
		for _, f := range alert.Findings {
			d.Findings = append(d.Findings, f.Finding.String())
		}
		if n.Event == config.EventEscalated {
			d.Escalation, _ = strconv.Atoi(n.Detail)
		} else {
			d.By, d.How = alert.By, alert.How
		}
	case config.EventDeadLetter:
		d.Job, d.Signature = n.Detail, 0
	}
	if r.Draft.Starter() {
		d.Warning = strings.TrimSpace(d.Warning + " " + study.StarterWarning)
	}
	if patient {
		d.Reason = cmp.Or(n.Reason, r.Reason)
		if r.Frontal != nil || r.Lateral != nil {
			h := r.Header()
			d.PatientName, d.PatientID, d.AccessionNumber = h.PatientName, h.PatientID, h.AccessionNumber
		}
	}
	return event{n.Event, n.Time, d}
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
