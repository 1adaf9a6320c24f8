package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"llamaxr/dicomnet"
	"llamaxr/study"
)

// HL7 is the exchange of results with a radiology information system by HL7 v2.5.1 over MLLP.
type HL7 struct {
	Application  string           `yaml:"application" explain:"how we name ourselves in messages (MSH-3)"`
	Facility     string           `yaml:"facility" explain:"the hospital's name in messages (MSH-4); may be empty"`
	Destinations []HL7Destination `yaml:"destinations" explain:"where results are sent as ORU^R01"`
	Listen       string           `yaml:"listen" explain:"host:port where final results of a RIS are taken as corrections; empty is off"`
	Peers        []string         `yaml:"peers" explain:"addresses or ranges (10.1.0.0/16) that may send results; needed for another address than loopback"`
	TLS          TLS              `yaml:"tls" explain:"TLS for connections that senders of results open to us"`
	Connections  int              `yaml:"connections" explain:"connections at once; one more is closed"`
	IdleTime     time.Duration    `yaml:"idle_time" explain:"a connection without a message for this long is closed"`
}

// HL7Destination is one receiver of ORU^R01 messages.
type HL7Destination struct {
	Name        string        `yaml:"name" explain:"its name in the queue and the log; letters, digits, dot, dash and underscore"`
	Address     string        `yaml:"address" explain:"its host:port"`
	Application string        `yaml:"application" explain:"how it is named in messages (MSH-5)"`
	Facility    string        `yaml:"facility" explain:"its facility (MSH-6)"`
	Send        []string      `yaml:"send" explain:"which of draft, signed, correction, withdrawn; empty is all"`
	Timeout     time.Duration `yaml:"timeout" explain:"how long an acknowledgement is waited for; empty is 30s"`
	TLS         ClientTLS     `yaml:"tls" explain:"TLS to it"`
}

// HTTPTarget is where results or events are sent by HTTP.
type HTTPTarget struct {
	URL         string        `yaml:"url" explain:"https://..., or http:// to this machine"`
	Plain       bool          `yaml:"plain_http" explain:"true allows http:// to another machine: what is sent can be read on its way"`
	CA          string        `yaml:"ca" explain:"PEM file of who signs its certificate; empty is whom the system trusts"`
	Certificate string        `yaml:"certificate" explain:"PEM file of the certificate we show; empty is none"`
	Key         string        `yaml:"key" explain:"PEM file of its private key"`
	Timeout     time.Duration `yaml:"timeout" explain:"how long an answer is waited for; empty is 30s"`
}

// FHIR is a server that gets results as FHIR R4 resources.
type FHIR struct {
	Name      string     `yaml:"name" explain:"its name in the queue and the log"`
	HTTP      HTTPTarget `yaml:"server" explain:"the server's base URL, as in https://fhir.example/r4"`
	TokenFile string     `yaml:"token_file" explain:"file with a bearer token, read for each request; empty is none"`
	Send      []string   `yaml:"send" explain:"which of draft, signed, correction, withdrawn; empty is all"`
}

// Webhook is told of events in JSON.
type Webhook struct {
	Name       string     `yaml:"name" explain:"its name in the queue and the log"`
	HTTP       HTTPTarget `yaml:"target" explain:"where the events go"`
	SecretFile string     `yaml:"secret_file" explain:"file with the secret that events are signed with (Standard Webhooks, whsec_...); made by llamaxr config secret"`
	Events     []string   `yaml:"events" explain:"which of draft, signed, correction, withdrawn, delivered, critical finding, critical finding escalated, critical finding acknowledged, dead letter; empty is all"`
	Patient    bool       `yaml:"patient" explain:"true adds the patient's name and number and the accession number; without it only UIDs are told"`
}

// Events that are no results.
const (
	EventDelivered  = "delivered"        // a draft or a signed report is at a DICOM destination
	EventCritical   = "critical finding" // a draft has a finding of critical_findings
	EventDeadLetter = "dead letter"      // a job was given up

	EventEscalated    = "critical finding escalated"    // nobody has taken note of it in time
	EventAcknowledged = "critical finding acknowledged" // somebody has
	EventAlert        = "critical alert"                // all critical findings of a draft in one; for mail only
)

// DefaultTimeout is how long an answer to a result is waited for.
const DefaultTimeout = 30 * time.Second

// maxTimeout keeps a delivery within the lease of its job.
const maxTimeout = 2 * time.Minute

func resultEvents() (out []string) {
	for _, s := range study.ResultStatuses() {
		out = append(out, string(s))
	}
	return out
}

// Sends reports whether an event is among those that are sent; an empty list is all.
func Sends(list []string, event string) bool { return len(list) == 0 || slices.Contains(list, event) }

// outletName keeps names apart from the other parts of a job's identifier.
var outletName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,32}$`)

// checkResults reports what is wrong with where results go and come from.
func (c Config) checkResults(fault func(key, format string, args ...any)) {
	names := map[string]bool{}
	outlet := func(key, kind, name string, timeout time.Duration, events, allowed []string) {
		if !outletName.MatchString(name) {
			fault(key+".name", "%q is not 1 to 32 letters, digits, dots, dashes and underscores", name)
		}
		if names[kind+name] {
			fault(key+".name", "%s is used twice", name)
		}
		names[kind+name] = true
		if timeout < 0 || timeout > maxTimeout {
			fault(key+".timeout", "%s is outside 0 to %s", timeout, maxTimeout)
		}
		for _, e := range events {
			if !slices.Contains(allowed, e) {
				fault(key, "%q is not one of %s", e, strings.Join(allowed, ", "))
			}
		}
	}
	for i, d := range c.HL7.Destinations {
		key := fmt.Sprintf("hl7.destinations[%d]", i)
		outlet(key, "hl7 ", d.Name, d.Timeout, d.Send, resultEvents())
		if err := checkAddress(d.Address); err != nil {
			fault(key+".address", "%w", err)
		}
	}
	for i, f := range c.FHIR {
		key := fmt.Sprintf("fhir[%d]", i)
		outlet(key, "fhir ", f.Name, f.HTTP.Timeout, f.Send, resultEvents())
		f.HTTP.check(key+".server", fault)
		checkFile(key+".token_file", f.TokenFile, fault)
	}
	for i, w := range c.Webhooks {
		key := fmt.Sprintf("webhooks[%d]", i)
		outlet(key, "webhook ", w.Name, w.HTTP.Timeout, w.Events, append(resultEvents(), EventDelivered, EventCritical, EventEscalated, EventAcknowledged, EventDeadLetter))
		w.HTTP.check(key+".target", fault)
		if w.SecretFile == "" {
			fault(key+".secret_file", "is needed: an event without a signature can come from anybody")
		}
		checkFile(key+".secret_file", w.SecretFile, fault)
	}
	c.HL7.check(fault)
	c.checkMail(fault)
}

func (h HL7) check(fault func(key, format string, args ...any)) {
	if h.Listen == "" {
		return
	}
	if err := checkAddress(h.Listen); err != nil {
		fault("hl7.listen", "%w", err)
	} else if len(h.Peers) == 0 && !loopback(h.Listen) {
		fault("hl7.peers", "%s can be reached from the network: name who may send results", h.Listen)
	}
	for i, text := range h.Peers {
		if _, err := parsePrefix(text); err != nil {
			fault(fmt.Sprintf("hl7.peers[%d]", i), "%w", err)
		}
	}
	if h.Connections < 1 || h.Connections > 1000 {
		fault("hl7.connections", "%d is outside 1 to 1000", h.Connections)
	}
	if h.IdleTime < time.Second || h.IdleTime > 24*time.Hour {
		fault("hl7.idle_time", "%s is outside 1s to 24h", h.IdleTime)
	}
}

// Prefixes are the peers of a configuration that passed Check.
func (h HL7) Prefixes() (out []netip.Prefix) {
	for _, text := range h.Peers {
		if p, err := parsePrefix(text); err == nil {
			out = append(out, p)
		}
	}
	return out
}

func (t HTTPTarget) check(key string, fault func(key, format string, args ...any)) {
	u, err := url.Parse(t.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		fault(key+".url", "is not an https:// or http:// address") // it may hold a secret
		return
	case u.User != nil:
		fault(key+".url", "must hold no password; use a file")
	case u.Scheme == "http" && !t.Plain && !loopback(u.Hostname()+":1"):
		fault(key+".url", "sends over the network in the clear: use https, or set plain_http")
	}
	if (t.Certificate == "") != (t.Key == "") {
		fault(key+".certificate", "certificate and key go together")
	} else if u.Scheme == "https" {
		if err := checkCredentials(t.Credentials()); err != nil {
			fault(key, "%w", err)
		}
	}
}

// Credentials are what an HTTP client shows and believes.
func (t HTTPTarget) Credentials() *dicomnet.Credentials {
	return &dicomnet.Credentials{CertificateFile: t.Certificate, KeyFile: t.Key, AuthoritiesFile: t.CA}
}

func checkFile(key, path string, fault func(key, format string, args ...any)) {
	if path == "" || elsewhere(path) {
		return
	}
	if _, err := os.Stat(path); err != nil {
		fault(key, "%w", err)
	}
}
