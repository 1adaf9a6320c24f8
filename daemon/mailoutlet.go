package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"llamaxr/daemon/config"
	"llamaxr/dicomnet"
	"llamaxr/queue"
	"llamaxr/reporting/mail"
	"llamaxr/study"
)

const kindMail = "mail"

// MailServer is where a configuration hands mail in.
func MailServer(m config.Mail) (mail.Server, error) { return mailServer(m, m.Credentials()) }

func mailServer(m config.Mail, credentials *dicomnet.Credentials) (mail.Server, error) {
	server := mail.Server{Address: m.Server, Implicit: m.Security == config.MailTLS, User: m.User, Timeout: cmp.Or(m.Timeout, config.DefaultTimeout)}
	host, _, err := net.SplitHostPort(m.Server)
	if err != nil {
		return mail.Server{}, queue.Permanent(err)
	}
	if m.Security != config.MailNone {
		if server.TLS, err = credentials.ClientConfig(host); err != nil {
			return mail.Server{}, err
		}
	}
	server.Password, err = config.ReadSecret(m.PasswordFile)
	return server, err
}

// mailOutlet tells one address of critical findings: each address has jobs of its own, so that one that is refused holds up no other.
func (a *Appliance) mailOutlet(m config.Mail, to string) outlet {
	credentials := m.Credentials()
	first, again := slices.Contains(m.To, to), slices.Contains(m.Escalated(), to)
	return outlet{
		kind: kindMail, name: to,
		wants: func(event string) bool {
			return event == config.EventAlert && first || event == config.EventEscalated && again
		},
		send: func(ctx context.Context, n announcement, s *queue.Study, r study.Result) error {
			alert := s.AlertNumber(n.Number)
			if alert == nil {
				return queue.Permanent(fmt.Errorf("daemon: study %s has no alert %d", s.UID, n.Number))
			}
			server, err := mailServer(m, credentials)
			if err != nil {
				return err
			}
			subject, text := a.alertText(n, s.UID, alert, r, m.Patient)
			_, domain, _ := strings.Cut(m.From, "@")
			err = server.Send(ctx, mail.Message{
				ID:   n.id(to, s.UID) + "@" + domain,
				From: m.From, To: to, Subject: subject, Text: text, Time: n.Time,
			})
			var refused *mail.RefusedError
			if errors.As(err, &refused) {
				return queue.Permanent(err)
			}
			return err
		},
	}
}

// alertText is what a mail says. Without patient it holds nothing of the patient but what was found, and a link that needs a log-in.
func (a *Appliance) alertText(n announcement, uid string, alert *queue.Alert, r study.Result, patient bool) (subject, text string) {
	var b strings.Builder
	subject = "Critical finding in an AI draft: " + findingNames(alert)
	if n.Event == config.EventEscalated {
		subject = "Not acknowledged: " + subject
		fmt.Fprintf(&b, "Nobody has acknowledged this within %s. Reminder %s.\n\n", waited(alert, n.Time), n.Detail)
	}
	fmt.Fprintf(&b, "%s\n", study.DraftWarning)
	if r.Draft.Starter() {
		fmt.Fprintf(&b, "%s\n", study.StarterWarning)
	}
	b.WriteString("\n")
	for _, f := range alert.Findings {
		fmt.Fprintf(&b, "%s: score %s on the %s view\n", f.Finding, study.ShownScore(f.Score), f.View)
	}
	fmt.Fprintf(&b, "Drafted %s\n", alert.Raised.In(time.Local).Format("2006-01-02 15:04 -0700"))
	if patient && (r.Frontal != nil || r.Lateral != nil) {
		h := r.Header()
		fmt.Fprintf(&b, "\nPatient: %s, %s\nAccession number: %s\n", h.PatientName, h.PatientID, h.AccessionNumber)
	}
	fmt.Fprintf(&b, "\nLook at the study and acknowledge it:\n%s/studies/%s\n", strings.TrimRight(a.cfg().HTTPAddress, "/"), url.PathEscape(uid))
	return subject, b.String()
}
