package daemon

import (
	"fmt"
	"strings"

	"llamaxr/daemon/auditmessage"
	"llamaxr/daemon/config"
	"llamaxr/dicomnet"
)

// Reload puts another configuration in force while the appliance runs, whole or not at all: one that is wrong, or that changes a key which
// needs a restart, is refused and the present one stays. changed are the keys that differ.
//
// Associations and jobs under way go on as they began; a delivery that waits for a destination which is no longer there becomes a dead letter
// with that reason.
func (a *Appliance) Reload(next config.Config) (changed []string, err error) {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	if err := next.Check(); err != nil {
		return nil, err
	}
	var fixed []string
	for _, c := range config.Changes(*a.cfg(), next) {
		changed = append(changed, c.Key)
		if !c.Live {
			fixed = append(fixed, c.Key)
		}
	}
	if len(fixed) > 0 {
		return nil, fmt.Errorf("daemon: %s cannot be changed without a restart", strings.Join(fixed, ", "))
	}
	// What can fail is first, so that a failure changes nothing; what the server refuses did not pass Check.
	if err := a.room.list.SetCritical(next.CriticalFindings()); err != nil {
		return nil, err
	}
	if err := a.server.Change(rules(next)); err != nil {
		return nil, err
	}
	a.db.SetMaxAttempts(next.Limits.Attempts)
	a.spool.KeepFree(next.FreeSpace)
	a.settings.Store(&next)
	a.auditSetting(auditmessage.ActReload, strings.Join(changed, ", "))
	return changed, nil
}

// rules are what of the DICOM server can change while it serves.
func rules(cfg config.Config) dicomnet.Rules {
	return dicomnet.Rules{
		AnyCalled: cfg.AnyCalled, Peers: cfg.ServerPeers(), MaxAssociations: cfg.Limits.Associations, IdleTimeout: cfg.Limits.IdleTime,
	}
}
