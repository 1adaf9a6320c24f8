package daemon

import (
	"context"
	"image"
	"net/http"

	"llamaxr/daemon/dicomweb"
	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/pixel"
)

// webServices are STOW-RS, QIDO-RS and WADO-RS for what this appliance holds.
func (a *Appliance) webServices() http.Handler {
	server := &dicomweb.Server{
		Users: a.room.users, Audit: a.room.audit, OpenOnLoopback: a.cfg().DICOMwebOpen, Ledger: a.db, File: a.spool.Path, Whole: a.whole,
		Receive: a.receiver.Receive, Released: a.released, Draw: draw, Requests: a.cfg().Limits.Associations, Idle: a.cfg().Limits.IdleTime, Log: a.log,
	}
	return server.Handler()
}

// draw decodes the first frame of a file and draws it in 8 bits.
func draw(ctx context.Context, path string) (image.Image, error) {
	file, err := dicomfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	img, err := levels(ctx, file)
	if err != nil {
		return nil, err
	}
	drawn, _ := pixel.Render(img, 0)
	return drawn, nil
}
