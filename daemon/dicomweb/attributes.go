package dicomweb

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/suyashkumar/dicom/pkg/tag"

	"llamaxr/dicomnet/dicomjson"
	"llamaxr/queue"
	"llamaxr/study"
)

// level is that of a resource in the hierarchy.
type level int

const (
	studyLevel level = iota
	seriesLevel
	instanceLevel
)

var levelNames = []string{"studies", "series", "instances"}

// String is the resource's name in an address.
func (l level) String() string { return levelNames[l] }

// record is what a search finds: a study, a series of it or an instance of that.
type record struct {
	study    []*queue.Instance // ranked
	series   []*queue.Instance
	instance *queue.Instance // the first by rank for a study or a series
	base     string
}

// attribute is one that can be searched for and returned.
type attribute struct {
	tag   tag.Tag
	vr    string
	level level
	// always is whether it is returned without being asked for (PS3.18, tables 10.6.3-3 to 10.6.3-5).
	always bool
	// values of a record; several are apart by backslashes.
	values func(record) string
}

// ofHeader makes an attribute of what the header keeps. What one object does not say of its study, another one may.
func ofHeader(t tag.Tag, vr string, l level, always bool, value func(*study.Header) string) attribute {
	return attribute{t, vr, l, always, func(r record) string {
		said := value(&r.instance.Header)
		for i := 0; said == "" && l == studyLevel && i < len(r.study); i++ {
			said = value(&r.study[i].Header)
		}
		return said
	}}
}

// attributes are all that a search knows, by their keys.
var attributes = func() map[string]attribute {
	type header = study.Header
	all := []attribute{
		ofHeader(tag.StudyDate, "DA", studyLevel, true, func(h *header) string { return h.StudyDate }),
		ofHeader(tag.StudyTime, "TM", studyLevel, true, func(h *header) string { return h.StudyTime }),
		ofHeader(tag.AccessionNumber, "SH", studyLevel, true, func(h *header) string { return h.AccessionNumber }),
		{tag.ModalitiesInStudy, "CS", studyLevel, true, func(r record) string { return distinct(r.study, func(h *header) string { return h.Modality }) }},
		{tag.SOPClassesInStudy, "UI", studyLevel, false, func(r record) string { return distinct(r.study, func(h *header) string { return h.SOPClassUID }) }},
		ofHeader(tag.ReferringPhysicianName, "PN", studyLevel, true, func(h *header) string { return h.ReferringPhysicianName }),
		ofHeader(tag.StudyDescription, "LO", studyLevel, false, func(h *header) string { return h.StudyDescription }),
		ofHeader(tag.PatientName, "PN", studyLevel, true, func(h *header) string { return h.PatientName }),
		ofHeader(tag.PatientID, "LO", studyLevel, true, func(h *header) string { return h.PatientID }),
		ofHeader(tag.IssuerOfPatientID, "LO", studyLevel, false, func(h *header) string { return h.IssuerOfPatientID }),
		ofHeader(tag.PatientBirthDate, "DA", studyLevel, true, func(h *header) string { return h.PatientBirthDate }),
		ofHeader(tag.PatientSex, "CS", studyLevel, true, func(h *header) string { return h.PatientSex }),
		ofHeader(tag.PatientAge, "AS", studyLevel, false, func(h *header) string { return h.PatientAge }),
		ofHeader(tag.PatientSize, "DS", studyLevel, false, func(h *header) string { return h.PatientSize }),
		ofHeader(tag.PatientWeight, "DS", studyLevel, false, func(h *header) string { return h.PatientWeight }),
		ofHeader(tag.OtherPatientIDs, "LO", studyLevel, false, func(h *header) string { return h.OtherPatientIDs }),
		ofHeader(tag.StudyInstanceUID, "UI", studyLevel, true, func(h *header) string { return h.StudyInstanceUID }),
		ofHeader(tag.StudyID, "SH", studyLevel, true, func(h *header) string { return h.StudyID }),
		{tag.NumberOfStudyRelatedSeries, "IS", studyLevel, true, func(r record) string { return strconv.Itoa(seriesIn(r.study)) }},
		{tag.NumberOfStudyRelatedInstances, "IS", studyLevel, true, func(r record) string { return strconv.Itoa(len(r.study)) }},

		ofHeader(tag.Modality, "CS", seriesLevel, true, func(h *header) string { return h.Modality }),
		ofHeader(tag.SeriesDescription, "LO", seriesLevel, true, func(h *header) string { return h.SeriesDescription }),
		ofHeader(tag.SeriesInstanceUID, "UI", seriesLevel, true, func(h *header) string { return h.SeriesInstanceUID }),
		ofHeader(tag.SeriesNumber, "IS", seriesLevel, true, func(h *header) string { return h.SeriesNumber }),
		ofHeader(tag.BodyPartExamined, "CS", seriesLevel, false, func(h *header) string { return h.BodyPartExamined }),
		ofHeader(tag.Laterality, "CS", seriesLevel, false, func(h *header) string { return h.Laterality }),
		ofHeader(tag.ProtocolName, "LO", seriesLevel, false, func(h *header) string { return h.ProtocolName }),
		ofHeader(tag.Manufacturer, "LO", seriesLevel, false, func(h *header) string { return h.Manufacturer }),
		ofHeader(tag.ManufacturerModelName, "LO", seriesLevel, false, func(h *header) string { return h.ManufacturerModel }),
		ofHeader(tag.StationName, "SH", seriesLevel, false, func(h *header) string { return h.StationName }),
		{tag.NumberOfSeriesRelatedInstances, "IS", seriesLevel, true, func(r record) string { return strconv.Itoa(len(r.series)) }},

		ofHeader(tag.SOPClassUID, "UI", instanceLevel, true, func(h *header) string { return h.SOPClassUID }),
		ofHeader(tag.SOPInstanceUID, "UI", instanceLevel, true, func(h *header) string { return h.SOPInstanceUID }),
		ofHeader(tag.AvailableTransferSyntaxUID, "UI", instanceLevel, true, func(h *header) string { return webSyntax(h.TransferSyntaxUID) }),
		ofHeader(tag.InstanceNumber, "IS", instanceLevel, true, func(h *header) string { return h.InstanceNumber }),
		ofHeader(tag.AcquisitionNumber, "IS", instanceLevel, false, func(h *header) string { return h.AcquisitionNumber }),
		ofHeader(tag.AcquisitionDate, "DA", instanceLevel, false, func(h *header) string { return h.AcquisitionDate }),
		ofHeader(tag.AcquisitionTime, "TM", instanceLevel, false, func(h *header) string { return h.AcquisitionTime }),
		ofHeader(tag.ContentDate, "DA", instanceLevel, false, func(h *header) string { return h.ContentDate }),
		ofHeader(tag.ContentTime, "TM", instanceLevel, false, func(h *header) string { return h.ContentTime }),
		ofHeader(tag.ImageType, "CS", instanceLevel, false, func(h *header) string { return h.ImageType }),
		ofHeader(tag.ViewPosition, "CS", instanceLevel, false, func(h *header) string { return h.ViewPosition }),
		ofHeader(tag.ImageLaterality, "CS", instanceLevel, false, func(h *header) string { return h.ImageLaterality }),
		ofHeader(tag.PatientOrientation, "CS", instanceLevel, false, func(h *header) string { return h.PatientOrientation }),
		ofHeader(tag.PresentationIntentType, "CS", instanceLevel, false, func(h *header) string { return h.PresentationIntent }),
		ofHeader(tag.BurnedInAnnotation, "CS", instanceLevel, false, func(h *header) string { return h.BurnedInAnnotation }),
		ofHeader(tag.PhotometricInterpretation, "CS", instanceLevel, false, func(h *header) string { return h.PhotometricInterpretation }),
		ofHeader(tag.NumberOfFrames, "IS", instanceLevel, true, func(h *header) string { return positive(h.NumberOfFrames) }),
		ofHeader(tag.Rows, "US", instanceLevel, true, func(h *header) string { return positive(h.Rows) }),
		ofHeader(tag.Columns, "US", instanceLevel, true, func(h *header) string { return positive(h.Columns) }),
		ofHeader(tag.BitsAllocated, "US", instanceLevel, true, func(h *header) string { return positive(h.BitsAllocated) }),
		ofHeader(tag.BitsStored, "US", instanceLevel, false, func(h *header) string { return positive(h.BitsStored) }),
	}
	known := map[string]attribute{}
	for _, a := range all {
		known[dicomjson.Key(a.tag)] = a
	}
	return known
}()

func positive(n int) string {
	if n <= 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// distinct are the different values that a study's objects have.
func distinct(instances []*queue.Instance, value func(*study.Header) string) string {
	var all []string
	for _, i := range instances {
		if v := value(&i.Header); v != "" && !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	slices.Sort(all)
	return strings.Join(all, `\`)
}

func seriesIn(instances []*queue.Instance) int {
	series := map[string]bool{}
	for _, i := range instances {
		series[i.Header.SeriesInstanceUID] = true
	}
	return len(series)
}

// records are what a study's objects are at a level.
func records(base string, l level, held []*queue.Instance) (out []record) {
	if len(held) == 0 {
		return nil
	}
	whole := ranked(held)
	if l == studyLevel {
		return []record{{study: whole, instance: whole[0], base: base}}
	}
	series := map[string][]*queue.Instance{}
	var order []string
	for _, i := range held {
		uid := i.Header.SeriesInstanceUID
		if series[uid] == nil {
			order = append(order, uid)
		}
		series[uid] = append(series[uid], i)
	}
	for _, uid := range order {
		if l == seriesLevel {
			out = append(out, record{whole, series[uid], ranked(series[uid])[0], base})
			continue
		}
		for _, i := range series[uid] {
			out = append(out, record{whole, series[uid], i, base})
		}
	}
	return out
}

// ranked are objects as their word on the patient and the study counts: those with a picture before reports and notes, then the latest first.
func ranked(instances []*queue.Instance) []*queue.Instance {
	picture := func(i *queue.Instance) bool { return i.Header.Rows > 0 }
	return slices.SortedStableFunc(slices.Values(instances), func(a, b *queue.Instance) int {
		switch {
		case picture(a) && !picture(b):
			return -1
		case picture(b) && !picture(a):
			return 1
		}
		return b.Received.Compare(a.Received)
	})
}

// object is a record as a search returns it.
func (r record) object(l level, q query) dicomjson.Object {
	o := dicomjson.Object{}
	o.Text(tag.SpecificCharacterSet, "CS", "ISO_IR 192")
	o.Text(tag.InstanceAvailability, "CS", "ONLINE")
	for key, a := range attributes {
		identifies := a.tag == tag.StudyInstanceUID || a.tag == tag.SeriesInstanceUID
		own := a.level == l || a.level < l && a.level >= q.fixed // the levels that the address does not name
		asked := q.all || q.fields[key] || q.keys[key] != nil
		if a.level > l || !(identifies || a.always && own || asked) {
			continue
		}
		if value := a.values(r); value != "" || a.always {
			o.Text(a.tag, a.vr, strings.Split(value, `\`)...)
		}
	}
	h := r.instance.Header
	url := fmt.Sprintf("%s/studies/%s", r.base, h.StudyInstanceUID)
	if l >= seriesLevel {
		url += "/series/" + h.SeriesInstanceUID
		if requests := requestItems(h.Requests); requests != nil {
			o.Sequence(tag.RequestAttributesSequence, requests...)
		}
	}
	if l == instanceLevel {
		url += "/instances/" + h.SOPInstanceUID
	}
	o.Text(tag.RetrieveURL, "UR", url)
	return o
}

// requestItems are the orders that an object answers.
func requestItems(requests []study.Request) (items []dicomjson.Object) {
	for _, r := range requests {
		item := dicomjson.Object{}
		for t, value := range map[tag.Tag]string{tag.AccessionNumber: r.AccessionNumber, tag.RequestedProcedureID: r.ProcedureID} {
			if value != "" {
				item.Text(t, "SH", value)
			}
		}
		if r.ProcedureDescription != "" {
			item.Text(tag.RequestedProcedureDescription, "LO", r.ProcedureDescription)
		}
		items = append(items, item)
	}
	return items
}
