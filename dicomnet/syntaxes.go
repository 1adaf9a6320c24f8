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

// transferSyntaxes are those that we take, the ones we like best first. A sender that offers several can send any, so what every
// decoder reads at no cost leads; then what is kept compressed without loss, and last what fewer decoders read.
var transferSyntaxes = []string{
	ExplicitVRLittleEndian,
	"1.2.840.10008.1.2.4.70", // JPEG lossless, first-order prediction
	"1.2.840.10008.1.2.4.57", // JPEG lossless
	"1.2.840.10008.1.2.5",    // RLE
	ImplicitVRLittleEndian,
	DeflatedExplicitVR,
	ExplicitVRBigEndian,
	"1.2.840.10008.1.2.4.80",  // JPEG-LS lossless
	"1.2.840.10008.1.2.4.90",  // JPEG 2000 lossless
	"1.2.840.10008.1.2.4.201", // HTJ2K lossless
	"1.2.840.10008.1.2.4.202", // HTJ2K lossless RPCL
	"1.2.840.10008.1.2.4.50",  // JPEG baseline
	"1.2.840.10008.1.2.4.51",  // JPEG extended
	"1.2.840.10008.1.2.4.81",  // JPEG-LS near-lossless
	"1.2.840.10008.1.2.4.91",  // JPEG 2000
	"1.2.840.10008.1.2.4.203", // HTJ2K
}

// Accept chooses the transfer syntax for a proposed presentation context. ok is false when the abstract syntax is not ours; an empty
// transfer syntax with ok says that none of those offered is.
type Accept func(abstractSyntax string, offered []string) (transferSyntax string, ok bool)

// headerSyntaxes are for data sets without pixels, which we read and write ourselves.
var headerSyntaxes = []string{ExplicitVRLittleEndian, ImplicitVRLittleEndian}

// AcceptCommitment takes what AcceptStorage takes and storage commitment, requests for it and results of it.
func AcceptCommitment(abstractSyntax string, offered []string) (string, bool) {
	if abstractSyntax != StorageCommitment {
		return AcceptStorage(abstractSyntax, offered)
	}
	for _, ts := range headerSyntaxes {
		if slices.Contains(offered, ts) {
			return ts, true
		}
	}
	return "", true
}

// ProposeHeaders proposes a SOP class whose data sets have no pixels.
func ProposeHeaders(sopClass string, provide bool) ProposedContext {
	return ProposedContext{AbstractSyntax: sopClass, TransferSyntaxes: headerSyntaxes, Provide: provide}
}

// chestClasses are the Storage classes that a chest radiograph comes in, and those that say something of one.
var chestClasses = []string{
	"1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1.1", // CR, DX for presentation and for processing
	"1.2.840.10008.5.1.4.1.1.7",     // Secondary Capture
	"1.2.840.10008.5.1.4.1.1.88.59", // Key Object Selection: rejection notes
}

// ProposeRetrieval proposes C-GET and the classes of chest radiographs, each transfer syntax in a context of its own: a peer sends an
// object as it has it, without decoding it.
func ProposeRetrieval() []ProposedContext {
	contexts := []ProposedContext{ProposeHeaders(StudyRootFind, false), ProposeHeaders(StudyRootGet, false)}
	for _, class := range chestClasses {
		for _, ts := range transferSyntaxes {
			contexts = append(contexts, ProposedContext{AbstractSyntax: class, TransferSyntaxes: []string{ts}, Provide: true})
		}
	}
	return contexts
}

// AcceptStorage takes Verification and the Storage classes, in the first transfer syntax of ours that is offered.
func AcceptStorage(abstractSyntax string, offered []string) (string, bool) {
	if abstractSyntax != Verification && storageClasses[abstractSyntax] == "" {
		return "", false
	}
	for _, ts := range transferSyntaxes {
		if slices.Contains(offered, ts) {
			return ts, true
		}
	}
	return "", true
}
