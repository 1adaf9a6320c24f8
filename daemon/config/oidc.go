package config

import (
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"llamaxr/dicomnet"
)

// Who may log in with a password of the site's own file.
const (
	PasswordsAll    = "all"
	PasswordsAdmins = "admins" // for the day on which the OpenID provider is down
	PasswordsNone   = "none"
)

// OIDC is the hospital's OpenID provider, by which people log in to the reading room.
type OIDC struct {
	Issuer     string        `yaml:"issuer" explain:"the provider's issuer, https://..., or http:// on this machine; empty is no single sign-on. It sends people back to http_address/login/oidc/back"`
	ClientID   string        `yaml:"client_id" explain:"how we are registered there"`
	SecretFile string        `yaml:"secret_file" explain:"file whose only line is the client's secret, read for each log-in; empty is a public client, which has PKCE alone"`
	CA         string        `yaml:"ca" explain:"PEM file of who signs the provider's certificate; empty is whom the system trusts"`
	Name       string        `yaml:"name" explain:"what the log-in page calls it"`
	Scopes     []string      `yaml:"scopes" explain:"what is asked for beside openid; some providers tell groups only for a scope of their own"`
	UserClaim  string        `yaml:"user_claim" explain:"claim that is the user name in the audit log; it must be one that people cannot choose for themselves"`
	Groups     string        `yaml:"groups_claim" explain:"claim with the groups, a list or one text; dots lead into objects, as in realm_access.roles"`
	Recheck    time.Duration `yaml:"recheck" explain:"how long the provider's word counts: then it is asked again by its refresh token for roles as they are now; twice as long while it cannot be asked"`
	Session    time.Duration `yaml:"session" explain:"how long somebody stays logged in, and keeps roles that he lost, where the provider gives no refresh token"`
	Roles      OIDCRoles     `yaml:"roles" explain:"which groups have which role; who is in none of them is refused"`
}

// Bounds of how long a provider is believed. The most is a session's life.
const (
	leastRecheck = time.Second
	mostRecheck  = 12 * time.Hour
)

// OIDCRoles are the groups of each role.
type OIDCRoles struct {
	Reader  []string `yaml:"reader" explain:"groups that see studies and edit drafts"`
	Signer  []string `yaml:"signer" explain:"groups that also sign and reject: physicians"`
	Trainer []string `yaml:"trainer" explain:"groups that start fine-tuning and choose adapters"`
	Admin   []string `yaml:"admin" explain:"groups that see queues, destinations and the audit log"`
}

// On reports whether people may log in by the provider.
func (o OIDC) On() bool { return o.Issuer != "" }

// Credentials are whom we believe to be the provider.
func (o OIDC) Credentials() *dicomnet.Credentials {
	return &dicomnet.Credentials{AuthoritiesFile: o.CA}
}

// checkAccess reports what is wrong with how people come in.
func (c Config) checkAccess(fault func(key, format string, args ...any)) {
	if c.HTTPAddress != "" {
		u, err := url.Parse(c.HTTPAddress)
		if err == nil {
			err = CheckWebAddress(c.HTTPAddress)
		}
		switch {
		case err != nil:
			fault("http_address", "%w", err)
		case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
			fault("http_address", "%s must end with host or port", c.HTTPAddress)
		}
	}
	switch c.Passwords {
	case PasswordsAll, PasswordsAdmins:
	case PasswordsNone:
		if !c.OIDC.On() {
			fault("local_passwords", "none without oidc lets nobody in")
		}
	default:
		fault("local_passwords", "%q is not one of %s, %s, %s", c.Passwords, PasswordsAll, PasswordsAdmins, PasswordsNone)
	}
	if c.OIDC.On() {
		c.checkOIDC(fault)
	}
}

func (c Config) checkOIDC(fault func(key, format string, args ...any)) {
	o := c.OIDC
	if err := CheckWebAddress(o.Issuer); err != nil {
		fault("oidc.issuer", "%w", err)
	}
	if c.HTTPAddress == "" || c.HTTP == "" {
		fault("oidc.issuer", "needs http and http_address: the provider sends people back there")
	}
	if o.ClientID == "" {
		fault("oidc.client_id", "is needed")
	}
	if o.UserClaim == "" {
		fault("oidc.user_claim", "is needed")
	}
	if o.Groups == "" {
		fault("oidc.groups_claim", "is needed")
	}
	if len(o.Roles.Reader)+len(o.Roles.Signer)+len(o.Roles.Trainer)+len(o.Roles.Admin) == 0 {
		fault("oidc.roles", "no group has a role: nobody would be let in")
	}
	for key, d := range map[string]time.Duration{"oidc.recheck": o.Recheck, "oidc.session": o.Session} {
		if d < leastRecheck || d > mostRecheck {
			fault(key, "%s is outside %s to %s", d, leastRecheck, mostRecheck)
		}
	}
	checkFile("oidc.secret_file", o.SecretFile, fault)
	if err := checkCredentials(o.Credentials()); err != nil {
		fault("oidc.ca", "%w", err)
	}
}

// CheckWebAddress refuses what is no https:// address, unless it is http:// on this machine.
func CheckWebAddress(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("is not an https:// address")
	case u.User != nil:
		return errors.New("must hold no password")
	case u.Scheme == "http" && !loopback(net.JoinHostPort(u.Hostname(), "1")):
		return errors.New("can be read on the network: use https")
	}
	return nil
}
