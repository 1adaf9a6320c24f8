package dicomscan

import (
	"strings"

	"llamaxr/study"
)

// header collects what the appliance keeps of an object, as UTF-8.
func (f *File) header() (study.Header, error) {
	h := study.Header{TransferSyntaxUID: f.TransferSyntax}
	charset := newCharset(f.Text(0x00080005))
	text := func(d *DataSet, t Tag) string { return clean(charset.decode(d.Bytes(t))) }
	codes := func(d *DataSet, t Tag) (out []study.Code) {
		for _, item := range d.Items(t) {
			out = append(out, study.Code{Value: item.Text(0x00080100), Scheme: item.Text(0x00080102), Meaning: text(item, 0x00080104)})
		}
		return out
	}
	d := f.DataSet
	for _, field := range []struct {
		into *string
		tag  Tag
	}{
		{&h.SOPClassUID, 0x00080016}, {&h.SOPInstanceUID, 0x00080018}, {&h.StudyInstanceUID, 0x0020000D}, {&h.SeriesInstanceUID, 0x0020000E},
		{&h.Modality, 0x00080060}, {&h.PatientBirthDate, 0x00100030}, {&h.PatientSex, 0x00100040}, {&h.PatientAge, 0x00101010},
		{&h.PatientSize, 0x00101020}, {&h.PatientWeight, 0x00101030}, {&h.PatientIdentityGone, 0x00120062},
		{&h.StudyDate, 0x00080020}, {&h.StudyTime, 0x00080030},
		{&h.ViewPosition, 0x00185101}, {&h.PatientOrientation, 0x00200020}, {&h.Laterality, 0x00200060}, {&h.ImageLaterality, 0x00200062},
		{&h.BodyPartExamined, 0x00180015}, {&h.ImageType, 0x00080008}, {&h.PresentationIntent, 0x00080068},
		{&h.AcquisitionDate, 0x00080022}, {&h.AcquisitionTime, 0x00080032}, {&h.ContentDate, 0x00080023}, {&h.ContentTime, 0x00080033},
		{&h.SeriesNumber, 0x00200011}, {&h.AcquisitionNumber, 0x00200012}, {&h.InstanceNumber, 0x00200013},
		{&h.BurnedInAnnotation, 0x00280301}, {&h.PhotometricInterpretation, Photometric},
	} {
		*field.into = clean(d.Text(field.tag))
	}
	for _, field := range []struct {
		into *string
		tag  Tag
	}{
		{&h.PatientID, 0x00100020}, {&h.IssuerOfPatientID, 0x00100021}, {&h.OtherPatientIDs, 0x00101000}, {&h.EthnicGroup, 0x00102160},
		{&h.PatientComments, 0x00104000}, {&h.DeidentificationNote, 0x00120063},
		{&h.AccessionNumber, 0x00080050}, {&h.StudyID, 0x00200010}, {&h.StudyDescription, 0x00081030},
		{&h.SeriesDescription, 0x0008103E}, {&h.ProtocolName, 0x00181030}, {&h.AcquisitionDevice, 0x00181400}, {&h.AcquisitionCode, 0x00181401},
		{&h.Manufacturer, 0x00080070}, {&h.ManufacturerModel, 0x00081090}, {&h.StationName, 0x00081010},
	} {
		*field.into = text(d, field.tag)
	}
	h.PatientName = strings.TrimRight(text(d, 0x00100010), "=") // empty component groups at the end say nothing
	h.ReferringPhysicianName = strings.TrimRight(text(d, 0x00080090), "=")
	h.ProcedureCodes, h.AnatomicRegions, h.ViewCodes = codes(d, 0x00081032), codes(d, 0x00082218), codes(d, 0x00540220)
	for _, item := range d.Items(0x00540220) {
		h.ViewModifierCodes = append(h.ViewModifierCodes, codes(item, 0x00540222)...)
	}
	for _, item := range d.Items(0x00082112) {
		h.SourceImages = append(h.SourceImages, item.Text(0x00081155))
	}
	for _, item := range d.Items(0x00400275) {
		h.Requests = append(h.Requests, study.Request{
			AccessionNumber: text(item, 0x00080050), PlacerOrderNumber: text(item, 0x00402016), FillerOrderNumber: text(item, 0x00402017),
			ProcedureID: text(item, 0x00401001), ProcedureDescription: text(item, 0x00321060), ProcedureCodes: codes(item, 0x00321064),
		})
	}
	h.Rows, h.Columns = d.Int(Rows), d.Int(Columns)
	h.SamplesPerPixel, h.BitsAllocated, h.BitsStored = d.Int(SamplesPerPixel), d.Int(BitsAllocated), d.Int(BitsStored)
	h.NumberOfFrames = max(d.Int(NumberOfFrames), 1)
	return h, nil
}

// clean takes control characters and what is not UTF-8 out of a value.
func clean(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD")))
}
