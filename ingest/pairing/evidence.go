package pairing

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"llamaxr/study"
)

// Weights are rounded log-odds for lateral, in nats, read off the IU headers (frontal : lateral counts beside each) and capped: no
// header is worth more than a clear picture.
const (
	weightViewCode        = 6.0  // 0 : 11 and 11 : 0, and the DX module says it must be right (PS3.3, C.8.11.5)
	weightLateralPosition = 6.0  // LL, RL, LATERAL: 1 : 696
	weightAP              = -3.5 // 326 : 9
	weightPA              = -0.5 // 1,788 : 1,099
	weightSideways        = 6.0  // Patient Orientation begins with A or P: 1 : 550
	weightFromRight       = -3.0 // Patient Orientation begins with R: 11 : 0
	weightFromLeft        = -0.5 // begins with L: 1,926 : 1,106; most say PA as well and the two count once
	weightWide            = -3.5 // wider than high by a tenth: 1,340 : 21
	weightTall            = 1.2  // higher than wide by a tenth: 470 : 1,640
	weightWords           = 2.5  // descriptions, written by people or from the protocol
	weightOrder           = 1.5  // of two images the second number is the lateral: 143 : 1,825 for series 2; sites differ
	weightAlone           = -0.7 // the only image of its study: 245 : 120
	// weightPicture caps the picture's evidence.
	weightPicture = 8.0
)

// Picture is what looking at the pixels gave.
type Picture struct {
	LogOddsLateral float64 // nats
	POther         float64 // probability that it is no chest radiograph
	Inverted       bool    // the grey levels look turned round
	Doubts         []string
}

// doubts are what a reader must know of an image that is read.
func (j *judged) doubts() []string {
	var out []string
	if j.disagree {
		out = append(out, "header and picture disagree")
	}
	if p := j.c.Picture; p != nil {
		if p.Inverted {
			out = append(out, "its grey levels look turned round")
		}
		out = append(out, p.Doubts...)
	}
	if row := strings.ToUpper(j.c.Header.PatientOrientation); strings.HasPrefix(row, "R") && j.choice.Projection == study.Frontal {
		out = append(out, fmt.Sprintf("Patient Orientation %s is of a mirrored picture", clip(strings.ReplaceAll(row, `\`, " ")))) // a backslash would part values
	}
	return out
}

// line is one piece of evidence.
type line struct {
	logOdds float64
	why     string
}

var (
	viewCodes = map[string]float64{ // CID 4010, SCT and SRT
		"272479007": -1, "R-40888": -1, "R-10214": -1, "399348003": -1, "R-10206": -1, "399033003": -1, "R-10202": -1,
		"399067008": 1, "R-102CD": 1, "399173006": 1, "R-10236": 1, "399198007": 1, "R-10232": 1,
	}
	obliqueCodes = map[string]bool{
		"399135007": true, "R-10220": true, "399356000": true, "R-40985": true, "399160007": true, "R-10204": true,
		"399006002": true, "399038007": true, "399061009": true, "399110001": true,
	}
	lateralWords = regexp.MustCompile(`(?i)\b(?:lat|lateral|laterale?|seitl(?:ich)?|seitlich|profil|profile|perfil|latero|ll)\b`)
	frontalWords = regexp.MustCompile(`(?i)\b(?:pa|ap|p\.?a\.?|a\.?p\.?|frontal|front|face|frente|postero-?anterior|antero-?posterior|portable)\b`)
	otherWords   = regexp.MustCompile(`(?i)\b(?:decub\w*|lld|rld|lordotic|apical|oblique|obl|ribs?|sternum|scout|abdomen|kub|shoulder|post-?mortem|autopsy)\b`)
	childWords   = regexp.MustCompile(`(?i)\b(?:pa?ediatric|ped|infant|neonat\w*|newborn|babygram|child)\b`)
	handheld     = regexp.MustCompile(`(?i)\b(?:iphone|ipad|galaxy [a-z]?\d|sm-[a-z]\d{3}\w*|pixel \d|xiaomi|redmi|huawei|oneplus|nikon|olympus|gopro|eos)\b`)
	chestWords   = regexp.MustCompile(`CHEST|THORAX|T[OÓ]RAX|LUNG|PULMO`)
	beyondChest  = regexp.MustCompile(`ABDOMEN|PELVIS|SPINE|NECK|HEAD|BODY`)
	// tiltedCodes are View Modifiers (CID 4011) of projections that the models have not seen.
	tiltedCodes = map[string]bool{
		"399196006": true, "R-102CF": true, // cephalad: lordotic
		"399265001": true, "R-102D0": true, // caudad
	}
)

// evidence lists what the header says of the view.
func evidence(h study.Header) []line {
	var out []line
	add := func(w float64, format string, args ...any) {
		out = append(out, line{w, fmt.Sprintf(format, args...)})
	}
	for _, c := range h.ViewCodes {
		if w, ok := viewCodes[c.Value]; ok {
			add(w*weightViewCode, "View Code says %s", c.Meaning)
		}
	}
	facing := 0.0
	switch position := strings.ToUpper(strings.TrimSpace(h.ViewPosition)); {
	case position == "":
	case position == "AP":
		add(weightAP, "View Position says AP (of 335 such headers 9 were laterals)")
	case position == "PA":
		facing = weightPA
		add(weightPA, "View Position says PA (of 2,890 such headers 1,099 were laterals)")
	case position == "LL" || position == "RL" || position == "L" || position == "R" || strings.Contains(position, "LAT"):
		add(weightLateralPosition, "View Position says %s (of 697 such headers 1 was frontal)", position)
	}
	switch orientation := strings.ToUpper(h.PatientOrientation); {
	case strings.HasPrefix(orientation, "A") || strings.HasPrefix(orientation, "P"):
		add(weightSideways, "Patient Orientation %s is seen from the side (of 551 such headers 1 was frontal)", orientation)
	case strings.HasPrefix(orientation, "R"):
		add(weightFromRight, "Patient Orientation %s is seen from behind", orientation)
	case strings.HasPrefix(orientation, "L") && facing == 0:
		add(weightFromLeft, "Patient Orientation %s (of 3,032 such headers 1,106 were laterals)", orientation)
	}
	if h.Rows > 0 && h.Columns > 0 {
		switch ratio := float64(h.Rows) / float64(h.Columns); {
		case ratio < 0.9:
			add(weightWide, "wider than high (of 1,361 such images 21 were laterals)")
		case ratio > 1.1:
			add(weightTall, "higher than wide (of 2,110 such images 470 were frontal)")
		}
	}
	words := strings.Join([]string{h.SeriesDescription, h.ProtocolName, h.AcquisitionDevice, h.AcquisitionCode}, " ")
	switch lateral, frontal := lateralWords.MatchString(words), frontalWords.MatchString(words); {
	case lateral && frontal:
	case lateral:
		add(weightWords, "a description says lateral: %q", clip(words))
	case frontal:
		add(-weightWords, "a description says frontal: %q", clip(words))
	}
	return out
}

func clip(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	return text[:min(len(text), 60)]
}

const secondaryCapture = "1.2.840.10008.5.1.4.1.1.7"

// Unsuited returns why an object is not to be read at all, empty when it may be.
func Unsuited(h study.Header, cfg Config) string {
	switch h.SOPClassUID {
	case "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1.1":
	case secondaryCapture:
		if radiograph := h.Modality == "CR" || h.Modality == "DX"; !cfg.Captures || !radiograph {
			return fmt.Sprintf("a secondary capture (modality %q): not read as a radiograph", h.Modality)
		}
	default:
		return fmt.Sprintf("not a CR or DX radiograph (SOP Class %s, modality %q)", h.SOPClassUID, h.Modality)
	}
	if h.NumberOfFrames > 1 {
		return fmt.Sprintf("%d frames in one object: not one radiograph", h.NumberOfFrames)
	}
	if h.Rows > 0 && h.Columns > 0 && (h.Rows > longest*h.Columns || h.Columns > longest*h.Rows) {
		return fmt.Sprintf("%d rows and %d columns: two exposures in one picture, or a strip of one", h.Rows, h.Columns)
	}
	if colour := strings.ToUpper(h.PhotometricInterpretation); h.SamplesPerPixel > 1 || colour != "" && !strings.HasPrefix(colour, "MONOCHROME") {
		return fmt.Sprintf("in colour (%s), which CR and DX never are (PS3.3 C.8.1.2, C.8.11.3): a photograph or a capture", h.PhotometricInterpretation)
	}
	if handheld.MatchString(h.Manufacturer + " " + h.ManufacturerModel) {
		return fmt.Sprintf("taken with a phone or a camera (%s)", clip(h.Manufacturer+" "+h.ManufacturerModel))
	}
	if reason := elsewhere(h); reason != "" {
		return reason
	}
	if reason := turned(h.PatientOrientation); reason != "" {
		return reason
	}
	for _, c := range h.ViewCodes {
		if obliqueCodes[c.Value] {
			return fmt.Sprintf("View Code says %s: neither frontal nor lateral", c.Meaning)
		}
	}
	for _, c := range h.ViewModifierCodes {
		if tiltedCodes[c.Value] {
			return fmt.Sprintf("View Modifier says %s: outside the intended use", c.Meaning)
		}
	}
	switch position := strings.ToUpper(h.ViewPosition); position {
	case "LLD", "RLD":
		return "decubitus: outside the intended use"
	case "LLO", "RLO", "LAO", "RAO", "LPO", "RPO":
		return "oblique: neither frontal nor lateral"
	}
	words := strings.Join([]string{h.SeriesDescription, h.ProtocolName, h.AcquisitionDevice, h.AcquisitionCode}, " ")
	if otherWords.MatchString(words) {
		return fmt.Sprintf("a description speaks of another projection: %q", clip(words))
	}
	if kind := strings.ToUpper(h.ImageType); strings.Contains(kind, "LOCALIZER") || strings.Contains(kind, "BONE") || strings.Contains(kind, "SUPPRESS") {
		return fmt.Sprintf("Image Type %s is not the radiograph itself", h.ImageType)
	}
	switch age, known := years(h); {
	case known && age < cfg.MinimumAge:
		return fmt.Sprintf("the patient is %d: the models are for adults", age)
	case !known && cfg.MinimumAge > 0 && childWords.MatchString(words+" "+h.StudyDescription):
		return "no age, and a description speaks of a child: the models are for adults"
	}
	return ""
}

// elsewhere says when the object names another part of the body than the chest, or more than it.
func elsewhere(h study.Header) string {
	if region := strings.ToUpper(strings.TrimSpace(h.BodyPartExamined)); region != "" {
		if !chestWords.MatchString(region) || beyondChest.MatchString(region) {
			return fmt.Sprintf("Body Part Examined is %s", region)
		}
		return ""
	}
	for _, c := range h.AnatomicRegions {
		if meaning := strings.ToUpper(c.Meaning); meaning != "" && (!chestWords.MatchString(meaning) || beyondChest.MatchString(meaning)) {
			return fmt.Sprintf("Anatomic Region is %s", c.Meaning)
		}
	}
	return ""
}

// turned says when Patient Orientation (PS3.3 C.7.6.1.1.1) has the head anywhere but at the top. The image is not turned back: the
// attribute is as often left over from before a reader turned the picture.
func turned(orientation string) string {
	row, column, _ := strings.Cut(strings.ToUpper(strings.ReplaceAll(orientation, " ", "")), `\`)
	switch {
	case strings.HasPrefix(row, "H") || strings.HasPrefix(row, "F"):
		return fmt.Sprintf("the cassette was turned: Patient Orientation is %s", orientation)
	case strings.HasPrefix(column, "H"):
		return fmt.Sprintf("the picture stands on its head: Patient Orientation is %s", orientation)
	}
	return ""
}

// age is Patient Age (VR AS): digits and a unit. Some devices leave out zeros, or the unit of years.
var age = regexp.MustCompile(`^\s*(\d{1,3})\s*([YMWDymwd]?)\s*$`)

var unitsOfYear = map[string]int{"": 1, "Y": 1, "M": 12, "W": 52, "D": 365}

// years is the patient's age by Patient Age, else by birth and study date.
func years(h study.Header) (int, bool) {
	if m := age.FindStringSubmatch(h.PatientAge); m != nil {
		n, _ := strconv.Atoi(m[1]) // three digits
		return n / unitsOfYear[strings.ToUpper(m[2])], true
	}
	var by, bm, bd, sy, sm, sd int
	if _, err := fmt.Sscanf(h.PatientBirthDate, "%4d%2d%2d", &by, &bm, &bd); err != nil {
		return 0, false
	}
	if _, err := fmt.Sscanf(h.StudyDate, "%4d%2d%2d", &sy, &sm, &sd); err != nil {
		return 0, false
	}
	n := sy - by
	if sm < bm || sm == bm && sd < bd {
		n--
	}
	return n, n >= 0 && n < 130
}
