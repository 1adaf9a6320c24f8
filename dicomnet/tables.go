package dicomnet

import (
	"crypto/tls"
	"maps"
	"slices"
)

// StorageClasses are the Storage SOP classes that AcceptStorage takes, UID to name.
func StorageClasses() map[string]string { return maps.Clone(storageClasses) }

// TransferSyntaxes are those that AcceptStorage takes, the best first.
func TransferSyntaxes() []string { return slices.Clone(transferSyntaxes) }

// HeaderSyntaxes are those that are proposed and taken for data sets without pixels, the best first.
func HeaderSyntaxes() []string { return slices.Clone(headerSyntaxes) }

// TLSSuites names the cipher suites of TLS 1.2 that are spoken; TLS 1.3 has its own.
func TLSSuites() (names []string) {
	for _, suite := range tlsSuites {
		names = append(names, tls.CipherSuiteName(suite))
	}
	return names
}
