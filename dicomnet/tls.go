package dicomnet

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// The least keys of the Modified BCP 195 profile (PS3.15, annex B.13), in bits.
const (
	minRSA   = 2048
	minECDSA = 256
)

// tlsSuites are the TLS 1.2 suites that every BCP 195 profile of PS3.15 (annexes B.9 to B.13) has in common, or that its last one
// adds: ephemeral elliptic curves and authenticated encryption. TLS 1.3 has no others.
var tlsSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// Credentials are what this node shows of itself over TLS and whom it believes: PEM files that are read again when they change, so
// that a certificate is renewed without a restart. TLS 1.2 and 1.3 as PS3.15, annexes B.12 and B.13, have them.
//
// One Credentials can serve a Server and Clients at once. Its fields are not changed once in use.
type Credentials struct {
	CertificateFile string // leaf first, then what leads to the authority; a client may have none
	KeyFile         string
	AuthoritiesFile string // who signs peers' certificates; empty is those the system trusts, for clients only
	// Mutual has a server demand a certificate of every client. Without it the client stays unknown, and no Peer with Certificates
	// matches it.
	Mutual bool
	// AnyServerName has a client take any certificate of its authorities, whatever host it names: certificates of DICOM nodes are
	// often made out to the AE title or to nothing that resolves.
	AnyServerName bool
	MinVersion    uint16       // the oldest TLS spoken, tls.VersionTLS12 or VersionTLS13; 0 is 1.2
	Log           *slog.Logger // told of files that do not load; nil for nobody

	mu     sync.Mutex
	stamps [3]stamp
	loaded *loaded
	failed string // the last failure told, so that it is told once
}

// stamp is what tells one version of a file from another.
type stamp struct {
	modified time.Time
	size     int64
}

// loaded is what the files held when they were last read.
type loaded struct {
	certificate *tls.Certificate
	authorities *x509.CertPool
	server      *tls.Config
}

// Check reads the files and tells what is wrong with them.
func (c *Credentials) Check() error {
	_, err := c.read()
	return err
}

// current returns what the files hold now. When a changed file does not load, half written perhaps, what was there before serves on and
// the next call tries again.
func (c *Credentials) current() (*loaded, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var stamps [3]stamp
	for i, path := range []string{c.CertificateFile, c.KeyFile, c.AuthoritiesFile} {
		if path == "" {
			continue
		}
		if info, err := os.Stat(path); err == nil {
			stamps[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	if c.loaded != nil && stamps == c.stamps {
		return c.loaded, nil
	}
	next, err := c.read()
	switch {
	case err == nil:
		if c.loaded != nil && c.Log != nil {
			c.Log.Info("certificates loaded again", "certificate", c.CertificateFile)
		}
		c.loaded, c.stamps, c.failed = next, stamps, ""
	case c.loaded == nil:
		return nil, err
	case c.failed != err.Error():
		c.failed = err.Error()
		if c.Log != nil {
			c.Log.Error("changed certificates do not load; those from before stay in use", "error", err)
		}
	}
	return c.loaded, nil
}

func (c *Credentials) read() (*loaded, error) {
	l := &loaded{}
	if c.CertificateFile != "" {
		certificate, err := tls.LoadX509KeyPair(c.CertificateFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("dicomnet: loading certificate %s and key %s: %w", c.CertificateFile, c.KeyFile, err)
		}
		if err := strong(certificate.Leaf); err != nil {
			return nil, fmt.Errorf("dicomnet: certificate %s: %w", c.CertificateFile, err)
		}
		l.certificate = &certificate
	}
	if c.AuthoritiesFile != "" {
		pem, err := os.ReadFile(c.AuthoritiesFile)
		if err != nil {
			return nil, fmt.Errorf("dicomnet: loading authorities: %w", err)
		}
		l.authorities = x509.NewCertPool()
		if !l.authorities.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("dicomnet: no certificate in %s", c.AuthoritiesFile)
		}
	}
	l.server = c.base()
	if l.certificate != nil {
		l.server.Certificates = []tls.Certificate{*l.certificate}
	}
	if c.Mutual {
		l.server.ClientAuth, l.server.ClientCAs = tls.RequireAndVerifyClientCert, l.authorities
	}
	return l, nil
}

// base is what both sides have in common. There are no session tickets: a resumed session would live on with a certificate that has
// since been replaced or with an authority that is trusted no more.
func (c *Credentials) base() *tls.Config {
	return &tls.Config{
		MinVersion: max(c.MinVersion, tls.VersionTLS12), CipherSuites: tlsSuites, SessionTicketsDisabled: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return nil
			}
			return strong(s.PeerCertificates[0])
		},
	}
}

// server is the configuration for connections that peers open.
func (c *Credentials) server() (*tls.Config, error) {
	switch {
	case c.CertificateFile == "":
		return nil, errors.New("dicomnet: a TLS server needs a certificate")
	case c.Mutual && c.AuthoritiesFile == "": // the whole internet's authorities say nothing of a hospital's modalities
		return nil, errors.New("dicomnet: mutual TLS needs an authorities file")
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: max(c.MinVersion, tls.VersionTLS12),
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			l, err := c.current()
			if err != nil {
				return nil, err
			}
			return l.server, nil
		},
	}, nil
}

// client is the configuration for one connection to host.
func (c *Credentials) client(host string) (*tls.Config, error) {
	l, err := c.current()
	if err != nil {
		return nil, err
	}
	cfg := c.base()
	cfg.RootCAs, cfg.ServerName = l.authorities, host
	if l.certificate != nil {
		cfg.Certificates = []tls.Certificate{*l.certificate}
	}
	if c.AnyServerName {
		cfg.InsecureSkipVerify = true // the name only: the chain is verified below
		cfg.VerifyConnection = func(s tls.ConnectionState) error {
			intermediates := x509.NewCertPool()
			for _, certificate := range s.PeerCertificates[1:] {
				intermediates.AddCert(certificate)
			}
			if _, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: l.authorities, Intermediates: intermediates}); err != nil {
				return err
			}
			return strong(s.PeerCertificates[0])
		}
	}
	return cfg, nil
}

// secure makes a connection to address one with TLS.
func (c *Credentials) secure(ctx context.Context, nc net.Conn, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	cfg, err := c.client(host)
	if err == nil {
		t := tls.Client(nc, cfg)
		if err = t.HandshakeContext(ctx); err == nil {
			return t, nil
		}
		err = fmt.Errorf("dicomnet: TLS handshake with %s: %w", address, err)
	}
	nc.Close()
	return nil, err
}

// DialTLS connects to address by TLS, with what the files hold now. It fits http.Transport.DialTLSContext.
func (c *Credentials) DialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return c.secure(ctx, nc, address)
}

// ParseCertificates returns the certificates of a PEM file, passing over what is none.
func ParseCertificates(data []byte) (certificates []*x509.Certificate) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			certificates = append(certificates, certificate)
		}
	}
	return certificates
}

// strong refuses keys that PS3.15 does not allow.
func strong(certificate *x509.Certificate) error {
	bits, least := 0, 0
	switch key := certificate.PublicKey.(type) {
	case *rsa.PublicKey:
		bits, least = key.N.BitLen(), minRSA
	case *ecdsa.PublicKey:
		bits, least = key.Curve.Params().BitSize, minECDSA
	}
	if bits < least {
		return fmt.Errorf("a key of %d bits, PS3.15 asks for %d at least", bits, least)
	}
	return nil
}
