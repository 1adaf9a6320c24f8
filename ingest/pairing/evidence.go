package pairing

import (
	"fmt"
	"regexp"
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
	decubitus    = regexp.MustCompile(`(?i)\b(?:decub\w*|lordotic|apical|oblique|obl|ribs?|sternum|scout|abdomen|kub|shoulder)\b`)
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

// Unsuited returns why an object is not to be read at all, empty when it may be.
func Unsuited(h study.Header, cfg Config) string {
	switch h.SOPClassUID {
	case "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1.1":
	default:
		return fmt.Sprintf("not a CR or DX radiograph (SOP Class %s, modality %q)", h.SOPClassUID, h.Modality)
	}
	if h.NumberOfFrames > 1 {
		return fmt.Sprintf("%d frames in one object: not one radiograph", h.NumberOfFrames)
	}
	region := strings.ToUpper(h.BodyPartExamined)
	if region != "" && !strings.Contains(region, "CHEST") && !strings.Contains(region, "THORAX") && !strings.Contains(region, "LUNG") &&
		!strings.Contains(region, "TORAX") {
		return fmt.Sprintf("Body Part Examined is %s", region)
	}
	for _, c := range h.ViewCodes {
		if obliqueCodes[c.Value] {
			return fmt.Sprintf("View Code says %s: neither frontal nor lateral", c.Meaning)
		}
	}
	switch position := strings.ToUpper(h.ViewPosition); position {
	case "LLD", "RLD":
		return "decubitus: outside the intended use"
	case "LLO", "RLO", "LAO", "RAO", "LPO", "RPO":
		return "oblique: neither frontal nor lateral"
	}
	if words := h.SeriesDescription + " " + h.ProtocolName; decubitus.MatchString(words) {
		return fmt.Sprintf("a description speaks of another projection: %q", clip(words))
	}
	if kind := strings.ToUpper(h.ImageType); strings.Contains(kind, "LOCALIZER") || strings.Contains(kind, "BONE") || strings.Contains(kind, "SUPPRESS") {
		return fmt.Sprintf("Image Type %s is not the radiograph itself", h.ImageType)
	}
	if age, known := years(h); known && age < cfg.MinimumAge {
		return fmt.Sprintf("the patient is %d: the models are for adults", age)
	}
	return ""
}

// years is the patient's age by Patient Age, else by birth and study date.
func years(h study.Header) (int, bool) {
	var n int
	var unit byte
	if len(h.PatientAge) == 4 {
		if _, err := fmt.Sscanf(h.PatientAge, "%03d%c", &n, &unit); err == nil {
			switch unit {
			case 'Y':
				return n, true
			case 'M', 'W', 'D':
				return 0, true
			}
		}
	}
	var by, bm, bd, sy, sm, sd int
	if _, err := fmt.Sscanf(h.PatientBirthDate, "%4d%2d%2d", &by, &bm, &bd); err != nil {
		return 0, false
	}
	if _, err := fmt.Sscanf(h.StudyDate, "%4d%2d%2d", &sy, &sm, &sd); err != nil {
		return 0, false
	}
	age := sy - by
	if sm < bm || sm == bm && sd < bd {
		age--
	}
	return age, age >= 0 && age < 130
}
