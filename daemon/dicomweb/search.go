package dicomweb

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"llamaxr/dicomnet/dicomjson"
	"llamaxr/queue"
)

// Warnings of a search (PS3.18 8.3.4).
const (
	warnMore    = "There are additional results that can be requested"
	warnFuzzy   = "The fuzzymatching parameter is not supported. Only literal matching has been performed."
	warnIgnored = "Parameters that are not supported have been ignored"
)

// search is the Search transaction at a level (PS3.18 10.6).
func (s *Server) search(l level) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		if !accepted(q, dicomjson.MediaType, "application/json") {
			notAcceptable(w, dicomjson.MediaType)
			return
		}
		asked, err := parseQuery(l, q.URL.Query())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		found, more, err := s.find(q, l, asked)
		switch {
		case errors.Is(err, errQuery):
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		case err != nil:
			s.internal(w, q, err)
			return
		}
		keys := strings.Join(slices.Sorted(maps.Keys(asked.keys)), " ") // their values may name a patient
		if !s.audited(w, q, "search "+l.String(), fmt.Sprintf("%d found by %s", len(found), keys)) {
			return
		}
		for text, warned := range map[string]bool{warnMore: more, warnFuzzy: asked.fuzzy, asked.unsupported(): len(asked.ignored) > 0} {
			if warned {
				w.Header().Add("Warning", fmt.Sprintf("299 %s: %+q", base(q), text)) // no header takes the control characters of a name
			}
		}
		if len(found) == 0 {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		s.answer(w, q, http.StatusOK, found)
	}
}

// errEnough ends a visit.
var errEnough = errors.New("enough")

// find returns what fits, in the order of the Study Instance UIDs and within a study of arrival, and whether there is more.
func (s *Server) find(q *http.Request, l level, asked query) (found []dicomjson.Object, more bool, err error) {
	study, series := q.PathValue("study"), q.PathValue("series")
	if study != "" {
		if asked.study != "" && asked.study != study {
			return nil, false, nil
		}
		asked.study, asked.fixed = study, seriesLevel
		if series != "" {
			asked.fixed = instanceLevel
		}
	}
	visit := func(tx *queue.Tx, st *queue.Study) error {
		if err := q.Context().Err(); err != nil {
			return err
		}
		held, _, err := held(tx, st)
		if err != nil {
			return err
		}
		for _, r := range records(base(q), l, held) {
			if series != "" && r.instance.Header.SeriesInstanceUID != series || !asked.fits(r) {
				continue
			}
			if asked.offset > 0 {
				asked.offset--
				continue
			}
			if len(found) >= asked.limit {
				more = true
				return errEnough
			}
			found = append(found, r.object(l, asked))
		}
		return nil
	}
	err = s.Ledger.View(func(tx *queue.Tx) error { return eachStudy(tx, asked, visit) })
	if errors.Is(err, errEnough) {
		err = nil
	}
	return found, more, err
}

// eachStudy visits the studies that a query can fit: one that it names, those of an accession number, or all.
func eachStudy(tx *queue.Tx, asked query, visit func(*queue.Tx, *queue.Study) error) error {
	var uids []string
	switch {
	case asked.study != "":
		uids = []string{asked.study}
	case asked.accession != "":
		var err error
		if uids, err = tx.StudiesOfAccession(asked.accession); err != nil {
			return err
		}
	default:
		return tx.EachStudy(func(s *queue.Study) error { return visit(tx, s) })
	}
	for _, uid := range uids {
		st, err := tx.Study(uid)
		if err != nil {
			return err
		}
		if st == nil {
			continue
		}
		if err := visit(tx, st); err != nil {
			return err
		}
	}
	return nil
}

// held returns the objects of a study that may be seen, its reports and notes behind its images, and those that there were besides: taken back by a
// rejection note, expired, or lost by the disk.
func held(tx *queue.Tx, s *queue.Study) (out []*queue.Instance, gone []*queue.Instance, err error) {
	rejections, err := tx.Rejections(s.UID)
	if err != nil {
		return nil, nil, err
	}
	rejected := map[string]bool{}
	for _, r := range rejections {
		rejected[r.Object.SOPInstanceUID] = true
	}
	for _, uid := range slices.Concat(s.Instances, s.Notes) {
		i, err := tx.Instance(uid)
		switch {
		case err != nil:
			return nil, nil, err
		case i == nil:
		case rejected[uid] || i.Gone != "":
			gone = append(gone, i)
		default:
			out = append(out, i)
		}
	}
	return out, gone, nil
}
