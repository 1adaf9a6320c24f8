package web

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"llamaxr/daemon"
	"llamaxr/ingest/pixel"
)

// imageHeader is what a picture's bytes begin with, as JSON.
type imageHeader struct {
	Rows      int      `json:"rows"`
	Columns   int      `json:"columns"`
	Slope     float64  `json:"slope"`
	Intercept float64  `json:"intercept"`
	Low       float64  `json:"low"`
	High      float64  `json:"high"`
	Inverted  bool     `json:"inverted"`
	Curve     int      `json:"curve"` // bytes of the curve
	Steps     []string `json:"steps"`
}

// image answers with an object's values at full depth: the length of a JSON header (4 bytes, little endian), the header padded with
// spaces to an even length, the curve padded to an even length, then 16 bits a pixel, little endian.
func (r *Room) image(w http.ResponseWriter, q *http.Request) {
	uid := q.PathValue("uid")
	if !r.viewed(w, q, "view image", uid, q.PathValue("sop")) {
		return
	}
	key := uid + " " + q.PathValue("sop")
	data, err := r.pictures.get(key, time.Now(), func() ([]byte, error) {
		v, err := r.appliance.Values(context.WithoutCancel(q.Context()), uid, q.PathValue("sop")) // others may wait for it too
		if err != nil {
			return nil, err
		}
		return encodeValues(v)
	})
	switch {
	case errors.Is(err, daemon.ErrNoStudy):
		http.NotFound(w, q)
		return
	case err != nil:
		r.log.Warn("an image cannot be shown", "study", uid, "error", err)
		http.Error(w, "the image cannot be decoded: "+err.Error(), http.StatusUnprocessableEntity)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data)
}

// encodeValues lays a picture out as image describes.
func encodeValues(v *pixel.Values) ([]byte, error) {
	header, err := json.Marshal(imageHeader{
		v.Rows, v.Columns, v.Slope, v.Intercept, v.Low, v.High, v.Inverted, len(v.Curve), v.Steps,
	})
	if err != nil {
		return nil, err
	}
	if len(header)%2 == 1 {
		header = append(header, ' ')
	}
	out := make([]byte, 0, 4+len(header)+len(v.Curve)+1+2*len(v.Pixels))
	out = binary.LittleEndian.AppendUint32(out, uint32(len(header)))
	out = append(append(out, header...), v.Curve...)
	if len(v.Curve)%2 == 1 {
		out = append(out, 0)
	}
	for _, p := range v.Pixels {
		out = binary.LittleEndian.AppendUint16(out, p)
	}
	return out, nil
}
