package config

import (
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"llamaxr/dicomnet"
)

// TLS is what we show of ourselves and whom we believe, for associations that peers open to us (PS3.15, annexes B.12 and B.13).
type TLS struct {
	Certificate string `yaml:"certificate" explain:"PEM file of our certificate, leaf first; empty is plain DICOM without TLS"`
	Key         string `yaml:"key" explain:"PEM file of its private key"`
	ClientCA    string `yaml:"client_ca" explain:"PEM file of who signs peers' certificates; when set, a peer that shows none of them is refused (mutual TLS)"`
	MinVersion  string `yaml:"minimum_version" explain:"1.2 or 1.3: the oldest TLS that is spoken"`
}

// On reports whether peers must speak TLS.
func (t TLS) On() bool { return t.Certificate != "" }

// Credentials are what the DICOM server needs of t, nil for plain TCP.
func (t TLS) Credentials() *dicomnet.Credentials {
	if !t.On() {
		return nil
	}
	return &dicomnet.Credentials{
		CertificateFile: t.Certificate, KeyFile: t.Key, AuthoritiesFile: t.ClientCA, Mutual: t.ClientCA != "", MinVersion: tlsVersion(t.MinVersion),
	}
}

// tlsVersion reads a version that was checked.
func tlsVersion(text string) uint16 {
	if text == "1.3" {
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}

// ClientTLS is TLS for associations that we open.
type ClientTLS struct {
	On          bool   `yaml:"on" explain:"true speaks TLS to this node"`
	CA          string `yaml:"ca" explain:"PEM file of who signs its certificate; empty is whom the system trusts"`
	Certificate string `yaml:"certificate" explain:"PEM file of the certificate we show; empty is that of tls.certificate, if there is one"`
	Key         string `yaml:"key" explain:"PEM file of its private key"`
	AnyName     bool   `yaml:"any_name" explain:"true takes any certificate that ca signed, whatever host it names"`
	MinVersion  string `yaml:"minimum_version" explain:"1.2 or 1.3: the oldest TLS that is spoken; empty is 1.2"`
}

// Credentials are what a DICOM client needs of t, nil for plain TCP. own is what our server shows.
func (t ClientTLS) Credentials(own TLS) *dicomnet.Credentials {
	if !t.On {
		return nil
	}
	if t.Certificate == "" {
		t.Certificate, t.Key = own.Certificate, own.Key
	}
	return &dicomnet.Credentials{
		CertificateFile: t.Certificate, KeyFile: t.Key, AuthoritiesFile: t.CA, AnyServerName: t.AnyName, MinVersion: tlsVersion(t.MinVersion),
	}
}

// Peer is somebody who may open associations to us. Whoever matches none of the peers is refused.
type Peer struct {
	AETitle      string   `yaml:"ae_title" explain:"its calling AE title; empty is any"`
	Addresses    []string `yaml:"addresses" explain:"where it calls from: addresses or ranges (10.1.0.0/16); empty is anywhere"`
	Certificates []string `yaml:"certificates" explain:"SHA-256 fingerprints, common names or DNS names of the certificates it may show; empty is any that tls.client_ca signed"`
	Associations int      `yaml:"associations" explain:"associations that it may hold at once; 0 is no limit but limits.associations"`
	Rate         int      `yaml:"associations_per_minute" explain:"associations that it may open in a minute; 0 is no limit"`
	ByteRate     int64    `yaml:"bytes_per_second" explain:"bytes of images taken from it in a second, over all its associations; what is more waits; 0 is no limit"`
	ObjectBytes  int64    `yaml:"object_bytes" explain:"longest object taken from it, in bytes; 0 is no limit but the standard's 4 GiB"`
	ResultsTo    string   `yaml:"results_to" explain:"host:port where it takes results of storage commitment; empty is where the destination of its AE title is, or else the association on which it asked"`

	TLS ClientTLS `yaml:"tls" explain:"TLS to results_to"`
}

// maxByteRate bounds bytes_per_second, to what no network line passes.
const maxByteRate = 100 << 30

// maxRate bounds associations_per_minute; a modality that opens one for every image is far below.
const maxRate = 100_000

func peerKey(i int) string { return fmt.Sprintf("peers[%d]", i) }

// Peers are the server's entries for a checked configuration.
func (c Config) peers() (peers []dicomnet.Peer, faults []error) {
	for i, p := range c.Peers {
		key := peerKey(i)
		fault := func(sub, format string, args ...any) {
			faults = append(faults, fmt.Errorf("configuration: %s.%s: "+format, append([]any{key, sub}, args...)...))
		}
		peer := dicomnet.Peer{
			AETitle: p.AETitle, Certificates: p.Certificates, MaxAssociations: p.Associations, MaxRate: p.Rate,
			MaxByteRate: p.ByteRate, MaxObjectLength: p.ObjectBytes,
		}
		if p.AETitle != "" {
			if err := checkAETitle(p.AETitle); err != nil {
				fault("ae_title", "%w", err)
			}
		} else if len(p.Addresses)+len(p.Certificates) == 0 {
			fault("ae_title", "a peer without title, addresses and certificates is everybody; leave peers empty for that")
		}
		for j, text := range p.Addresses {
			prefix, err := parsePrefix(text)
			if err != nil {
				fault(fmt.Sprintf("addresses[%d]", j), "%w", err)
			}
			peer.Addresses = append(peer.Addresses, prefix)
		}
		for j, text := range p.Certificates {
			if err := checkCertificateName(text); err != nil {
				fault(fmt.Sprintf("certificates[%d]", j), "%w", err)
			}
		}
		if len(p.Certificates) > 0 && c.TLS.ClientCA == "" {
			fault("certificates", "need tls.client_ca: without it no peer is asked for a certificate")
		}
		for sub, value := range map[string][2]int64{
			"associations": {int64(p.Associations), 10000}, "associations_per_minute": {int64(p.Rate), maxRate}, "bytes_per_second": {p.ByteRate, maxByteRate},
			"object_bytes": {p.ObjectBytes, dicomnet.DefaultMaxObjectLength},
		} {
			if value[0] < 0 || value[0] > value[1] {
				fault(sub, "%d is outside 0 to %d", value[0], value[1])
			}
		}
		peers = append(peers, peer)
	}
	return peers, faults
}

// ServerPeers are the entries of a configuration that passed Check.
func (c Config) ServerPeers() []dicomnet.Peer {
	peers, _ := c.peers()
	return peers
}

// parsePrefix reads an address or a range.
func parsePrefix(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return prefix, fmt.Errorf("%q is neither an address nor a range such as 10.1.0.0/16", text)
	}
	if prefix.Masked() != prefix {
		return prefix, fmt.Errorf("%q has bits beyond its length; %s is meant?", text, prefix.Masked())
	}
	return prefix, nil
}

// checkCertificateName tells a fingerprint that was copied wrong from a name.
func checkCertificateName(text string) error {
	bare := strings.ReplaceAll(text, ":", "")
	raw, err := hex.DecodeString(bare)
	switch {
	case text == "":
		return fmt.Errorf("a certificate needs a fingerprint or a name")
	case err == nil && len(raw) >= 16 && len(raw) != 32:
		return fmt.Errorf("%q is a fingerprint of %d bytes; SHA-256 has 32", text, len(raw))
	case err != nil && strings.Count(text, ":") > 1:
		return fmt.Errorf("%q is no fingerprint: it must be hexadecimal", text)
	}
	return nil
}

// checkTLS reports what is wrong with the TLS keys, reading the files that they name.
func (c Config) checkTLS(fault func(key, format string, args ...any)) {
	version := func(key, text string, empty bool) {
		if text != "1.2" && text != "1.3" && !(empty && text == "") {
			fault(key+".minimum_version", "%q is not one of 1.2, 1.3", text)
		}
	}
	for key, t := range map[string]TLS{"tls": c.TLS, "hl7.tls": c.HL7.TLS} {
		version(key, t.MinVersion, false)
		switch {
		case t.On() != (t.Key != ""):
			fault(key, "certificate and key go together")
		case !t.On() && t.ClientCA != "":
			fault(key+".client_ca", "needs %[1]s.certificate and %[1]s.key", key)
		case t.On():
			if err := checkCredentials(t.Credentials()); err != nil {
				fault(key, "%w", err)
			}
		}
	}
	for key, t := range c.clientTLS() {
		version(key, t.MinVersion, true)
		switch {
		case !t.On && t != (ClientTLS{}):
			fault(key, "has settings, but on is not true")
		case (t.Certificate != "") != (t.Key != ""):
			fault(key, "certificate and key go together")
		case t.On:
			if err := checkCredentials(t.Credentials(c.TLS)); err != nil {
				fault(key, "%w", err)
			}
		}
	}
}

// check reports what is wrong with a destination.
func (d Destination) check(fault func(sub, format string, args ...any)) {
	for i, kind := range d.LeaveOut {
		if !slices.Contains(leavable, kind) {
			fault(fmt.Sprintf("leave_out[%d]", i), "%q is not one of %s", kind, strings.Join(leavable, ", "))
		}
	}
	if d.STOW == "" {
		if err := checkAETitle(d.AETitle); err != nil {
			fault("ae_title", "%w", err)
		}
		if err := checkAddress(d.Address); err != nil {
			fault("address", "%w", err)
		}
		if d.TokenFile != "" {
			fault("token_file", "is for stow")
		}
		return
	}
	u, err := url.Parse(d.STOW)
	switch {
	case d.AETitle != "" || d.Address != "":
		fault("stow", "takes the place of ae_title and address")
	case d.Commit:
		fault("storage_commitment", "is asked of a PACS by DICOM, not of stow")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		fault("stow", "%q is not an address such as https://pacs.example/dicom-web", d.STOW)
	case u.Scheme == "http" && d.TLS != (ClientTLS{}):
		fault("stow", "%s is without TLS, and tls has settings", d.STOW)
	case u.Scheme == "http" && d.TokenFile != "" && !loopback(net.JoinHostPort(u.Hostname(), "0")):
		fault("token_file", "the token could be read on the way to %s: use https", d.STOW)
	}
	checkFile("token_file", d.TokenFile, fault)
}

// clientTLS are the TLS settings of all nodes that we open associations to, by key.
func (c Config) clientTLS() map[string]ClientTLS {
	all := map[string]ClientTLS{"audit.tls": c.Audit.clientTLS(), "archive.tls": c.Archive.TLS}
	for i, d := range c.Destinations {
		t := d.TLS
		t.On = t.On || strings.HasPrefix(d.STOW, "https:")
		all[fmt.Sprintf("destinations[%d].tls", i)] = t
	}
	for i, p := range c.Peers {
		all[peerKey(i)+".tls"] = p.TLS
	}
	for i, d := range c.HL7.Destinations {
		all[fmt.Sprintf("hl7.destinations[%d].tls", i)] = d.TLS
	}
	return all
}

// Certificate is a certificate that a configuration rests on.
type Certificate struct {
	Use     string    `json:"use"` // the key that names its file
	Subject string    `json:"subject"`
	Begins  time.Time `json:"begins"`
	Expires time.Time `json:"expires"`
}

// Certificates reads all that the TLS keys name, as the files are now. A file that cannot be read, or holds none, is an error; the others are
// returned.
func (c Config) Certificates() (all []Certificate, err error) {
	files := map[string]string{
		"tls.certificate": c.TLS.Certificate, "tls.client_ca": c.TLS.ClientCA, "http_certificate": c.HTTPCert,
		"hl7.tls.certificate": c.HL7.TLS.Certificate, "hl7.tls.client_ca": c.HL7.TLS.ClientCA, "oidc.ca": c.OIDC.CA, "mail.ca": c.Mail.CA,
	}
	target := func(key string, t HTTPTarget) { files[key+".certificate"], files[key+".ca"] = t.Certificate, t.CA }
	for i, f := range c.FHIR {
		target(fmt.Sprintf("fhir[%d].server", i), f.HTTP)
	}
	for i, w := range c.Webhooks {
		target(fmt.Sprintf("webhooks[%d].target", i), w.HTTP)
	}
	for key, t := range c.clientTLS() {
		if t.On {
			files[key+".certificate"], files[key+".ca"] = t.Certificate, t.CA
		}
	}
	for use, path := range files {
		if path == "" || elsewhere(path) {
			continue
		}
		data, readErr := os.ReadFile(path)
		found := dicomnet.ParseCertificates(data)
		if readErr == nil && len(found) == 0 {
			readErr = fmt.Errorf("no certificate in %s", path)
		}
		if readErr != nil {
			err = errors.Join(err, fmt.Errorf("configuration: %s: %w", use, readErr))
			continue
		}
		for _, certificate := range found {
			all = append(all, Certificate{use, certificate.Subject.String(), certificate.NotBefore, certificate.NotAfter})
		}
	}
	return all, err
}
