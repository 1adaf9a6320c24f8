package web

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"

	"llamaxr/daemon"
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
	v, err := r.appliance.Values(q.Context(), uid, q.PathValue("sop"))
	switch {
	case errors.Is(err, daemon.ErrNoStudy):
		http.NotFound(w, q)
		return
	case err != nil:
		r.log.Warn("an image cannot be shown", "study", uid, "error", err)
		http.Error(w, "the image cannot be decoded: "+err.Error(), http.StatusUnprocessableEntity)
		return
	}
	header, err := json.Marshal(imageHeader{
		v.Rows, v.Columns, v.Slope, v.Intercept, v.Low, v.High, v.Inverted, len(v.Curve), v.Steps,
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if len(header)%2 == 1 {
		header = append(header, ' ')
	}
	curve := v.Curve
	if len(curve)%2 == 1 {
		curve = append(curve, 0)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(header)))
	for _, part := range [][]byte{append(head, header...), curve, littleEndian(v.Pixels)} {
		if _, err := w.Write(part); err != nil {
			return // the reader has left
		}
	}
}

func littleEndian(values []uint16) []byte {
	out := make([]byte, 2*len(values))
	for i, v := range values {
		binary.LittleEndian.PutUint16(out[2*i:], v)
	}
	return out
}
