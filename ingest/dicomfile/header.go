package dicomfile

import (
	"strings"

	"github.com/suyashkumar/dicom/pkg/tag"

	"llamaxr/study"
)

// header gathers what the appliance keeps of a data set. The UIDs of the object and the numbers that its pixels hang on must have their VR's
// form: they go into other objects, into names and into arithmetic. A number that only describes (a weight of "72,5") is left out with a
// note: an image is not refused for it.
func header(d *Dataset, m meta) (h study.Header, notes []string, err error) {
	r := &headerReader{set: d}
	h = study.Header{
		SOPClassUID:       r.uid(tag.SOPClassUID),
		SOPInstanceUID:    r.uid(tag.SOPInstanceUID),
		TransferSyntaxUID: r.checkUID(tag.TransferSyntaxUID, m.transferSyntax),
		StudyInstanceUID:  r.uid(tag.StudyInstanceUID),
		SeriesInstanceUID: r.uid(tag.SeriesInstanceUID),
		Modality:          d.Text(tag.Modality),

		PatientName:          d.Text(tag.PatientName),
		PatientID:            d.Text(tag.PatientID),
		IssuerOfPatientID:    d.Text(tag.IssuerOfPatientID),
		PatientBirthDate:     d.Text(tag.PatientBirthDate),
		PatientSex:           d.Text(tag.PatientSex),
		PatientAge:           d.Text(tag.PatientAge),
		OtherPatientIDs:      d.Text(tag.OtherPatientIDs),
		EthnicGroup:          d.Text(tag.EthnicGroup),
		PatientComments:      d.Text(tag.PatientComments),
		PatientSize:          r.decimal(tag.PatientSize),
		PatientWeight:        r.decimal(tag.PatientWeight),
		PatientIdentityGone:  d.Text(tag.PatientIdentityRemoved),
		DeidentificationNote: d.Text(tag.DeidentificationMethod),

		StudyDate:              d.Text(tag.StudyDate),
		StudyTime:              d.Text(tag.StudyTime),
		AccessionNumber:        d.Text(tag.AccessionNumber),
		StudyID:                d.Text(tag.StudyID),
		ReferringPhysicianName: d.Text(tag.ReferringPhysicianName),
		StudyDescription:       d.Text(tag.StudyDescription),

		Requests:       requests(d.Sequence(tag.RequestAttributesSequence)),
		ProcedureCodes: codes(d.Sequence(tag.ProcedureCodeSequence)),

		ViewPosition:       d.Text(tag.ViewPosition),
		ViewCodes:          codes(d.Sequence(tag.ViewCodeSequence)),
		PatientOrientation: d.Text(tag.PatientOrientation),
		SeriesDescription:  d.Text(tag.SeriesDescription),
		ProtocolName:       d.Text(tag.ProtocolName),
		AcquisitionDevice:  d.Text(tag.AcquisitionDeviceProcessingDescription),
		AcquisitionCode:    d.Text(tag.AcquisitionDeviceProcessingCode),
		Laterality:         d.Text(tag.Laterality),
		ImageLaterality:    d.Text(tag.ImageLaterality),
		BodyPartExamined:   d.Text(tag.BodyPartExamined),
		AnatomicRegions:    codes(d.Sequence(tag.AnatomicRegionSequence)),
		ImageType:          d.Text(tag.ImageType),
		PresentationIntent: d.Text(tag.PresentationIntentType),
		AcquisitionDate:    d.Text(tag.AcquisitionDate),
		AcquisitionTime:    d.Text(tag.AcquisitionTime),
		ContentDate:        d.Text(tag.ContentDate),
		ContentTime:        d.Text(tag.ContentTime),
		SeriesNumber:       r.integer(tag.SeriesNumber),
		AcquisitionNumber:  r.integer(tag.AcquisitionNumber),
		InstanceNumber:     r.integer(tag.InstanceNumber),
		BurnedInAnnotation: d.Text(tag.BurnedInAnnotation),
		Manufacturer:       d.Text(tag.Manufacturer),
		ManufacturerModel:  d.Text(tag.ManufacturerModelName),
		StationName:        d.Text(tag.StationName),

		Rows:                      r.number(tag.Rows),
		Columns:                   r.number(tag.Columns),
		NumberOfFrames:            r.number(tag.NumberOfFrames),
		SamplesPerPixel:           r.number(tag.SamplesPerPixel),
		PhotometricInterpretation: d.Text(tag.PhotometricInterpretation),
		BitsAllocated:             r.number(tag.BitsAllocated),
		BitsStored:                r.number(tag.BitsStored),
	}
	for _, item := range d.Sequence(tag.ViewCodeSequence) {
		h.ViewModifierCodes = append(h.ViewModifierCodes, codes(item.Sequence(tag.ViewModifierCodeSequence))...)
	}
	for _, item := range d.Sequence(tag.SourceImageSequence) {
		if uid := item.Text(tag.ReferencedSOPInstanceUID); ValidUID(uid) {
			h.SourceImages = append(h.SourceImages, uid)
		} else if uid != "" {
			r.note(valueError(tag.ReferencedSOPInstanceUID, uid, "a UID"))
		}
	}
	if h.SOPClassUID == "" {
		h.SOPClassUID = r.checkUID(tag.MediaStorageSOPClassUID, m.sopClass)
	}
	if h.SOPInstanceUID == "" {
		h.SOPInstanceUID = r.checkUID(tag.MediaStorageSOPInstanceUID, m.sopInstance)
	}
	return h, r.notes, r.err
}

// headerReader keeps the first bad value that cannot be left out, and notes of the others.
type headerReader struct {
	set   *Dataset
	notes []string
	err   error
}

func (r *headerReader) note(err error) { r.notes = append(r.notes, err.Error()+"; left out") }

func (r *headerReader) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *headerReader) uid(t tag.Tag) string { return r.checkUID(t, r.set.Text(t)) }

func (r *headerReader) checkUID(t tag.Tag, uid string) string {
	if uid != "" && !ValidUID(uid) {
		r.keep(valueError(t, uid, "a UID"))
	}
	return uid
}

// ValidUID reports whether a text is a UID (PS3.5 9.1): at most 64 characters, numbers with dots between. Leading zeros, which
// the standard forbids and devices write, pass.
func ValidUID(uid string) bool {
	if uid == "" || len(uid) > maxUID {
		return false
	}
	for _, component := range strings.Split(uid, ".") {
		if component == "" || strings.Trim(component, "0123456789") != "" {
			return false
		}
	}
	return true
}

// number is the single value of a whole-number element, 0 when absent.
func (r *headerReader) number(t tag.Tag) int {
	numbers, err := r.set.Ints(t)
	if err != nil {
		r.keep(err)
	}
	if len(numbers) == 0 {
		return 0
	}
	if numbers[0] < 0 {
		r.keep(valueError(t, r.set.Text(t), "a positive number"))
	}
	return numbers[0]
}

// integer is the text of a whole number that describes, empty when it is none.
func (r *headerReader) integer(t tag.Tag) string {
	_, err := r.set.Ints(t)
	return r.describing(t, err)
}

// decimal is the text of a number that describes, empty when it is none.
func (r *headerReader) decimal(t tag.Tag) string {
	_, err := r.set.Floats(t)
	return r.describing(t, err)
}

func (r *headerReader) describing(t tag.Tag, err error) string {
	if err != nil {
		r.note(err)
		return ""
	}
	return r.set.Text(t)
}

func codes(items []*Dataset) []study.Code {
	var all []study.Code
	for _, item := range items {
		code := study.Code{Value: item.Text(tag.CodeValue), Scheme: item.Text(tag.CodingSchemeDesignator), Meaning: item.Text(tag.CodeMeaning)}
		if code != (study.Code{}) {
			all = append(all, code)
		}
	}
	return all
}

func requests(items []*Dataset) []study.Request {
	var all []study.Request
	for _, item := range items {
		all = append(all, study.Request{
			AccessionNumber:      item.Text(tag.AccessionNumber),
			PlacerOrderNumber:    item.Text(tag.PlacerOrderNumberImagingServiceRequest),
			FillerOrderNumber:    item.Text(tag.FillerOrderNumberImagingServiceRequest),
			ProcedureID:          item.Text(tag.RequestedProcedureID),
			ProcedureDescription: item.Text(tag.RequestedProcedureDescription),
			ProcedureCodes:       codes(item.Sequence(tag.RequestedProcedureCodeSequence)),
		})
	}
	return all
}
