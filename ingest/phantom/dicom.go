package phantom

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

	"llamaxr/internal/dicomwrite"
	"llamaxr/study"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// Habit is how a vendor writes its objects.
type Habit struct {
	Name         string
	DX           bool // Digital X-Ray, else Computed Radiography
	Monochrome1  bool
	BitsStored   int
	Window       bool
	ViewPosition bool // PA or LL
	Orientation  bool // Patient Orientation
	Lies         bool // says PA on the lateral too, as 1,099 of 2,890 real "PA" headers do
	Size         int  // pixels a side
}

// Habits are those of several vendors.
func Habits() []Habit {
	return []Habit{
		{Name: "dx-12", DX: true, BitsStored: 12, Window: true, ViewPosition: true, Orientation: true, Size: 768},
		{Name: "cr-mono1-10", Monochrome1: true, BitsStored: 10, Window: true, ViewPosition: true, Orientation: true, Lies: true, Size: 640},
		{Name: "cr-15-bare", BitsStored: 15, Size: 700},
		{Name: "dx-14-mono1", DX: true, Monochrome1: true, BitsStored: 14, Window: true, ViewPosition: true, Orientation: true, Size: 768},
		{Name: "cr-16-lying", BitsStored: 16, ViewPosition: true, Lies: true, Size: 600},
	}
}

// Shares of real headers that lie or say nothing (IU collection, 5,956 CR and DX headers with known truth).
const (
	ShareEmptyView   = 2034.0 / 5956
	ShareLateralAsPA = 1099.0 / 2907
)

// LyingHabit draws a habit whose header is empty or lies as often as real ones do.
func LyingHabit(rng *rand.Rand) Habit {
	h := Habits()[rng.IntN(len(Habits()))]
	h.ViewPosition = rng.Float64() >= ShareEmptyView
	h.Lies = rng.Float64() < ShareLateralAsPA/(1-ShareEmptyView)
	h.Orientation = h.ViewPosition && !h.Lies && h.Orientation
	return h
}

func uid(parts ...any) string {
	sum := sha256.Sum256([]byte(fmt.Sprint(parts...)))
	return "2.25." + new(big.Int).SetBytes(sum[:16]).String()
}

// StudyUID is the Study Instance UID of the case's objects.
func (c *Case) StudyUID() string { return uid("phantom study ", c.Seed) }

// Names of the views' files.
var viewFiles = map[study.Projection]string{study.Frontal: "frontal.dcm", study.Lateral: "lateral.dcm"}

// WriteDICOM writes the views as DX or CR objects into dir and returns their paths. The same case and habit give the same bytes.
func (c *Case) WriteDICOM(dir string, h Habit, views ...study.Projection) ([]string, error) {
	if len(views) == 0 {
		views = []study.Projection{study.Frontal, study.Lateral}
	}
	var paths []string
	for i, view := range views {
		var buf bytes.Buffer
		if err := c.object(h, view, i+1).Write(&buf, "2.25.281934651037529834520194873651029384", "LLAMAXR_PHANTOM"); err != nil {
			return nil, fmt.Errorf("phantom: %w", err)
		}
		path := filepath.Join(dir, fmt.Sprintf("phantom-%d-%s", c.Seed, viewFiles[view]))
		if err := os.WriteFile(path, buf.Bytes(), 0o600); err != nil {
			return nil, fmt.Errorf("phantom: %w", err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// object builds one view's data set.
func (c *Case) object(h Habit, view study.Projection, number int) *dicomwrite.Set {
	img := c.Project(view, h.Size)
	top := float64(int(1)<<h.BitsStored - 1)
	pixels := make([]byte, 0, 2*len(img.Pixels))
	for _, v := range img.Pixels {
		level := math.Round(float64(v) * top)
		if h.Monochrome1 {
			level = top - level
		}
		pixels = binary.LittleEndian.AppendUint16(pixels, uint16(level))
	}
	class, modality := "1.2.840.10008.5.1.4.1.1.1", "CR"
	if h.DX {
		class, modality = "1.2.840.10008.5.1.4.1.1.1.1", "DX"
	}
	photometric, shape := "MONOCHROME2", "IDENTITY"
	if h.Monochrome1 {
		photometric, shape = "MONOCHROME1", "INVERSE"
	}
	sex, birth := "M", 2026-c.Anatomy.Age
	if c.Anatomy.Female {
		sex = "F"
	}
	name := c.Name
	if name == "" {
		name = fmt.Sprintf("Phantom^%d", c.Seed%1_000_000)
	}
	position, orientation := "PA", []string{"L", "F"}
	code := study.Code{Value: "272479007", Scheme: "SCT", Meaning: "postero-anterior"}
	if view == study.Lateral {
		code = study.Code{Value: "399173006", Scheme: "SCT", Meaning: "left lateral"}
		if !h.Lies {
			position, orientation = "LL", []string{"A", "F"}
		}
	}
	s := dicomwrite.New().
		Text(tag.SpecificCharacterSet, "ISO_IR 192").
		Text(tag.ImageType, "ORIGINAL", "PRIMARY").
		Text(tag.SOPClassUID, class).Text(tag.SOPInstanceUID, uid("phantom image ", c.Seed, h.Name, view)).
		Text(tag.StudyDate, "20260102").Text(tag.SeriesDate, "20260102").Text(tag.AcquisitionDate, "20260102").Text(tag.ContentDate, "20260102").
		Text(tag.StudyTime, "101500").Text(tag.SeriesTime, "101500").
		Text(tag.AcquisitionTime, fmt.Sprintf("1015%02d", 10*number)).Text(tag.ContentTime, fmt.Sprintf("1015%02d", 10*number)).
		Text(tag.AccessionNumber, fmt.Sprintf("PH%d", c.Seed%1_000_000)).
		Text(tag.Modality, modality).Text(tag.Manufacturer, "llamaxr phantom").Text(tag.ReferringPhysicianName).
		Text(tag.StudyDescription, "Chest two views").Text(tag.SeriesDescription, "Chest").
		Text(tag.PatientName, name).Text(tag.PatientID, fmt.Sprintf("PHANTOM%d", c.Seed%1_000_000)).
		Text(tag.PatientBirthDate, strconv.Itoa(birth)+"0101").Text(tag.PatientSex, sex).Text(tag.PatientAge, fmt.Sprintf("%03dY", c.Anatomy.Age)).
		Text(tag.BodyPartExamined, "CHEST").
		Text(tag.StudyInstanceUID, c.StudyUID()).Text(tag.SeriesInstanceUID, uid("phantom series ", c.Seed, h.Name, view)).
		Text(tag.StudyID, "1").Text(tag.SeriesNumber, strconv.Itoa(number)).Text(tag.InstanceNumber, "1").
		Ints(tag.SamplesPerPixel, 1).Text(tag.PhotometricInterpretation, photometric).
		Ints(tag.Rows, img.Size).Ints(tag.Columns, img.Size).
		Ints(tag.BitsAllocated, 16).Ints(tag.BitsStored, h.BitsStored).Ints(tag.HighBit, h.BitsStored-1).Ints(tag.PixelRepresentation, 0).
		Text(tag.ImagerPixelSpacing, spacing(img), spacing(img)).
		Text(tag.BurnedInAnnotation, "NO").Text(tag.LossyImageCompression, "00").
		Pixels(pixels)
	if h.ViewPosition || !h.DX {
		s.Text(tag.ViewPosition, map[bool][]string{true: {position}, false: {}}[h.ViewPosition]...)
	}
	if h.Orientation || h.DX {
		s.Text(tag.PatientOrientation, orientation...)
	} else {
		s.Text(tag.PatientOrientation)
	}
	if h.Window {
		s.Text(tag.WindowCenter, dicomwrite.Decimal((top+1)/2)).Text(tag.WindowWidth, dicomwrite.Decimal(top+1))
	}
	if h.DX {
		region := dicomwrite.New().Text(tag.CodeValue, "816094009").Text(tag.CodingSchemeDesignator, "SCT").Text(tag.CodeMeaning, "Thorax")
		viewCode := dicomwrite.New().Text(tag.CodeValue, code.Value).Text(tag.CodingSchemeDesignator, code.Scheme).Text(tag.CodeMeaning, code.Meaning)
		s.Text(tag.PresentationIntentType, "FOR PRESENTATION").Text(tag.PresentationLUTShape, shape).
			Text(tag.ImageLaterality, "U").Items(tag.AnatomicRegionSequence, region).Items(tag.ViewCodeSequence, viewCode.Items(tag.ViewModifierCodeSequence)).
			Text(tag.PixelIntensityRelationship, "LOG").Ints(tag.PixelIntensityRelationshipSign, map[bool]int{true: 1, false: -1}[h.Monochrome1]).
			Text(tag.RescaleIntercept, "0").Text(tag.RescaleSlope, "1").Text(tag.RescaleType, "US").
			Text(tag.DetectorType, "DIRECT").Items(tag.AcquisitionContextSequence).Text(tag.PositionerType)
		if !h.ViewPosition {
			s.Items(tag.ViewCodeSequence)
		}
	} else {
		s.Text(tag.PlateType).Text(tag.KVP)
	}
	return s
}

func spacing(img *Image) string {
	return strconv.FormatFloat(img.FieldSize/float64(img.Size), 'f', 4, 64)
}
