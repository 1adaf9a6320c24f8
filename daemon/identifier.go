package daemon

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"llamaxr/dicomnet"
	"llamaxr/ingest/dicomfile"
	"llamaxr/internal/dicomwrite"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// findAndMove proposes to ask an archive and to have it send.
func findAndMove() []dicomnet.ProposedContext {
	return []dicomnet.ProposedContext{dicomnet.ProposeHeaders(dicomnet.StudyRootFind, false), dicomnet.ProposeHeaders(dicomnet.StudyRootMove, false)}
}

// key is an attribute of an identifier: what it must be, or empty for what the archive is to say.
type key struct {
	tag       tag.Tag
	vr, value string
}

type keys []key

// identifier is a query at a level as a data set (PS3.4 C.4.1.1.3, C.4.2.1.4).
func (k keys) identifier(level, transferSyntax string) []byte {
	all := append(slices.Clone(k), key{tag.QueryRetrieveLevel, "CS", level})
	if slices.ContainsFunc(all, func(k key) bool { return len(k.value) != utf8.RuneCountInString(k.value) }) {
		all = append(all, key{tag.SpecificCharacterSet, "CS", "ISO_IR 192"})
	}
	slices.SortFunc(all, func(a, b key) int { return a.tag.Compare(b.tag) })
	out := &dicomwrite.Elements{Implicit: transferSyntax == dicomnet.ImplicitVRLittleEndian}
	for _, k := range all {
		out.Text(k.tag, k.vr, k.value)
	}
	return out.Bytes()
}

// readMatch reads one match of a query.
func readMatch(match []byte, transferSyntax string) (*dicomfile.Dataset, error) {
	set, err := dicomfile.ReadDataSet(match, transferSyntax)
	if err != nil {
		return nil, fmt.Errorf("a match of the archive: %w", err)
	}
	return set, nil
}
