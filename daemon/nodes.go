package daemon

import (
	"log/slog"
	"sync"

	"llamaxr/daemon/config"
	"llamaxr/dicomnet"
)

// credentials keeps what is shown to other nodes over TLS, one for each setting: certificates are read again when their files change, and
// those from before serve on while a changed file does not load.
type credentials struct {
	log *slog.Logger
	own config.TLS

	mu    sync.Mutex
	known map[config.ClientTLS]*dicomnet.Credentials
}

// of returns what a node is shown, nil for plain TCP.
func (c *credentials) of(t config.ClientTLS) *dicomnet.Credentials {
	if !t.On {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known[t] == nil {
		if c.known == nil {
			c.known = map[config.ClientTLS]*dicomnet.Credentials{}
		}
		c.known[t] = t.Credentials(c.own)
		c.known[t].Log = c.log
	}
	return c.known[t]
}

// client opens associations to a node as this appliance.
func (a *Appliance) client(aeTitle string, t config.ClientTLS) dicomnet.Client {
	return dicomnet.Client{CallingAETitle: a.cfg().AETitle, CalledAETitle: aeTitle, TLS: a.credentials.of(t)}
}
