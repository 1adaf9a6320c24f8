package config

// Audit is where DICOM audit messages go (PS3.15, A.5 and A.6).
type Audit struct {
	Syslog   string    `yaml:"syslog" explain:"host:port of a syslog server that takes DICOM audit messages, as audit.example:6514; empty sends none. They name the patient"`
	Protocol string    `yaml:"protocol" explain:"tls (RFC 5425) or udp (RFC 5426); over udp messages can be lost and read on the way"`
	TLS      ClientTLS `yaml:"tls" explain:"TLS to the syslog server; protocol tls turns it on"`
}

// ByTLS reports whether messages go over TLS.
func (a Audit) ByTLS() bool { return a.Syslog != "" && a.Protocol == "tls" }

// clientTLS is its TLS, on where the protocol says so.
func (a Audit) clientTLS() ClientTLS {
	a.TLS.On = a.TLS.On || a.ByTLS()
	return a.TLS
}

// checkAudit reports what is wrong with it; checkTLS has looked at its TLS.
func (c Config) checkAudit(fault func(key, format string, args ...any)) {
	if c.Audit.Protocol != "tls" && c.Audit.Protocol != "udp" {
		fault("audit.protocol", "%q is neither tls nor udp", c.Audit.Protocol)
	}
	if c.Audit.Protocol == "udp" && c.Audit.TLS != (ClientTLS{}) {
		fault("audit.tls", "has settings, but protocol is udp")
	}
	if c.Audit.Syslog == "" {
		return
	}
	if err := checkAddress(c.Audit.Syslog); err != nil {
		fault("audit.syslog", "%w", err)
	}
}
