package daemon

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"llamaxr/daemon/config"
	"llamaxr/daemon/dicomweb"
	"llamaxr/dicomnet"
	"llamaxr/dicomnet/dimse"
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

// web stores at a destination by STOW-RS.
func (a *Appliance) web(to config.Destination) *dicomweb.Client {
	return WebClient(to, a.credentials.of)
}

// WebClient is a client of a destination by STOW-RS; credentials makes what TLS needs of its settings.
func WebClient(to config.Destination, credentials func(config.ClientTLS) *dicomnet.Credentials) *dicomweb.Client {
	t := to.TLS
	t.On = strings.HasPrefix(to.STOW, "https:")
	return &dicomweb.Client{URL: to.STOW, TokenFile: to.TokenFile, TLS: credentials(t)}
}

// webTime bounds one delivery by STOW-RS; it ends before the job's lease does.
const webTime = leaseTime - time.Minute

// sendTo stores documents of a study at a destination; a refusal that will not pass is permanent. A duplicate is stored: a document's UID
// derives from what it says, so the peer has it from an earlier try.
func (a *Appliance) sendTo(ctx context.Context, to config.Destination, uid string, paths ...string) error {
	a.auditSending(uid, to)
	err := a.store(ctx, to, paths...)
	a.auditDelivery(uid, to, err != nil)
	a.metrics.Delivery(to.String(), len(paths), err)
	return refusal(err)
}

func (a *Appliance) store(ctx context.Context, to config.Destination, paths ...string) error {
	if to.STOW == "" {
		return send(ctx, a.client(to.AETitle, to.TLS), a.key, to.Address, paths, true, (*dimse.StatusError).Stored, nil)
	}
	ctx, cancel := context.WithTimeout(ctx, webTime)
	defer cancel()
	client := a.web(to)
	client.Key = a.key
	return client.Store(ctx, paths...)
}
