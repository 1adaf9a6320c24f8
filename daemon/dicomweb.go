package daemon

import (
	"net/http"

	"llamaxr/daemon/dicomweb"
	"llamaxr/ingest/atrest"
)

// webServices are STOW-RS, QIDO-RS and WADO-RS for what this appliance holds.
func (a *Appliance) webServices() http.Handler {
	server := &dicomweb.Server{
		Users: a.room.users, Audit: a.room.audit, OpenOnLoopback: a.cfg().DICOMwebOpen, Ledger: a.db, Open: a.openObject, Whole: a.whole,
		Receive: a.receiver.Receive, Released: a.released, Draw: a.draw, Requests: a.cfg().Limits.Associations, Idle: a.cfg().Limits.IdleTime, Log: a.log,
	}
	return server.Handler()
}

// openObject opens the file of an object by the path that the ledger keeps.
func (a *Appliance) openObject(relative string) (*atrest.File, error) {
	return a.spool.Open(a.spool.Path(relative))
}
