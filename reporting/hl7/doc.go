// Package hl7 speaks HL7 v2.5.1 with a radiology information system: results go out as ORU^R01 over MLLP, final results of its own come in.
//
// Messages follow HL7 v2.5.1 (chapter 2 for the encoding and acknowledgements, chapter 7 for ORU^R01), the use of segments IHE RAD TF-2
// (RAD-4, RAD-128); MLLP is HL7's Minimal Lower Layer Protocol, release 1. Everything that is read is bounded.
//
//	message := hl7.Sender{Application: "LLAMAXR"}.Message(result)
//	err := hl7.Client{Address: "ris.example:2575", Timeout: 30 * time.Second}.Send(ctx, message)
//
// Acknowledgements are of the original mode: AA ends a message, AE asks for another try, AR refuses it for good (HL7 v2.5.1, 2.9.2).
package hl7
