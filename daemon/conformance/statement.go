package conformance

import (
	"cmp"
	_ "embed" // statement.md
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/template"

	"llamaxr/daemon/config"
	"llamaxr/dicomnet"
	"llamaxr/dicomnet/pdu"
	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/pixel"
	"llamaxr/reporting/sr"
	"llamaxr/study"
)

//go:embed statement.md
var text string

// named is a UID with its name.
type named struct{ UID, Name string }

// created is a kind of object that is made, with its table.
type created struct {
	object
	Class      string
	Attributes []attribute
}

// statement is what the text is filled in with.
type statement struct {
	Services       []service
	Web            []webService
	Storage        []named
	Syntaxes       []named
	HeaderSyntaxes []named
	CharacterSets  []string
	Suites         []string
	StoreStatuses  []status
	SentStatuses   []status
	Objects        []created
	Codes          []study.Code
	Rejections     []study.Code
	Config         config.Config
	Wire           wire
	File           map[string]any
}

// wire are the numbers of package dicomnet.
type wire struct {
	ClassUID, Version, ApplicationContext        string
	MaxPDU, MaxContexts, MaxAssociate, MaxObject int64
	ARTIM, PDUTimeout, IdleTimeout               string
}

// characterSets are the terms of PS3.3, tables C.12-2 to C.12-5.
var characterSets = []string{
	"ISO_IR 6", "ISO_IR 100", "ISO_IR 101", "ISO_IR 109", "ISO_IR 110", "ISO_IR 144", "ISO_IR 127", "ISO_IR 126", "ISO_IR 138", "ISO_IR 148", "ISO_IR 203",
	"ISO_IR 13", "ISO_IR 166", "ISO 2022 IR 6", "ISO 2022 IR 100", "ISO 2022 IR 101", "ISO 2022 IR 109", "ISO 2022 IR 110", "ISO 2022 IR 144", "ISO 2022 IR 127",
	"ISO 2022 IR 126", "ISO 2022 IR 138", "ISO 2022 IR 148", "ISO 2022 IR 203", "ISO 2022 IR 13", "ISO 2022 IR 166", "ISO 2022 IR 87", "ISO 2022 IR 159",
	"ISO 2022 IR 149", "ISO 2022 IR 58", "ISO_IR 192", "GB18030", "GBK",
}

// Write writes the statement.
func Write(w io.Writer) error {
	s, err := collect()
	if err != nil {
		return err
	}
	t, err := template.New("statement").Funcs(template.FuncMap{
		"yes":  func(b bool) string { return map[bool]string{true: "Y", false: "N"}[b] },
		"cell": func(v string) string { return strings.NewReplacer("|", `\|`, "\n", " ").Replace(v) },
		"list": func(v []string) string { return strings.Join(v, ", ") },
	}).Parse(text)
	if err != nil {
		return fmt.Errorf("conformance: %w", err)
	}
	if err := t.Execute(w, s); err != nil {
		return fmt.Errorf("conformance: %w", err)
	}
	return nil
}

func collect() (*statement, error) {
	s := &statement{
		Services: services, Web: webServices, Syntaxes: nameSyntaxes(dicomnet.TransferSyntaxes()), HeaderSyntaxes: nameSyntaxes(dicomnet.HeaderSyntaxes()),
		Suites: dicomnet.TLSSuites(), StoreStatuses: storeStatuses, SentStatuses: sentStatuses, Config: config.Default(),
		Wire: wire{
			dicomnet.ImplementationClassUID, dicomnet.ImplementationVersionName, pdu.ApplicationContext,
			dicomnet.DefaultMaxPDULength, pdu.MaxContexts, pdu.MaxAssociateLength, dicomnet.DefaultMaxObjectLength,
			dicomnet.DefaultARTIM.String(), dicomnet.DefaultPDUTimeout.String(), dicomnet.DefaultIdleTimeout.String(),
		},
		File: map[string]any{
			"Depth": dicomfile.MaxDepth, "Elements": dicomfile.MaxElements, "Items": dicomfile.MaxItems, "Fragments": dicomfile.MaxFragments,
			"Text": dicomfile.MaxText >> 10, "Meta": dicomfile.MaxMeta >> 10, "Attributes": dicomfile.MaxAttributes >> 20,
			"Ratio": dicomfile.MaxInflateRatio, "Frame": pixel.MaxBytes >> 20,
		},
	}
	classes := dicomnet.StorageClasses()
	for _, uid := range slices.SortedFunc(maps.Keys(classes), func(a, b string) int { return cmp.Or(cmp.Compare(classes[a], classes[b]), cmp.Compare(a, b)) }) {
		s.Storage = append(s.Storage, named{uid, classes[uid]})
	}
	for _, term := range characterSets {
		if dicomfile.KnowsCharacterSet(term) {
			s.CharacterSets = append(s.CharacterSets, term)
		}
	}
	for _, title := range []study.RejectionTitle{study.RejectedQuality, study.RejectedSafety, study.RejectedWorklist, study.RejectedRetention} {
		s.Rejections = append(s.Rejections, title.Code())
	}
	for _, o := range objects {
		rows, err := o.attributes()
		if err != nil {
			return nil, err
		}
		s.Objects = append(s.Objects, created{o, classes[o.SOPClass], rows})
	}
	var err error
	s.Codes, err = codes()
	return s, err
}

func nameSyntaxes(uids []string) (out []named) {
	for _, uid := range uids {
		out = append(out, named{uid, pixel.SyntaxName(uid)})
	}
	return out
}

// Created are the SOP classes of the objects that are made and sent.
func (s *statement) Created() (out []named) {
	for _, uid := range []string{sr.BasicTextSR, sr.Comprehensive3DSR, sr.SecondaryCapture, sr.GrayscaleSoftcopyPresentationState, sr.EncapsulatedPDF, sr.KeyObjectSelection} {
		out = append(out, named{uid, dicomnet.StorageClasses()[uid]})
	}
	return out
}
