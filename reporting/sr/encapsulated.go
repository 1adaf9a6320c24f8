package sr

import (
	"github.com/suyashkumar/dicom/pkg/tag"
)

// EncapsulatedPDF is the SOP class of a PDF in a DICOM object.
const EncapsulatedPDF = "1.2.840.10008.5.1.4.1.1.104.1"

// Encapsulate makes an Encapsulated PDF object of a draft's page (PS3.3, section A.45.1).
func Encapsulate(in Input, kind string, pdf []byte) (*Document, error) {
	d, err := Begin(in, EncapsulatedPDF, kind, "DOC", "AI draft page - unverified", PageSeries)
	if err != nil {
		return nil, err
	}
	length := len(pdf)
	if length%2 == 1 {
		pdf = append(pdf[:length:length], 0)
	}
	d.set.
		Text(tag.ConversionType, "WSD").Text(tag.BurnedInAnnotation, "YES").Text(tag.AcquisitionDateTime).
		Text(tag.DocumentTitle, "AI draft, not reviewed by a physician").Text(tag.VerificationFlag, "UNVERIFIED").
		Items(tag.ConceptNameCodeSequence, code(ln("18748-4", "Diagnostic Imaging Report"))).
		Items(tag.SourceInstanceSequence, references(in.Images())...).
		Text(tag.MIMETypeOfEncapsulatedDocument, "application/pdf").
		Bytes(tag.EncapsulatedDocument, pdf).Ints(tag.EncapsulatedDocumentLength, length)
	return d, nil
}
