package dicomnet

import "slices"

// Verification is the SOP class of C-ECHO.
const Verification = "1.2.840.10008.1.1"

// Transfer syntaxes by name (PS3.5, annex A).
const (
	ImplicitVRLittleEndian = "1.2.840.10008.1.2"
	ExplicitVRLittleEndian = "1.2.840.10008.1.2.1"
	DeflatedExplicitVR     = "1.2.840.10008.1.2.1.99"
	ExplicitVRBigEndian    = "1.2.840.10008.1.2.2"
)

// transferSyntaxes are those that we take, the ones we like best first: what a sender holds compressed should come as it is, so
// that nothing is decoded on the way.
var transferSyntaxes = []string{
	ExplicitVRLittleEndian,
	"1.2.840.10008.1.2.4.70",  // JPEG lossless, first-order prediction
	"1.2.840.10008.1.2.4.57",  // JPEG lossless
	"1.2.840.10008.1.2.4.80",  // JPEG-LS lossless
	"1.2.840.10008.1.2.4.90",  // JPEG 2000 lossless
	"1.2.840.10008.1.2.4.201", // HTJ2K lossless
	"1.2.840.10008.1.2.4.202", // HTJ2K lossless RPCL
	"1.2.840.10008.1.2.5",     // RLE
	"1.2.840.10008.1.2.4.50",  // JPEG baseline
	"1.2.840.10008.1.2.4.51",  // JPEG extended
	"1.2.840.10008.1.2.4.81",  // JPEG-LS near-lossless
	"1.2.840.10008.1.2.4.91",  // JPEG 2000
	"1.2.840.10008.1.2.4.203", // HTJ2K
	DeflatedExplicitVR,
	ImplicitVRLittleEndian,
	ExplicitVRBigEndian,
}

// storageClasses are the SOP classes that a chest service meets, and others that may come with a study: they are stored, and said
// why they get no draft.
var storageClasses = map[string]string{
	"1.2.840.10008.5.1.4.1.1.1":        "Computed Radiography Image",
	"1.2.840.10008.5.1.4.1.1.1.1":      "Digital X-Ray Image, for presentation",
	"1.2.840.10008.5.1.4.1.1.1.1.1":    "Digital X-Ray Image, for processing",
	"1.2.840.10008.5.1.4.1.1.1.2":      "Digital Mammography Image, for presentation",
	"1.2.840.10008.5.1.4.1.1.1.2.1":    "Digital Mammography Image, for processing",
	"1.2.840.10008.5.1.4.1.1.2":        "CT Image",
	"1.2.840.10008.5.1.4.1.1.2.1":      "Enhanced CT Image",
	"1.2.840.10008.5.1.4.1.1.3.1":      "Ultrasound Multi-frame Image",
	"1.2.840.10008.5.1.4.1.1.4":        "MR Image",
	"1.2.840.10008.5.1.4.1.1.4.1":      "Enhanced MR Image",
	"1.2.840.10008.5.1.4.1.1.6.1":      "Ultrasound Image",
	"1.2.840.10008.5.1.4.1.1.7":        "Secondary Capture Image",
	"1.2.840.10008.5.1.4.1.1.7.1":      "Multi-frame Single Bit Secondary Capture Image",
	"1.2.840.10008.5.1.4.1.1.7.2":      "Multi-frame Grayscale Byte Secondary Capture Image",
	"1.2.840.10008.5.1.4.1.1.7.3":      "Multi-frame Grayscale Word Secondary Capture Image",
	"1.2.840.10008.5.1.4.1.1.7.4":      "Multi-frame True Color Secondary Capture Image",
	"1.2.840.10008.5.1.4.1.1.9.1.1":    "12-lead ECG Waveform",
	"1.2.840.10008.5.1.4.1.1.11.1":     "Grayscale Softcopy Presentation State",
	"1.2.840.10008.5.1.4.1.1.12.1":     "X-Ray Angiographic Image",
	"1.2.840.10008.5.1.4.1.1.12.2":     "X-Ray Radiofluoroscopic Image",
	"1.2.840.10008.5.1.4.1.1.20":       "Nuclear Medicine Image",
	"1.2.840.10008.5.1.4.1.1.30":       "Parametric Map",
	"1.2.840.10008.5.1.4.1.1.66.4":     "Segmentation",
	"1.2.840.10008.5.1.4.1.1.66.7":     "Label Map Segmentation",
	"1.2.840.10008.5.1.4.1.1.77.1.6":   "VL Whole Slide Microscopy Image",
	"1.2.840.10008.5.1.4.1.1.88.11":    "Basic Text SR",
	"1.2.840.10008.5.1.4.1.1.88.22":    "Enhanced SR",
	"1.2.840.10008.5.1.4.1.1.88.33":    "Comprehensive SR",
	"1.2.840.10008.5.1.4.1.1.88.34":    "Comprehensive 3D SR",
	"1.2.840.10008.5.1.4.1.1.88.59":    "Key Object Selection Document",
	"1.2.840.10008.5.1.4.1.1.88.67":    "X-Ray Radiation Dose SR",
	"1.2.840.10008.5.1.4.1.1.91.1":     "Microscopy Bulk Simple Annotations",
	"1.2.840.10008.5.1.4.1.1.104.1":    "Encapsulated PDF",
	"1.2.840.10008.5.1.4.1.1.128":      "Positron Emission Tomography Image",
	"1.2.840.10008.5.1.4.1.1.481.1":    "RT Image",
	"1.2.840.10008.5.1.4.1.1.481.2":    "RT Dose",
	"1.2.840.10008.5.1.4.1.1.481.3":    "RT Structure Set",
	"1.2.840.10008.5.1.4.1.1.481.5":    "RT Plan",
	"1.2.840.10008.5.1.4.1.1.6":        "Ultrasound Image (retired)",
	"1.2.840.10008.5.1.4.1.1.3":        "Ultrasound Multi-frame Image (retired)",
	"1.2.840.10008.5.1.4.1.1.77.1.5.1": "Ophthalmic Photography 8 Bit Image",
}

// SOPClassName returns the name of a storage SOP class we take, empty for others.
func SOPClassName(uid string) string { return storageClasses[uid] }

// Accept chooses the transfer syntax for a proposed presentation context. ok is false when the abstract syntax is not ours; an empty
// transfer syntax with ok says that none of those offered is.
type Accept func(abstractSyntax string, offered []string) (transferSyntax string, ok bool)

// AcceptStorage takes Verification and the storage classes of a chest service, in the first transfer syntax of ours that is offered.
func AcceptStorage(abstractSyntax string, offered []string) (string, bool) {
	if abstractSyntax == Verification {
		for _, ts := range []string{ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian} {
			if slices.Contains(offered, ts) {
				return ts, true
			}
		}
		return "", true
	}
	if storageClasses[abstractSyntax] == "" {
		return "", false
	}
	for _, ts := range transferSyntaxes {
		if slices.Contains(offered, ts) {
			return ts, true
		}
	}
	return "", true
}
