package dicomnet

import "crypto/tls"

// ServerConfig is the configuration for connections that peers open, for protocols beside DICOM.
func (c *Credentials) ServerConfig() (*tls.Config, error) { return c.server() }

// ClientConfig is the configuration for one connection to host, for protocols beside DICOM.
func (c *Credentials) ClientConfig(host string) (*tls.Config, error) { return c.client(host) }
