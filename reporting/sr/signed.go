package sr

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"llamaxr/internal/dicomwrite"
	"llamaxr/study"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// Signer is the physician who made a text his own.
type Signer struct {
	Name         string // as a DICOM person name, for example Doe^Jane^^Dr
	Organization string
	Number       int // of the signature on this study, from 1: each is another object of one series
}

// SignedReport is the kind of what Signed makes.
const SignedReport = "signed"

// Signed is a report that a physician signed: Basic Text SR by TID 2000, FINAL, COMPLETE and VERIFIED with its Verifying Observer
// (PS3.3, section C.17.2). in.Time is the moment of signing in the site's time zone; in.Predecessor is the draft, or the signed report
// that this one replaces. The sentences are the physician's; what starter models drafted still says so.
func Signed(in Input, signer Signer, sentences []study.Sentence) (*Document, error) {
	name := PersonName(signer.Name)
	if name == "" || signer.Number < 1 {
		return nil, errors.New("sr: a signed report needs a physician's name and its number")
	}
	organization := clip(plain(signer.Organization), 64)
	lead := ""
	if in.Draft.Starter() {
		lead = study.StarterWarning + "."
	}
	context := []*item{
		language(),
		coded(hasObsContext, dcm("121005", "Observer Type"), dcm("121006", "Person")),
		personName(hasObsContext, dcm("121008", "Person Observer Name"), name),
		text(hasObsContext, dcm("121009", "Person Observer's Organization Name"), organization),
	}
	status := standing{
		preliminary: "FINAL", completion: "COMPLETE", why: "Drafted by AI, reviewed and signed by a physician", verification: "VERIFIED",
		author: dicomwrite.New().
			Text(tag.InstitutionName, organization).Items(tag.InstitutionCodeSequence).
			Items(tag.PersonIdentificationCodeSequence).Text(tag.PersonName, name).Text(tag.ObserverType, "PSN"),
		verifying: []*dicomwrite.Set{dicomwrite.New().
			Text(tag.VerifyingOrganization, organization).
			Text(tag.VerificationDateTime, in.Time.Format("20060102150405-0700")).
			Text(tag.VerifyingObserverName, name).Items(tag.VerifyingObserverIdentificationCodeSequence)},
	}
	d, err := document(in, BasicTextSR, SignedReport, "2000", "Signed report", SignedSeries, status, narrative(in, context, sentences, lead))
	if err != nil {
		return nil, err
	}
	parts := append([]string{d.SOPInstanceUID, fmt.Sprint(signer.Number), name, in.Time.UTC().Format(time.RFC3339Nano)}, said(sentences)...)
	d.SOPInstanceUID = DeriveUID(parts...)
	d.remain(in)
	d.set.Text(tag.SOPInstanceUID, d.SOPInstanceUID).Text(tag.InstanceNumber, fmt.Sprint(signer.Number))
	return d, nil
}

// maxPersonName is the length of one group of a person name (PS3.5, table 6.2-1, VR PN).
const maxPersonName = 64

// PersonName makes text fit for one group of a person name: no control characters, no backslash, no equals sign, at most 64 characters and
// five components. It is empty when nothing is left.
func PersonName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == '\\' || r == '=' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, ""))
	parts := strings.Split(clip(name, maxPersonName), "^")
	return strings.Trim(strings.Join(parts[:min(len(parts), 5)], "^"), "^ ")
}
