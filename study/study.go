package study

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Projection is the side from which a chest radiograph was taken.
type Projection int

// Projections. ProjectionUnknown is a stated doubt, ProjectionOther a view that is neither (oblique, decubitus, not a chest).
const (
	ProjectionUnknown Projection = iota
	Frontal
	Lateral
	ProjectionOther
)

// String returns the lower-case English word for the projection.
func (p Projection) String() string {
	switch p {
	case Frontal:
		return "frontal"
	case Lateral:
		return "lateral"
	case ProjectionOther:
		return "other"
	}
	return "unknown"
}

// MarshalText writes the word for the projection.
func (p Projection) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the word for the projection.
func (p *Projection) UnmarshalText(text []byte) error {
	for _, have := range []Projection{ProjectionUnknown, Frontal, Lateral, ProjectionOther} {
		if have.String() == string(text) {
			*p = have
			return nil
		}
	}
	return fmt.Errorf("study: unknown projection %q", text)
}

// Code is a coded concept (PS3.3 8.8): value, coding scheme designator, meaning.
type Code struct {
	Value   string `json:"value"`
	Scheme  string `json:"scheme"`
	Meaning string `json:"meaning"`
}

// Header is what the appliance keeps of an object's attributes: text is UTF-8 whatever the object's character set was,
// multi-valued text is joined by a backslash, absent is empty.
type Header struct {
	SOPClassUID       string `json:"sop_class_uid"`
	SOPInstanceUID    string `json:"sop_instance_uid"`
	TransferSyntaxUID string `json:"transfer_syntax_uid"`
	StudyInstanceUID  string `json:"study_instance_uid"`
	SeriesInstanceUID string `json:"series_instance_uid"`
	Modality          string `json:"modality"`

	// Patient module (PS3.3 C.7.1.1) and patient study module (C.7.2.2).
	PatientName          string `json:"patient_name"`
	PatientID            string `json:"patient_id"`
	IssuerOfPatientID    string `json:"issuer_of_patient_id,omitempty"`
	PatientBirthDate     string `json:"patient_birth_date"`
	PatientSex           string `json:"patient_sex"`
	PatientAge           string `json:"patient_age,omitempty"`
	OtherPatientIDs      string `json:"other_patient_ids,omitempty"`
	EthnicGroup          string `json:"ethnic_group,omitempty"`
	PatientComments      string `json:"patient_comments,omitempty"`
	PatientSize          string `json:"patient_size,omitempty"`
	PatientWeight        string `json:"patient_weight,omitempty"`
	PatientIdentityGone  string `json:"patient_identity_removed,omitempty"`
	DeidentificationNote string `json:"deidentification_method,omitempty"`

	// General study module (C.7.2.1).
	StudyDate              string `json:"study_date"`
	StudyTime              string `json:"study_time"`
	AccessionNumber        string `json:"accession_number"`
	StudyID                string `json:"study_id"`
	ReferringPhysicianName string `json:"referring_physician_name"`
	StudyDescription       string `json:"study_description,omitempty"`

	// Requests the image answers (Request Attributes Sequence 0040,0275).
	Requests []Request `json:"requests,omitempty"`
	// Procedure Code Sequence (0008,1032).
	ProcedureCodes []Code `json:"procedure_codes,omitempty"`

	// What tells the view.
	ViewPosition       string   `json:"view_position,omitempty"`        // (0018,5101)
	ViewCodes          []Code   `json:"view_codes,omitempty"`           // (0054,0220)
	ViewModifierCodes  []Code   `json:"view_modifier_codes,omitempty"`  // (0054,0222) inside the view code items
	PatientOrientation string   `json:"patient_orientation,omitempty"`  // (0020,0020)
	SeriesDescription  string   `json:"series_description,omitempty"`   // (0008,103E)
	ProtocolName       string   `json:"protocol_name,omitempty"`        // (0018,1030)
	AcquisitionDevice  string   `json:"acquisition_device,omitempty"`   // (0018,1400) Acquisition Device Processing Description
	AcquisitionCode    string   `json:"acquisition_code,omitempty"`     // (0018,1401)
	Laterality         string   `json:"laterality,omitempty"`           // (0020,0060)
	ImageLaterality    string   `json:"image_laterality,omitempty"`     // (0020,0062)
	BodyPartExamined   string   `json:"body_part_examined,omitempty"`   // (0018,0015)
	AnatomicRegions    []Code   `json:"anatomic_regions,omitempty"`     // (0008,2218)
	ImageType          string   `json:"image_type,omitempty"`           // (0008,0008)
	PresentationIntent string   `json:"presentation_intent,omitempty"`  // (0008,0068)
	AcquisitionDate    string   `json:"acquisition_date,omitempty"`     // (0008,0022)
	AcquisitionTime    string   `json:"acquisition_time,omitempty"`     // (0008,0032)
	ContentDate        string   `json:"content_date,omitempty"`         // (0008,0023)
	ContentTime        string   `json:"content_time,omitempty"`         // (0008,0033)
	SeriesNumber       string   `json:"series_number,omitempty"`        // (0020,0011)
	AcquisitionNumber  string   `json:"acquisition_number,omitempty"`   // (0020,0012)
	InstanceNumber     string   `json:"instance_number,omitempty"`      // (0020,0013)
	BurnedInAnnotation string   `json:"burned_in_annotation,omitempty"` // (0028,0301)
	Manufacturer       string   `json:"manufacturer,omitempty"`
	ManufacturerModel  string   `json:"manufacturer_model,omitempty"`
	StationName        string   `json:"station_name,omitempty"`
	SourceImages       []string `json:"source_images,omitempty"` // SOP Instance UIDs of (0008,2112)

	// Image pixel module (C.7.6.3).
	Rows                      int    `json:"rows,omitempty"`
	Columns                   int    `json:"columns,omitempty"`
	NumberOfFrames            int    `json:"number_of_frames,omitempty"`
	SamplesPerPixel           int    `json:"samples_per_pixel,omitempty"`
	PhotometricInterpretation string `json:"photometric_interpretation,omitempty"`
	BitsAllocated             int    `json:"bits_allocated,omitempty"`
	BitsStored                int    `json:"bits_stored,omitempty"`
}

// Request is one item of the Request Attributes Sequence (PS3.3 table 10-9).
type Request struct {
	AccessionNumber      string `json:"accession_number,omitempty"`
	PlacerOrderNumber    string `json:"placer_order_number,omitempty"`
	FillerOrderNumber    string `json:"filler_order_number,omitempty"`
	ProcedureID          string `json:"procedure_id,omitempty"`
	ProcedureDescription string `json:"procedure_description,omitempty"`
	ProcedureCodes       []Code `json:"procedure_codes,omitempty"`
}

// Instance is one received SOP instance as the ledger knows it.
type Instance struct {
	Header   Header    `json:"header"`
	Path     string    `json:"path"`   // of the received Part 10 file, relative to the state folder; never built from peer text
	SHA256   string    `json:"sha256"` // of the data set's bytes as received, without the file meta information
	Size     int64     `json:"size"`   // bytes of the file
	Received time.Time `json:"received"`
	Calling  string    `json:"calling_ae_title"`
}

// Normalised is one view as the classifier takes it.
type Normalised struct {
	// Pixels are a square of grey levels in [-1024, 1024], row by row, bright is dense (as MONOCHROME2): 224 x 224, or what the classifier takes.
	Pixels []float32
	// Geometry leads back to the full image.
	Geometry Geometry
}

// InputSize is the side of the usual classifier's square input in pixels, and into how many parts Geometry divides that of any.
const InputSize = 224

// Geometry maps the classifier's input, taken as 224 x 224, onto the full image: input pixel (x, y) covers the full image from
// (X + x*Scale, Y + y*Scale), in columns and rows with the top-left corner of the top-left pixel at (0, 0) (PS3.3 C.10.5.1.2).
type Geometry struct {
	X       float64 `json:"x"`
	Y       float64 `json:"y"`
	Scale   float64 `json:"scale"`
	Columns int     `json:"columns"` // of the full image
	Rows    int     `json:"rows"`
}

// ToFull returns the full image's coordinates of a point of the classifier's input, clamped to the image.
func (g Geometry) ToFull(x, y float64) (column, row float64) {
	return min(max(g.X+x*g.Scale, 0), float64(g.Columns)), min(max(g.Y+y*g.Scale, 0), float64(g.Rows))
}

// Choice says what became of one instance of a study and why.
type Choice struct {
	SOPInstanceUID string     `json:"sop_instance_uid"`
	Projection     Projection `json:"projection"`
	Chosen         bool       `json:"chosen"`
	Doubt          bool       `json:"doubt"`    // the evidence does not decide: a stated doubt
	LogOdds        float64    `json:"log_odds"` // of lateral against frontal, natural logarithm
	Why            []string   `json:"why"`      // one reason a line, for people
}

// Pair is the outcome of pairing: the images to read, and why each image was chosen or left.
type Pair struct {
	Frontal string   `json:"frontal"` // SOP Instance UID, empty when there is none
	Lateral string   `json:"lateral"`
	Choices []Choice `json:"choices"`
	// Doubt is what a reader must know of what is read: a view that was taken for the likelier one, a picture that looks turned round. Empty
	// when there is nothing of the kind.
	Doubt string `json:"doubt,omitempty"`
	// Refusal is empty when the study can be drafted, else the reason it cannot.
	Refusal string `json:"refusal,omitempty"`
}

// Together is what a reader must know as one text, of what is to be said at all.
func Together(said ...string) string {
	return strings.Join(slices.DeleteFunc(said, func(text string) bool { return text == "" }), "; ")
}

// ViewsCertain reports whether the evidence decided which view each image is that is read.
func (p Pair) ViewsCertain() bool {
	return !slices.ContainsFunc(p.Choices, func(c Choice) bool { return c.Chosen && c.Doubt })
}
