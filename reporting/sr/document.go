package sr

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"image"
	"io"
	"math/big"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"llamaxr/internal/dicomwrite"
	"llamaxr/study"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// SOP classes of what is written.
const (
	BasicTextSR       = "1.2.840.10008.5.1.4.1.1.88.11"
	Comprehensive3DSR = "1.2.840.10008.5.1.4.1.1.88.34"
	SecondaryCapture  = "1.2.840.10008.5.1.4.1.1.7"
)

// Device is who writes: this appliance.
type Device struct {
	Manufacturer, Model, SerialNumber, SoftwareVersion, UID, StationName string
	ImplementationClassUID, ImplementationVersion                        string
}

// Predecessor is the document that a revision replaces, or the draft that a signed report began as.
type Predecessor struct {
	SOPClassUID, SOPInstanceUID, SeriesInstanceUID string
	Preliminary                                    bool // it was never final: a draft
}

// Input is what a document is made from. Time is that of the draft, never the clock's: the same input gives the same bytes.
type Input struct {
	Draft            study.Draft
	Maps             []study.HeatMap
	Frontal, Lateral *study.Header // nil when there is none
	Time             time.Time
	Device           Device
	Predecessor      *Predecessor // of the same kind of document, on revisions after the first
	// Sectioned gives a draft's narrative the sections of RSNA's templates of chest radiographs.
	Sectioned bool
	// Made are the documents that were made before, by kind: made again, each is the same object, whatever its UIDs would be now.
	Made map[string]Identity
	// Presentations are the presentation states that were made, by the SOP Instance UID of their image: reports refer to them.
	Presentations map[string]*Document
}

// Identity is by what others know a document.
type Identity struct {
	SOPInstanceUID, SeriesInstanceUID string
}

// Document is a finished object.
type Document struct {
	Kind                                           string // what it is among the documents of a draft
	SOPClassUID, SOPInstanceUID, SeriesInstanceUID string
	set                                            *dicomwrite.Set
	device                                         Device
}

// WriteTo writes the object as a DICOM file.
func (d *Document) WriteTo(w io.Writer) (int64, error) {
	var buf bytes.Buffer
	if err := d.set.Write(&buf, d.device.ImplementationClassUID, d.device.ImplementationVersion); err != nil {
		return 0, err
	}
	n, err := w.Write(buf.Bytes())
	return int64(n), err
}

// DeriveUID makes a UID from parts: 2.25 and the first 128 bits of their digest as a decimal (PS3.5, section B.2).
func DeriveUID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return "2.25." + new(big.Int).SetBytes(sum[:16]).String()
}

// Of returns the header of a view, nil when there is none.
func (in Input) Of(view study.Projection) *study.Header {
	switch view {
	case study.Frontal:
		return in.Frontal
	case study.Lateral:
		return in.Lateral
	}
	return nil
}

// Images returns the headers of the views that there are, frontal first.
func (in Input) Images() []*study.Header {
	var out []*study.Header
	for _, h := range []*study.Header{in.Frontal, in.Lateral} {
		if h != nil {
			out = append(out, h)
		}
	}
	return out
}

// source is the image whose patient and study modules are copied.
func (in Input) source() *study.Header { return in.Images()[0] }

// Begin starts an object of this study: patient, study, series and equipment modules, SOP common. Its UID is the same whenever the same draft is made, and
// another's when a draft says anything else, of anybody else or by another device: an appliance that lost its ledger numbers its revisions anew, and what
// an archive has by a UID it keeps. What was made before (in.Made) stays what it was.
func Begin(in Input, sopClass, kind, modality, description string, seriesNumber int) (*Document, error) {
	if len(in.Images()) == 0 {
		return nil, fmt.Errorf("sr: a document needs an image")
	}
	h := in.source()
	parts := []string{
		in.Draft.StudyInstanceUID, fmt.Sprint(in.Draft.Revision), in.Device.UID,
		h.PatientID, h.IssuerOfPatientID, h.PatientBirthDate, h.PatientSex, h.PatientName, h.AccessionNumber, notice(in.Draft),
	}
	parts = append(parts, said(in.Draft.Sentences)...)
	for _, m := range in.Draft.Models {
		parts = append(parts, m.Digest)
	}
	for _, h := range in.Images() {
		parts = append(parts, h.SOPInstanceUID)
	}
	d := &Document{
		Kind: kind, SOPClassUID: sopClass, device: in.Device,
		SOPInstanceUID:    DeriveUID(append(parts, kind, "instance")...),
		SeriesInstanceUID: DeriveUID(in.Draft.StudyInstanceUID, in.Device.UID, kind, "series"),
		set:               dicomwrite.New(),
	}
	d.remain(in)
	date, clock := in.Time.Format("20060102"), in.Time.Format("150405")
	d.set.
		Text(tag.SpecificCharacterSet, "ISO_IR 192").
		Text(tag.InstanceCreationDate, date).Text(tag.InstanceCreationTime, clock).
		Text(tag.SOPClassUID, sopClass).Text(tag.SOPInstanceUID, d.SOPInstanceUID).
		Required(tag.StudyDate, formed(dateForm, h.StudyDate)).Required(tag.StudyTime, formed(timeForm, h.StudyTime)).
		Text(tag.ContentDate, date).Text(tag.ContentTime, clock).
		Required(tag.AccessionNumber, identifier(h.AccessionNumber)).
		Text(tag.Modality, modality).
		Text(tag.Manufacturer, clip(in.Device.Manufacturer, 64)).
		Required(tag.ReferringPhysicianName, person(h.ReferringPhysicianName)).
		Optional(tag.StationName, clip(in.Device.StationName, 16)).
		Optional(tag.StudyDescription, clip(h.StudyDescription, 64)).
		Text(tag.SeriesDescription, description).
		Text(tag.ManufacturerModelName, clip(in.Device.Model, 64)).
		Required(tag.PatientName, person(h.PatientName)).Required(tag.PatientID, identifier(h.PatientID)).
		Optional(tag.IssuerOfPatientID, identifier(h.IssuerOfPatientID)).
		Required(tag.PatientBirthDate, formed(dateForm, h.PatientBirthDate)).Required(tag.PatientSex, formed(sexForm, h.PatientSex)).
		Optional(tag.PatientAge, formed(ageForm, h.PatientAge)).
		Text(tag.DeviceSerialNumber, clip(in.Device.SerialNumber, 64)).
		Text(tag.SoftwareVersions, softwareVersions(in)...).
		Text(tag.StudyInstanceUID, in.Draft.StudyInstanceUID).Text(tag.SeriesInstanceUID, d.SeriesInstanceUID).
		Required(tag.StudyID, identifier(h.StudyID)).
		Text(tag.SeriesNumber, fmt.Sprint(seriesNumber)).Text(tag.InstanceNumber, fmt.Sprint(in.Draft.Revision))
	return d, nil
}

// remain gives a document that was made before its UIDs.
func (d *Document) remain(in Input) {
	if made, ok := in.Made[d.Kind]; ok {
		d.SOPInstanceUID, d.SeriesInstanceUID = made.SOPInstanceUID, made.SeriesInstanceUID
	}
}

// said are the texts of sentences, apart by section.
func said(sentences []study.Sentence) (out []string) {
	for _, s := range sentences {
		out = append(out, fmt.Sprint(s.Section), fmt.Sprint(s.Verdict), s.Text)
	}
	return out
}

// Forms of what is copied from an image (PS3.5 table 6.2-1; PS3.3 C.7.1.1 for the sex). A value that an image has in another form is left out:
// a document of ours must be valid though its source is not.
var (
	dateForm = regexp.MustCompile(`^\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$`)
	timeForm = regexp.MustCompile(`^([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d{1,6})?)?)?$`)
	ageForm  = regexp.MustCompile(`^\d{3}[DWMY]$`)
	sexForm  = regexp.MustCompile(`^[MFO]$`)
)

// formed is the value, empty when it does not have the form.
func formed(form *regexp.Regexp, value string) string {
	if !form.MatchString(value) {
		return ""
	}
	return value
}

// identifier is what names a patient, a study or an order: as the image has it, though its VR should be shorter, for the beginning of one may be
// another's. Longer than any VR allows it is left out.
func identifier(value string) string {
	const longest = 64
	if whole := clip(value, longest+1); utf8.RuneCountInString(whole) <= longest {
		return whole
	}
	return ""
}

// person is a name as one value of VR PN: of the first name that an image has, three ways of writing of 64 characters each at most.
func person(names string) string {
	first, _, _ := strings.Cut(names, `\`)
	groups := strings.Split(first, "=")
	for i := range groups {
		groups[i] = clip(groups[i], 64)
	}
	return strings.Join(groups[:min(len(groups), 3)], "=")
}

// softwareVersions names the program and every model with the head of its digest.
func softwareVersions(in Input) []string {
	out := []string{clip("llamaxr "+in.Device.SoftwareVersion, 64)}
	for _, m := range in.Draft.Models {
		out = append(out, clip(fmt.Sprintf("%s %s %s %.12s", m.Role, m.Name, m.Version, m.Digest), 64))
	}
	return out
}

// Capture makes a Secondary Capture image from an RGB picture.
func Capture(in Input, kind, description string, seriesNumber int, picture *image.RGBA) (*Document, error) {
	d, err := Begin(in, SecondaryCapture, kind, "OT", description, seriesNumber)
	if err != nil {
		return nil, err
	}
	size := picture.Bounds().Size()
	pixels := make([]byte, 0, 3*size.X*size.Y)
	for y := range size.Y {
		row := picture.Pix[y*picture.Stride:]
		for x := range size.X {
			pixels = append(pixels, row[4*x], row[4*x+1], row[4*x+2])
		}
	}
	d.set.
		Text(tag.ImageType, "DERIVED", "SECONDARY").Text(tag.ConversionType, "WSD").
		Text(tag.BurnedInAnnotation, "YES").Text(tag.PatientOrientation).Text(tag.Laterality).
		Text(tag.ImageComments, notice(in.Draft)).
		Text(tag.DerivationDescription, plain(fmt.Sprintf("AI draft picture from %d radiographs", len(in.Images())))).
		Ints(tag.SamplesPerPixel, 3).Text(tag.PhotometricInterpretation, "RGB").Ints(tag.PlanarConfiguration, 0).
		Ints(tag.Rows, size.Y).Ints(tag.Columns, size.X).
		Ints(tag.BitsAllocated, 8).Ints(tag.BitsStored, 8).Ints(tag.HighBit, 7).Ints(tag.PixelRepresentation, 0).
		Pixels(pixels)
	d.set.Items(tag.SourceImageSequence, references(in.Images())...)
	return d, nil
}

// reference names an object (PS3.3, table 10-11).
func reference(sopClass, sopInstance string) *dicomwrite.Set {
	return dicomwrite.New().Text(tag.ReferencedSOPClassUID, sopClass).Text(tag.ReferencedSOPInstanceUID, sopInstance)
}

func references(images []*study.Header) []*dicomwrite.Set {
	var out []*dicomwrite.Set
	for _, h := range images {
		out = append(out, reference(h.SOPClassUID, h.SOPInstanceUID))
	}
	return out
}

// notice is what must be read before a draft: what it is, and its gaps.
func notice(d study.Draft) string {
	out := study.DraftWarning + "."
	if d.Starter() {
		out += " " + study.StarterWarning + "."
	}
	if d.Partial != "" {
		gaps := plain(d.Partial)
		out += " " + strings.ToUpper(gaps[:1]) + gaps[1:] + "."
	}
	return out
}

// plain makes text fit for an SR: of control characters only CR and LF may stay, and a backslash would split the value.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\t', r == '\f', r == '\v':
			return ' '
		case r == '\\':
			return '/'
		case r < ' ' && r != '\n' && r != '\r', r >= 0x7f && r < 0xa0:
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if text = strings.TrimSpace(text); text == "" {
		return "-"
	}
	return clip(text, maxTextItem)
}

// clip cuts a value to n characters.
func clip(text string, n int) string {
	runes := []rune(text)
	return strings.TrimSpace(string(runes[:min(len(runes), n)]))
}
