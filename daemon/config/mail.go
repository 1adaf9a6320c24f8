package config

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"llamaxr/dicomnet"
)

// How mail is secured on its way to the server.
const (
	MailSTARTTLS = "starttls"
	MailTLS      = "tls" // from the first byte
	MailNone     = "none"
)

// Mail is how people are told of critical findings by e-mail.
type Mail struct {
	Server       string        `yaml:"server" explain:"host:port of the SMTP server; empty sends no mail"`
	Security     string        `yaml:"security" explain:"starttls, tls (from the first byte, port 465) or none: what is sent can be read on its way"`
	CA           string        `yaml:"ca" explain:"PEM file of who signs the server's certificate; empty is whom the system trusts"`
	User         string        `yaml:"user" explain:"user name at the server; empty shows none"`
	PasswordFile string        `yaml:"password_file" explain:"file whose only line is the password, read for each mail"`
	From         string        `yaml:"from" explain:"address that the mails come from"`
	To           []string      `yaml:"to" explain:"addresses that are told of each critical finding at once"`
	EscalateTo   []string      `yaml:"escalate_to" explain:"addresses that are told when nobody has taken note; empty is those of to again"`
	Patient      bool          `yaml:"patient" explain:"true adds the patient's name and number and the accession number; without it a mail has a link and what was found"`
	Timeout      time.Duration `yaml:"timeout" explain:"how long the server is waited for; empty is 30s"`
}

// Escalation is what happens when nobody takes note of a critical finding.
type Escalation struct {
	After time.Duration `yaml:"after" reload:"yes" explain:"how long somebody has to take note before mail.escalate_to and webhooks are told, and between repeats; 0s never tells"`
	Times int           `yaml:"times" reload:"yes" explain:"how often they are told at most"`
}

// Bounds of escalation.
const (
	leastEscalation = time.Second
	mostEscalation  = 7 * 24 * time.Hour
	mostEscalations = 100
)

// mailAddress is a plain address that can be part of a job's identifier.
var mailAddress = regexp.MustCompile(`^[A-Za-z0-9.!#$%&'*+=?^_{|}~-]{1,64}@[A-Za-z0-9.-]{1,189}$`)

// On reports whether mail is sent.
func (m Mail) On() bool { return m.Server != "" }

// Escalated are the addresses that are told when nobody has taken note.
func (m Mail) Escalated() []string {
	if len(m.EscalateTo) == 0 {
		return m.To
	}
	return m.EscalateTo
}

// Addresses are all that are told of something, each once.
func (m Mail) Addresses() (out []string) {
	for _, address := range slices.Concat(m.To, m.EscalateTo) {
		if !slices.Contains(out, address) {
			out = append(out, address)
		}
	}
	return out
}

// Credentials are whom we believe to be the server.
func (m Mail) Credentials() *dicomnet.Credentials {
	return &dicomnet.Credentials{AuthoritiesFile: m.CA}
}

// checkMail reports what is wrong with how people are told of critical findings.
func (c Config) checkMail(fault func(key, format string, args ...any)) {
	e := c.Escalation
	if e.After != 0 && (e.After < leastEscalation || e.After > mostEscalation) {
		fault("escalation.after", "%s is neither 0s nor within %s to %s", e.After, leastEscalation, mostEscalation)
	}
	if e.Times < 0 || e.Times > mostEscalations {
		fault("escalation.times", "%d is outside 0 to %d", e.Times, mostEscalations)
	}
	m := c.Mail
	if !m.On() {
		return
	}
	if err := checkAddress(m.Server); err != nil {
		fault("mail.server", "%w", err)
	}
	if c.HTTPAddress == "" || c.HTTP == "" {
		fault("mail.server", "needs http_address and http: a mail has a link to the study")
	}
	clear := m.Security == MailNone && !loopback(m.Server)
	switch {
	case m.Security != MailSTARTTLS && m.Security != MailTLS && m.Security != MailNone:
		fault("mail.security", "%q is not one of %s, %s, %s", m.Security, MailSTARTTLS, MailTLS, MailNone)
	case m.Security == MailNone && m.User != "":
		fault("mail.user", "a password needs starttls or tls")
	case clear && m.Patient:
		fault("mail.patient", "names patients on the network in the clear: use starttls or tls")
	}
	if (m.User == "") != (m.PasswordFile == "") {
		fault("mail.user", "user and password_file go together")
	}
	checkFile("mail.password_file", m.PasswordFile, fault)
	if err := checkCredentials(m.Credentials()); err != nil {
		fault("mail.ca", "%w", err)
	}
	if m.Timeout < 0 || m.Timeout > maxTimeout {
		fault("mail.timeout", "%s is outside 0 to %s", m.Timeout, maxTimeout)
	}
	if len(m.To) == 0 {
		fault("mail.to", "nobody is told")
	}
	address := func(key, text string) {
		if !mailAddress.MatchString(text) {
			fault(key, "%q is not an address", text)
		}
	}
	address("mail.from", m.From)
	for i, text := range m.To {
		address(fmt.Sprintf("mail.to[%d]", i), text)
	}
	for i, text := range m.EscalateTo {
		address(fmt.Sprintf("mail.escalate_to[%d]", i), text)
	}
}
