package daemon

import (
	"context"
	"image"
	"net/http"

	"llamaxr/daemon/dicomweb"
	"llamaxr/ingest/atrest"
	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/pixel"
)

// webServices are STOW-RS, QIDO-RS and WADO-RS for what this appliance holds.
func (a *Appliance) webServices() http.Handler {
	server := &dicomweb.Server{
		Users: a.room.users, Audit: a.room.audit, OpenOnLoopback: a.cfg().DICOMwebOpen, Ledger: a.db, Open: a.openObject, Whole: a.whole,
		Receive: a.receiver.Receive, Released: a.released, Draw: draw, Requests: a.cfg().Limits.Associations, Idle: a.cfg().Limits.IdleTime, Log: a.log,
	}
	return server.Handler()
}

// openObject opens the file of an object by the path that the ledger keeps.
func (a *Appliance) openObject(relative string) (*atrest.File, error) {
	return a.spool.Open(a.spool.Path(relative))
}

// draw decodes the first frame of an object and draws it in 8 bits.
func draw(ctx context.Context, file *dicomfile.File) (image.Image, error) {
	_, img, err := decoded(ctx, file)
	if err != nil {
		return nil, err
	}
	drawn, _ := pixel.Render(img, 0)
	return drawn, nil
}
