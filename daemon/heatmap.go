package daemon

import (
	"image"

	"llamaxr/daemon/config"
	"llamaxr/reporting/sr"
	"llamaxr/study"
)

// heatMapOf is the form that a draft's heat map takes: the site's choice, but a picture where an image can have no presentation state.
func heatMapOf(choice string, record *DraftRecord) string {
	for _, h := range record.images() {
		if choice == config.HeatMapGSPS && h != nil && !sr.Presentable(h, record.Draft.StudyInstanceUID) {
			return config.HeatMapSC
		}
	}
	return choice
}

// heatMapDocuments makes the heat map in one of its forms: a picture of both views, or a presentation state of each, to which the documents
// made from in refer from then on.
func heatMapDocuments(in *sr.Input, form string, displays map[study.Projection]*study.Display, heat *image.RGBA) ([]*sr.Document, error) {
	if form != config.HeatMapGSPS {
		d, err := sr.Capture(*in, heatMapDocument, "AI heat map - unverified", sr.HeatMapSeries, heat)
		return []*sr.Document{d}, err
	}
	var out []*sr.Document
	shown := map[string]*sr.Document{}
	for _, view := range []study.Projection{study.Frontal, study.Lateral} {
		h := in.Of(view)
		if h == nil {
			continue
		}
		d, err := sr.Presentation(*in, view, *displays[view])
		if err != nil {
			return nil, err
		}
		out, shown[h.SOPInstanceUID] = append(out, d), d
	}
	in.Presentations = shown
	return out, nil
}
