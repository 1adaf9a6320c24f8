package dicomweb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"slices"

	"llamaxr/dicomnet"
	"llamaxr/dicomnet/dicomjson"
	"llamaxr/dicomnet/part10"
	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/pixel"
	"llamaxr/queue"
)

// named returns the objects that an address names and how many of those are no longer given out. It answers the request itself, and returns
// none, when there are none: 404 for what never was here, 410 for what was.
func (s *Server) named(w http.ResponseWriter, q *http.Request) (objects []*queue.Instance, gone int) {
	study, series, instance := q.PathValue("study"), q.PathValue("series"), q.PathValue("instance")
	other := func(i *queue.Instance) bool {
		return series != "" && i.Header.SeriesInstanceUID != series || instance != "" && i.Header.SOPInstanceUID != instance
	}
	var lost []*queue.Instance
	err := s.Ledger.View(func(tx *queue.Tx) error {
		st, err := tx.Study(study)
		if err != nil || st == nil {
			return err
		}
		objects, lost, err = held(tx, st)
		return err
	})
	if err != nil {
		s.internal(w, q, err)
		return nil, 0
	}
	objects, lost = slices.DeleteFunc(objects, other), slices.DeleteFunc(lost, other)
	switch {
	case len(objects) > 0:
	case len(lost) > 0:
		http.Error(w, "it was here and is no longer given out", http.StatusGone)
	default:
		http.Error(w, "there is no such object here", http.StatusNotFound)
	}
	return objects, len(lost)
}

// retrieve is the Retrieve transaction for a study, a series or an instance (PS3.18 10.4): its objects, one part each.
func (s *Server) retrieve(w http.ResponseWriter, q *http.Request) {
	objects, gone := s.named(w, q)
	if len(objects) == 0 {
		return
	}
	syntaxes := takesObjects(q)
	if !slices.Contains(syntaxes, "*") {
		all := len(objects)
		objects = slices.DeleteFunc(objects, func(i *queue.Instance) bool { return !slices.Contains(syntaxes, webSyntax(i.Header.TransferSyntaxUID)) })
		gone += all - len(objects)
	}
	if len(objects) == 0 {
		notAcceptable(w, `multipart/related; type="application/dicom"; transfer-syntax=*`)
		return
	}
	if !s.sound(w, q, objects[0]) || !s.audited(w, q, "retrieve", fmt.Sprintf("%d objects", len(objects))) {
		return
	}
	body := multipart.NewWriter(w)
	w.Header().Set("Content-Type", `multipart/related; type="application/dicom"; boundary=`+body.Boundary())
	w.WriteHeader(whole(gone))
	for n, i := range objects {
		err := s.sendPart(body, i, n > 0)
		if err != nil {
			s.Log.Warn("giving out an object", "calling", user(q).Name, "sop_instance", i.Header.SOPInstanceUID, "error", err)
			panic(http.ErrAbortHandler) // the caller must see that this is not the end
		}
	}
	_ = body.Close()
}

// whole is the status of an answer that lacks some of what was asked for.
func whole(lacking int) int {
	if lacking > 0 {
		return http.StatusPartialContent
	}
	return http.StatusOK
}

// sound holds an object's file against what was received, before any of it is given out.
func (s *Server) sound(w http.ResponseWriter, q *http.Request, i *queue.Instance) bool {
	err := s.Whole(i)
	if err == nil {
		return true
	}
	if errors.Is(err, queue.ErrClosed) {
		s.internal(w, q, err)
		return false
	}
	s.Log.Error("an object cannot be given out", "sop_instance", i.Header.SOPInstanceUID, "error", err)
	http.Error(w, "the object is damaged; sending it here again brings it back", http.StatusInternalServerError)
	return false
}

func (s *Server) sendPart(body *multipart.Writer, i *queue.Instance, check bool) error {
	if check {
		if err := s.Whole(i); err != nil {
			return err
		}
	}
	file, err := s.Open(i.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	syntax := webSyntax(i.Header.TransferSyntaxUID)
	part, err := body.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/dicom; transfer-syntax=" + syntax}})
	if err != nil {
		return err
	}
	if syntax == i.Header.TransferSyntaxUID {
		_, err = io.Copy(part, file)
		return err
	}
	meta, err := part10.Decode(file)
	if err != nil {
		return err
	}
	meta.TransferSyntaxUID = syntax
	if _, err := part.Write(part10.Encode(*meta, dicomnet.ImplementationClassUID, dicomnet.ImplementationVersionName)); err != nil {
		return err
	}
	return dicomfile.WriteExplicit(part, file, file.Size())
}

// webSyntax is the transfer syntax in which an object is given out: every reader takes Explicit VR Little Endian, and Implicit VR and Big Endian are not for
// the web (PS3.18 8.7.3).
func webSyntax(stored string) string {
	switch stored {
	case dicomfile.ImplicitVRLittleEndian, dicomfile.ExplicitVRBigEndian, dicomfile.DeflatedExplicitVRLittleEndian:
		return dicomfile.ExplicitVRLittleEndian
	}
	return stored
}

// metadata is the Retrieve transaction for metadata (PS3.18 10.4.1.1.2): an object's attributes without its pixel data.
func (s *Server) metadata(w http.ResponseWriter, q *http.Request) {
	if !accepted(q, dicomjson.MediaType, "application/json") {
		notAcceptable(w, dicomjson.MediaType)
		return
	}
	objects, gone := s.named(w, q)
	if len(objects) == 0 || !s.sound(w, q, objects[0]) || !s.audited(w, q, "retrieve metadata", fmt.Sprintf("%d objects", len(objects))) {
		return
	}
	w.Header().Set("Content-Type", dicomjson.MediaType)
	w.WriteHeader(whole(gone))
	between := "["
	for _, i := range objects {
		text, err := s.attributesOf(i)
		if err == nil {
			_, err = w.Write(append([]byte(between), text...))
		}
		if err != nil {
			s.Log.Warn("giving out metadata", "calling", user(q).Name, "sop_instance", i.Header.SOPInstanceUID, "error", err)
			panic(http.ErrAbortHandler)
		}
		between = ",\n"
	}
	_, _ = io.WriteString(w, "]")
}

// object opens an object for its attributes and pixel data.
func (s *Server) object(i *queue.Instance) (*dicomfile.File, error) {
	file, err := s.Open(i.Path)
	if err != nil {
		return nil, err
	}
	return dicomfile.From(file)
}

func (s *Server) attributesOf(i *queue.Instance) ([]byte, error) {
	file, err := s.object(i)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return json.Marshal(file.JSON())
}

func (s *Server) drawn(ctx context.Context, i *queue.Instance) (image.Image, error) {
	file, err := s.object(i)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return s.Draw(ctx, file)
}

// jpegQuality is that of rendered pictures, which are for looking at on a page.
const jpegQuality = 90

// rendered is the Retrieve transaction for a picture of an instance (PS3.18 10.4.1.1.3), its first frame in 8 bits.
func (s *Server) rendered(w http.ResponseWriter, q *http.Request) {
	kind := preferred(q, "image/jpeg", "image/png")
	if kind == "" {
		notAcceptable(w, "image/jpeg", "image/png")
		return
	}
	objects, _ := s.named(w, q)
	if len(objects) == 0 || !s.sound(w, q, objects[0]) || !s.audited(w, q, "retrieve rendered", objects[0].Header.SOPInstanceUID) {
		return
	}
	picture, err := s.drawn(q.Context(), objects[0])
	switch {
	case errors.Is(err, pixel.ErrNoPixels):
		http.Error(w, "the object holds no picture", http.StatusNotAcceptable)
		return
	case err != nil:
		http.Error(w, "the picture cannot be drawn: "+err.Error(), http.StatusNotAcceptable)
		return
	}
	w.Header().Set("Content-Type", kind)
	if kind == "image/png" {
		err = png.Encode(w, picture)
	} else {
		err = jpeg.Encode(w, picture, &jpeg.Options{Quality: jpegQuality})
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}
