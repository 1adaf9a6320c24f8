package daemon

import (
	"context"
	"math"
	"slices"
	"time"

	"llamaxr/daemon/config"
)

const (
	// expiryAlarm is how long before its end a certificate is warned of: renewing one takes a hospital weeks.
	expiryAlarm = 30 * 24 * time.Hour
	// expiryInterval is how often the certificates are looked at, and how often the log says the same again.
	expiryInterval = 24 * time.Hour
)

// CertificateStatus is one certificate as /healthz shows it.
type CertificateStatus struct {
	config.Certificate
	DaysLeft int  `json:"days_left"` // whole days, negative when it has expired
	Early    bool `json:"early"`     // it is not valid yet: nobody believes it
	Alarm    bool `json:"alarm"`     // fewer than 30 days are left, or it is early
}

// certificates are those of the configuration in force.
func (a *Appliance) certificates(now time.Time) ([]CertificateStatus, error) {
	return Certificates(*a.cfg(), now)
}

// Certificates are all that a configuration names, the one that ends first in front.
func Certificates(cfg config.Config, now time.Time) ([]CertificateStatus, error) {
	named, err := cfg.Certificates()
	var all []CertificateStatus
	for _, c := range named {
		left := c.Expires.Sub(now)
		early := now.Before(c.Begins)
		all = append(all, CertificateStatus{c, int(math.Floor(left.Hours() / 24)), early, early || left < expiryAlarm})
	}
	slices.SortFunc(all, func(x, y CertificateStatus) int { return x.Expires.Compare(y.Expires) })
	return all, err
}

// watchCertificates warns of certificates that end soon, now and once a day, until ctx is cancelled.
func (a *Appliance) watchCertificates(ctx context.Context) {
	for {
		all, err := a.certificates(time.Now())
		if err != nil {
			a.log.Error("looking at certificates", "error", err)
		}
		for _, c := range all {
			switch {
			case c.DaysLeft < 0:
				a.log.Error("a certificate has expired", "use", c.Use, "subject", c.Subject, "expired", c.Expires)
			case c.Early:
				a.log.Error("a certificate is not valid yet", "use", c.Use, "subject", c.Subject, "begins", c.Begins)
			case c.Alarm:
				a.log.Warn("a certificate expires soon", "use", c.Use, "subject", c.Subject, "expires", c.Expires, "days_left", c.DaysLeft)
			}
		}
		if !pause(ctx, expiryInterval) {
			return
		}
	}
}
