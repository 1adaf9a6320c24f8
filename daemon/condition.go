package daemon

import (
	"net/http"
	"os"

	"llamaxr/daemon/config"
	"llamaxr/queue"
)

// Condition is what a running daemon says of itself to who looks after it.
type Condition struct {
	Status
	PID     int
	Version string
	Config  config.Config // in force now
	// Fault is why the ledger does not hold together, empty when it does; Damage is how many things of the database were found damaged when it
	// was opened.
	Fault  string
	Damage int
}

func (a *Appliance) condition() Condition {
	c := Condition{Status: a.status(), PID: os.Getpid(), Version: a.device.SoftwareVersion, Config: *a.cfg(), Damage: len(a.db.Damage())}
	if err := a.db.View((*queue.Tx).Check); err != nil {
		c.Fault = err.Error()
	}
	return c
}

// ConditionOf asks the daemon that runs on a state folder; nil when none runs.
func ConditionOf(state string) (*Condition, error) {
	c := new(Condition)
	running, err := ask(state, http.MethodGet, "/condition", nil, c)
	if !running || err != nil {
		return nil, err
	}
	return c, nil
}
