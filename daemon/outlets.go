package daemon

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

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

// openOutlets makes what the configuration names. A secret that cannot be used is said at start.
func (a *Appliance) openOutlets() error {
	for _, d := range a.cfg().HL7.Destinations {
		a.outlets = append(a.outlets, a.hl7Outlet(d))
	}
	for _, f := range a.cfg().FHIR {
		if _, err := config.ReadSecret(f.TokenFile); err != nil {
			return err
		}
		a.outlets = append(a.outlets, a.fhirOutlet(f))
	}
	for _, w := range a.cfg().Webhooks {
		if _, err := webhookSecret(w); err != nil {
			return fmt.Errorf("daemon: webhook %s: %w", w.Name, err)
		}
		a.outlets = append(a.outlets, a.webhookOutlet(w))
	}
	if m := a.cfg().Mail; m.On() {
		if _, err := config.ReadSecret(m.PasswordFile); err != nil {
			return fmt.Errorf("daemon: mail: %w", err)
		}
		for _, to := range m.Addresses() {
			a.outlets = append(a.outlets, a.mailOutlet(m, to))
		}
	}
	return nil
}

// hl7Outlet sends results as ORU^R01.
func (a *Appliance) hl7Outlet(d config.HL7Destination) outlet {
	sender := hl7.Sender{
		Application: a.cfg().HL7.Application, Facility: a.cfg().HL7.Facility, ReceivingApplication: d.Application, ReceivingFacility: d.Facility,
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
