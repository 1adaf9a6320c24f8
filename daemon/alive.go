package daemon

import "llamaxr/queue"

// Alive returns once the database has committed, which every promise of the appliance rests on. It does not return while the database is
// stuck: who waits, as the service manager's watchdog does, draws the conclusion.
func (a *Appliance) Alive() error {
	return a.db.Update(func(*queue.Tx) error { return nil })
}
