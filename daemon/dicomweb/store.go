package dicomweb

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"

	"github.com/suyashkumar/dicom/pkg/tag"

	"llamaxr/dicomnet"
	"llamaxr/dicomnet/dicomjson"
	"llamaxr/dicomnet/dimse"
	"llamaxr/dicomnet/part10"
	"llamaxr/ingest"
)

// transferSyntaxNotSupported is the one Failure Reason that C-STORE has no status for (PS3.18, table I.2-2).
const transferSyntaxNotSupported uint16 = 0xC122

// stored is what became of one part. Reason is 0 when it is durable; class and instance are empty when the part is no DICOM file.
type stored struct {
	class, instance, study, series string
	reason                         uint16
	brought                        bool // it was not there already
}

// store is the Store transaction (PS3.18 10.5): every part goes to the disk as it arrives, by the receiver that C-STORE uses.
func (s *Server) store(w http.ResponseWriter, q *http.Request) {
	kind, boundary, err := relatedType(q.Header.Get("Content-Type"))
	switch {
	case err != nil || kind != "application/dicom":
		http.Error(w, `only multipart/related; type="application/dicom" is taken`, http.StatusUnsupportedMediaType)
		return
	case boundary == "":
		http.Error(w, "Content-Type names no boundary", http.StatusBadRequest)
		return
	case !s.audited(w, q, "store", ""):
		return
	}
	var done []stored
	parts := newParts(q.Body, boundary)
	for {
		part, err := parts.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			s.broken(w, q, done, err)
			return
		}
		done = append(done, s.storePart(q, part))
	}
	s.release(q, done)
	if len(done) == 0 {
		http.Error(w, "the request holds no object", http.StatusBadRequest)
		return
	}
	s.answer(w, q, storeStatus(done), storeResponse(base(q), done))
}

// broken answers a body that ends early, breaks the form or passes a limit. What came before it is durable, and said to be.
func (s *Server) broken(w http.ResponseWriter, q *http.Request, done []stored, err error) {
	s.release(q, done)
	status := http.StatusBadRequest
	var large *http.MaxBytesError
	if errors.Is(err, errTooMuch) || errors.As(err, &large) {
		status = http.StatusRequestEntityTooLarge
	}
	s.Log.Warn("a request to store is broken", "calling", user(q).Name, "objects", len(done), "error", err)
	w.Header().Set("Connection", "close")
	s.answer(w, q, status, storeResponse(base(q), append(done, stored{reason: dimse.CannotUnderstand})))
}

// maxAETitle is the length of a value of VR AE (PS3.5, table 6.2-1).
const maxAETitle = 16

// storePart takes one object.
func (s *Server) storePart(q *http.Request, part *multipart.Part) stored {
	if kind := part.Header.Get("Content-Type"); kind != "" {
		if kind, _, err := mime.ParseMediaType(kind); err != nil || kind != "application/dicom" {
			return stored{reason: dimse.CannotUnderstand}
		}
	}
	data := bufio.NewReaderSize(part, part10.MaxMeta)
	meta, err := part10.Decode(data)
	if err != nil {
		s.Log.Warn("object refused", "calling", user(q).Name, "error", err)
		return stored{reason: dimse.CannotUnderstand}
	}
	out := stored{class: meta.SOPClassUID, instance: meta.SOPInstanceUID}
	syntax, known := dicomnet.AcceptStorage(meta.SOPClassUID, []string{meta.TransferSyntaxUID})
	switch {
	case !known || meta.SOPClassUID == dicomnet.Verification:
		out.reason = dimse.SOPClassNotSupported
		return out
	case syntax == "":
		out.reason = transferSyntaxNotSupported
		return out
	}
	// The head says who sent it, as that of an object from an association does, should the ledger lose it: by the sender the site decides what may leave.
	sender := user(q).Name
	if len(sender) > maxAETitle {
		sender = ""
	}
	head := part10.Encode(part10.Meta{
		SOPClassUID: meta.SOPClassUID, SOPInstanceUID: meta.SOPInstanceUID, TransferSyntaxUID: meta.TransferSyntaxUID, SourceAETitle: sender,
	}, dicomnet.ImplementationClassUID, dicomnet.ImplementationVersionName)
	header, err := s.Receive(ingest.Incoming{
		SOPClassUID: meta.SOPClassUID, SOPInstanceUID: meta.SOPInstanceUID, TransferSyntaxUID: meta.TransferSyntaxUID,
		StudyInstanceUID: q.PathValue("study"), Calling: user(q).Name, Head: head, Brought: func(string) { out.brought = true },
	}, data)
	out.study, out.series = header.StudyInstanceUID, header.SeriesInstanceUID
	var status *ingest.StatusError
	if errors.As(err, &status) {
		s.Log.Warn("object refused", "calling", user(q).Name, "status", status.Status, "comment", status.Comment, "error", status.Err)
		out.reason = status.Status
	} else if err != nil {
		s.Log.Error("storing an object", "calling", user(q).Name, "error", err)
		out.reason = dimse.ProcessingFailure
	}
	return out
}

// release tells which studies may be complete now.
func (s *Server) release(q *http.Request, done []stored) {
	var studies, brought []string
	for _, o := range done {
		if o.reason == 0 && !slices.Contains(studies, o.study) {
			studies = append(studies, o.study)
			s.auditStudy(q, user(q).Name, "stored", o.study, "")
		}
		if o.brought && !slices.Contains(brought, o.study) {
			brought = append(brought, o.study)
		}
	}
	s.Released(brought)
}

// storeStatus is the answer's status (PS3.18, table 10.5.3-1). A sender may come again with what failed for want of room (507, RFC 4918
// 11.5) or of our own doing (500); with the rest he need not.
func storeStatus(done []stored) int {
	reasons := map[uint16]int{}
	for _, o := range done {
		if reason := o.reason; reason&0xFF00 == dimse.OutOfResources {
			reasons[dimse.OutOfResources]++
		} else {
			reasons[reason]++
		}
	}
	switch len(done) {
	case reasons[0]:
		return http.StatusOK
	case reasons[dimse.OutOfResources]:
		return http.StatusInsufficientStorage
	case reasons[dimse.ProcessingFailure]:
		return http.StatusInternalServerError
	}
	if reasons[0] > 0 {
		return http.StatusAccepted
	}
	return http.StatusConflict
}

// storeResponse is the Store Instances Response Module (PS3.18, annex I).
func storeResponse(base string, done []stored) dicomjson.Object {
	var kept, failed, other []dicomjson.Object
	studies := map[string]bool{}
	for _, o := range done {
		item := dicomjson.Object{}
		if o.reason != 0 {
			item.Numbers(tag.FailureReason, "US", int(o.reason))
		}
		if o.instance == "" {
			other = append(other, item)
			continue
		}
		item.Text(tag.ReferencedSOPClassUID, "UI", o.class)
		item.Text(tag.ReferencedSOPInstanceUID, "UI", o.instance)
		if o.reason != 0 {
			failed = append(failed, item)
			continue
		}
		item.Text(tag.RetrieveURL, "UR", fmt.Sprintf("%s/studies/%s/series/%s/instances/%s", base, o.study, o.series, o.instance))
		kept = append(kept, item)
		studies[o.study] = true
	}
	out := dicomjson.Object{}
	for study := range studies {
		if len(studies) == 1 {
			out.Text(tag.RetrieveURL, "UR", base+"/studies/"+study)
		}
	}
	for t, items := range map[tag.Tag][]dicomjson.Object{tag.ReferencedSOPSequence: kept, tag.FailedSOPSequence: failed, tag.OtherFailuresSequence: other} {
		if items != nil {
			out.Sequence(t, items...)
		}
	}
	return out
}
