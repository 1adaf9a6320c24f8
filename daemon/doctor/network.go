package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/textproto"
	"net/url"
	"os"
	"slices"
	"syscall"
	"time"

	"llamaxr/daemon"
	"llamaxr/daemon/config"
	"llamaxr/daemon/signon"
	"llamaxr/dicomnet"
	"llamaxr/reporting/sr"
)

// ports looks whether the appliance listens, or could.
func (v *visit) ports(ctx context.Context) {
	for _, p := range []struct{ key, address string }{{"listen", v.Config.Listen}, {"http", v.Config.HTTP}, {"hl7.listen", v.Config.HL7.Listen}} {
		switch {
		case p.address == "":
		case v.daemon != nil:
			v.reach(ctx, p.key, p.address)
		default:
			v.free(p.key, p.address)
		}
	}
}

// Port looks whether the appliance listens where studies arrive, or could.
func Port(ctx context.Context, cfg config.Config) (found Check) {
	v := &visit{Subject: Subject{Config: cfg}, report: func(c Check) { found = c }}
	if running, err := daemon.ConditionOf(cfg.State); err == nil && running != nil && running.Config.Listen == cfg.Listen {
		v.reach(ctx, "listen", cfg.Listen)
	} else {
		v.free("listen", cfg.Listen)
	}
	return found
}

// reach connects to a port of the running daemon.
func (v *visit) reach(ctx context.Context, key, address string) {
	host, port, _ := net.SplitHostPort(address)
	if port == "0" {
		return // a trial: the port is any
	}
	at := []string{address}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		at = []string{net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("::1", port)} // localhost is not a name everywhere
	}
	var err error
	for _, address := range at {
		var conn net.Conn
		if conn, err = (&net.Dialer{Timeout: toolTime}).DialContext(ctx, "tcp", address); err == nil {
			conn.Close()
			v.ok("ports", "%s: the daemon answers on %s", key, address)
			return
		}
	}
	v.fail("ports", "restart the appliance and look at its log", "%s: nobody answers on %s: %v", key, address, err)
}

// free tries to listen where the stopped appliance would.
func (v *visit) free(key, address string) {
	listener, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		listener.Close()
		v.ok("ports", "%s: %s is free", key, address)
	case errors.Is(err, syscall.EADDRINUSE):
		who := owner(address)
		v.fail("ports", fmt.Sprintf("end that program, or set another port in %s", key), "%s: %s is in use by %s", key, address, who)
	case errors.Is(err, syscall.EACCES) && os.Geteuid() != 0:
		v.warn("ports", "ask as root; where the service has no AmbientCapabilities=CAP_NET_BIND_SERVICE, take a port above 1023 (11112 is DICOM's)",
			"%s: whether %s can be had cannot be told as this user; the unit may open it", key, address)
	case errors.Is(err, syscall.EACCES):
		v.fail("ports", "take a port above 1023 (11112 is DICOM's), or give the service AmbientCapabilities=CAP_NET_BIND_SERVICE",
			"%s: %s may not be opened by this user", key, address)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		v.fail("ports", fmt.Sprintf("set an address of this machine in %s (`ip address` lists them)", key), "%s: %s is no address of this machine", key, address)
	default:
		v.fail("ports", fmt.Sprintf("set another address in %s", key), "%s: %v", key, err)
	}
}

// noFile is what to do about a file that a configuration names.
const noFile = "put the file there, readable by the service's user"

func (v *visit) certificates(context.Context) {
	all, err := daemon.Certificates(v.Config, time.Now())
	if err != nil {
		v.fail("certificates", noFile, "%v", err)
	}
	const remedy = "put a renewed certificate and key in the same files; no restart is needed"
	for _, c := range all {
		switch {
		case c.DaysLeft < 0:
			v.fail("certificates", remedy, "%s: %s expired on %s", c.Use, c.Subject, c.Expires.Format(time.DateOnly))
		case c.Early:
			v.fail("certificates", "put the one from before back until then; see that the clock is right", "%s: %s is not valid before %s", c.Use, c.Subject, c.Begins.Format(time.RFC3339))
		case c.Alarm:
			v.warn("certificates", remedy, "%s: %s expires in %d days", c.Use, c.Subject, c.DaysLeft)
		default:
			v.ok("certificates", "%s: %s, %d days left", c.Use, c.Subject, c.DaysLeft)
		}
	}
	if !v.Config.TLS.On() {
		v.warn("certificates", "set tls.certificate and tls.key, or keep the appliance on a trusted network segment", "DICOM arrives without TLS")
	}
}

// destinations asks each, and the archive, whether it is there.
func (v *visit) destinations(ctx context.Context) {
	for _, d := range v.Config.Destinations {
		took, err := EchoDestination(ctx, v.Config, d)
		if err != nil {
			v.fail("destinations", Remedy(err, v.Config.AETitle, d), "%s: %v", d, err)
			continue
		}
		v.ok("destinations", "%s answers after %s", d, took.Round(time.Millisecond))
		v.taken(ctx, d)
	}
	if archive := v.Config.Archive; archive.On() {
		d := archive.Node()
		if took, err := EchoDestination(ctx, v.Config, d); err != nil {
			v.fail("destinations", Remedy(err, v.Config.AETitle, d), "archive %s: %v", d, err)
		} else {
			v.ok("destinations", "archive %s answers after %s", d, took.Round(time.Millisecond))
		}
	}
}

// taken asks a destination by DICOM which SOP classes it takes of those that it is sent.
func (v *visit) taken(ctx context.Context, d config.Destination) {
	if d.STOW != "" {
		return
	}
	const all = "have the PACS's administrator allow it"
	remedies := map[string]string{sr.BasicTextSR: all, sr.KeyObjectSelection: all}
	heatMap := sr.SecondaryCapture
	if v.Config.HeatMap == config.HeatMapGSPS {
		heatMap = sr.GrayscaleSoftcopyPresentationState
	}
	for kind, class := range map[string]string{"scores": sr.Comprehensive3DSR, "chart": sr.SecondaryCapture, "heatmap": heatMap, "page": sr.EncapsulatedPDF} {
		if d.Takes(kind) && (kind != "page" || v.Config.PDF) {
			remedies[class] = all + ", or set leave_out of the destination"
		}
	}
	var contexts []dicomnet.ProposedContext
	for class := range remedies {
		contexts = append(contexts, dicomnet.ProposeHeaders(class, false))
	}
	client := dicomnet.Client{CallingAETitle: v.Config.AETitle, CalledAETitle: d.AETitle, TLS: d.TLS.Credentials(v.Config.TLS)}
	association, err := client.Dial(ctx, d.Address, contexts)
	if err != nil {
		v.fail("destinations", Remedy(err, v.Config.AETitle, d), "%s: %v", d, err)
		return
	}
	defer func() { _ = association.Release() }() // it was heard
	for _, class := range slices.Sorted(maps.Keys(remedies)) {
		if !association.Accepted(class, "") {
			v.fail("destinations", remedies[class], "%s does not take %s, which it is sent", d, dicomnet.StorageClasses()[class])
		}
	}
}

// EchoDestination asks a destination whether it is there, as a configuration says.
func EchoDestination(ctx context.Context, cfg config.Config, d config.Destination) (time.Duration, error) {
	if d.STOW != "" {
		return daemon.EchoWeb(ctx, daemon.WebClient(d, func(t config.ClientTLS) *dicomnet.Credentials { return t.Credentials(cfg.TLS) }))
	}
	return daemon.Echo(ctx, dicomnet.Client{CallingAETitle: cfg.AETitle, CalledAETitle: d.AETitle, TLS: d.TLS.Credentials(cfg.TLS)}, d.Address)
}

// system is another that the appliance tells something.
type system struct {
	key, address, ca string // ca is the key of who signs its certificate
	tls              *dicomnet.Credentials
}

// systems are those that take no C-ECHO.
func systems(cfg config.Config) (all []system) {
	for i, d := range cfg.HL7.Destinations {
		key := fmt.Sprintf("hl7.destinations[%d]", i)
		all = append(all, system{key + ".address", d.Address, key + ".tls.ca", d.TLS.Credentials(cfg.TLS)})
	}
	web := func(key, address, ca string, credentials *dicomnet.Credentials) {
		u, err := url.Parse(address)
		if err != nil {
			return // told by configuration
		}
		port := u.Port()
		switch {
		case u.Scheme == "http":
			credentials, port = nil, cmp.Or(port, "80")
		default:
			port = cmp.Or(port, "443")
		}
		all = append(all, system{key, net.JoinHostPort(u.Hostname(), port), ca, credentials})
	}
	for i, f := range cfg.FHIR {
		key := fmt.Sprintf("fhir[%d].server", i)
		web(key+".url", f.HTTP.URL, key+".ca", f.HTTP.Credentials())
	}
	for i, w := range cfg.Webhooks {
		key := fmt.Sprintf("webhooks[%d].target", i)
		web(key+".url", w.HTTP.URL, key+".ca", w.HTTP.Credentials())
	}
	if cfg.Audit.ByTLS() {
		t := cfg.Audit.TLS
		t.On = true
		all = append(all, system{"audit.syslog", cfg.Audit.Syslog, "audit.tls.ca", t.Credentials(cfg.TLS)})
	}
	if cfg.Tracing.Endpoint != "" {
		web("tracing.endpoint", cfg.Tracing.Endpoint, "the system's authorities", new(dicomnet.Credentials))
	}
	return all
}

// others connects to each, by TLS where it is asked for, and says nothing to it.
func (v *visit) others(ctx context.Context) {
	for _, s := range systems(v.Config) {
		within, cancel := context.WithTimeout(ctx, toolTime)
		dial := new(net.Dialer).DialContext
		if s.tls != nil {
			dial = s.tls.DialTLS
		}
		conn, err := dial(within, "tcp", s.address)
		cancel()
		if err != nil {
			remedy := cmp.Or(unreachable(err, "system", s.key, s.ca), "ask its administrator what its log says")
			v.fail("destinations", remedy, "%s: %v", s.key, err)
			continue
		}
		conn.Close()
		v.ok("destinations", "%s: %s takes connections", s.key, s.address)
	}
}

// signOn asks the OpenID provider whether it is there and knows us.
func (v *visit) signOn(ctx context.Context) {
	const name = "single sign-on"
	o := v.Config.OIDC
	if !o.On() {
		return
	}
	provider, err := signon.New(o, v.Config.HTTPAddress)
	if err != nil {
		v.fail(name, noFile, "%v", err)
		return
	}
	err = provider.Reach(ctx)
	switch remedy := unreachable(err, "provider", "oidc.issuer", "oidc.ca"); {
	case err == nil:
		v.ok(name, "%s answers and knows us as its client", o.Issuer)
	case errors.Is(err, signon.ErrClient):
		v.fail(name, "mend oidc.client_id or the secret in oidc.secret_file", "%v", err)
	case remedy != "":
		v.fail(name, remedy, "%v", err)
	default:
		v.fail(name, "set oidc.issuer to what the provider calls itself: its address without /.well-known/openid-configuration", "%v", err)
	}
}

// mail goes as far as the SMTP server takes mail.
func (v *visit) mail(ctx context.Context) {
	m := v.Config.Mail
	if !m.On() {
		return
	}
	server, err := daemon.MailServer(m)
	if err != nil {
		v.fail("mail", noFile, "%v", err)
		return
	}
	server.Timeout = min(server.Timeout, toolTime)
	err = server.Reach(ctx)
	var said *textproto.Error
	switch remedy := unreachable(err, "mail server", "mail.server", "mail.ca"); {
	case err == nil && m.Security == config.MailNone:
		v.warn("mail", "set mail.security to starttls or tls", "%s takes mail, which can be read on its way", m.Server)
	case err == nil:
		v.ok("mail", "%s takes mail", m.Server)
	case errors.As(err, &said) && (said.Code == smtpNoCredentials || said.Code == smtpTooWeak):
		v.fail("mail", "mend mail.user or the password in mail.password_file", "%v", err)
	case remedy != "":
		v.fail("mail", remedy, "%v", err)
	default:
		v.fail("mail", "see whether mail.security (starttls, tls) and mail.user are what the server offers", "%v", err)
	}
}

// Answers to a log-in (RFC 4954, 6).
const (
	smtpTooWeak       = 534
	smtpNoCredentials = 535
)

// unreachable says what to do about a server that is not reached, or whose certificate is not believed: at and ca are the keys of its address and of
// who signs it. It is empty for other errors.
func unreachable(err error, server, at, ca string) string {
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		return fmt.Sprintf("the name is not known: mend %s, or give the address", at)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("nobody listens there: see that the %s runs and that the port in %s is right", server, at)
	case errors.As(err, &unknown):
		return fmt.Sprintf("set %s to who signed the %s's certificate", ca, server)
	case errors.As(err, &name):
		return fmt.Sprintf("its certificate names another host: set %s to that name", at)
	case errors.As(err, &invalid):
		return fmt.Sprintf("have the %s's administrator renew its certificate", server)
	case errors.As(err, &record):
		return fmt.Sprintf("it does not speak TLS on that port: mend %s", at)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer: look at routes and firewalls between here and there"
	}
	return ""
}

// Remedy says what to do about a destination that does not answer.
func Remedy(err error, aeTitle string, d config.Destination) string {
	var rejected *dicomnet.RejectError
	var name x509.HostnameError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	switch {
	case errors.As(err, &rejected):
		switch [2]byte{rejected.Source, rejected.Reason} { // PS3.8, table 9-21
		case [2]byte{1, 3}:
			return fmt.Sprintf("have the PACS's administrator enter AE title %s with this machine's address", aeTitle)
		case [2]byte{1, 7}:
			return fmt.Sprintf("the PACS does not call itself %s: ask its administrator for its AE title", d.AETitle)
		}
		return "the PACS rejects associations: ask its administrator"
	case errors.As(err, &name):
		return "its certificate names another host: set the address to that name, or any_name to true"
	case errors.As(err, &record), errors.Is(err, dicomnet.ErrClosed) && d.TLS.On:
		return "it does not speak TLS on that port: set the port for TLS, or tls.on to false"
	case errors.As(err, &alert):
		return "it refuses our certificate: set tls.certificate and tls.key of the destination"
	case errors.Is(err, dicomnet.ErrClosed), errors.Is(err, syscall.ECONNRESET):
		return "it hangs up: see whether the port is one for TLS (tls.on) and whether it knows this machine's address"
	}
	if remedy := unreachable(err, "PACS", "its address", "its tls.ca"); remedy != "" {
		return remedy
	}
	return "ask the PACS's administrator what its log says"
}
