package pdu

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// captured returns a PDU that a real peer sent.
func captured(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".pdu"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestRealPeers reads what echoscu, storescu, storescp (DCMTK 3.6.9) and pynetdicom put on the wire.
func TestRealPeers(t *testing.T) {
	for _, test := range []struct {
		name              string
		accept            bool
		calling, called   string
		contexts          int
		first             Context
		version           string
		maximum           uint32
		firstRoleSOPClass string
	}{
		{"echoscu-rq", false, "MODALITY", "LLAMAXR", 1, Context{ID: 1, AbstractSyntax: "1.2.840.10008.1.1", TransferSyntaxes: []string{"1.2.840.10008.1.2"}}, "OFFIS_DCMTK_", 16384, ""},
		{"storescu-rq", false, "MODALITY", "LLAMAXR", 128, Context{ID: 1}, "OFFIS_DCMTK_", 16384, ""},
		{"storescp-ac", true, "MODALITY", "LLAMAXR", 1, Context{ID: 1, TransferSyntaxes: []string{"1.2.840.10008.1.2"}}, "OFFIS_DCMTK_", 16384, ""},
		{"pynetdicom-rq", false, "PYNET", "LLAMAXR", 2, Context{ID: 1, AbstractSyntax: "1.2.840.10008.1.1"}, "PYNETDICOM_", 16382, "1.2.840.10008.5.1.4.1.1.1.1"},
	} {
		p, _, err := Read(bytes.NewReader(captured(t, test.name)), 16384, nil)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		a := p.(*Associate)
		if a.Accept != test.accept || a.Calling != test.calling || a.Called != test.called || len(a.Contexts) != test.contexts ||
			a.ApplicationContext != ApplicationContext || a.User.MaximumLength != test.maximum || !strings.HasPrefix(a.User.ImplementationVersion, test.version) {
			t.Errorf("%s: read as %+v", test.name, a)
		}
		if got := a.Contexts[0]; got.ID != test.first.ID || test.first.AbstractSyntax != "" && got.AbstractSyntax != test.first.AbstractSyntax ||
			test.first.TransferSyntaxes != nil && !reflect.DeepEqual(got.TransferSyntaxes, test.first.TransferSyntaxes) {
			t.Errorf("%s: first context %+v, want %+v", test.name, got, test.first)
		}
		if role := test.firstRoleSOPClass; role != "" && (len(a.User.Roles) != 1 || a.User.Roles[0] != (Role{role, false, true})) {
			t.Errorf("%s: roles %+v", test.name, a.User.Roles)
		}
	}
}

// TestBroken: each breach of PS3.8, 9.3 is refused and named.
func TestBroken(t *testing.T) {
	rq := captured(t, "echoscu-rq")
	change := func(at int, value byte) []byte {
		b := bytes.Clone(rq)
		b[at] = value
		return b
	}
	for _, test := range []struct {
		name string
		data []byte
		want string
	}{
		{"type 0", []byte{0, 0, 0, 0, 0, 0}, "unrecognised PDU type 0x00"},
		{"a P-DATA-TF longer than agreed", []byte{4, 0, 0, 1, 0, 0}, "at most 16384"},
		{"an A-ASSOCIATE of 4 GB", []byte{1, 0, 255, 255, 255, 255}, "at most 262144"},
		{"an A-RELEASE-RQ of 5 bytes", []byte{5, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0}, "at most 4"},
		{"an A-ASSOCIATE cut short", append([]byte{1, 0, 0, 0, 0, 10}, rq[6:16]...), "at least 68"},
		{"a P-DATA-TF with nothing", []byte{4, 0, 0, 0, 0, 0}, "without a presentation data value"},
		{"a value longer than its PDU", []byte{4, 0, 0, 0, 0, 6, 0, 0, 0, 9, 1, 3}, "9 bytes with 2 left"},
		{"a value of one byte", []byte{4, 0, 0, 0, 0, 6, 0, 0, 0, 1, 1, 3}, "1 bytes"},
		{"an even context", []byte{4, 0, 0, 0, 0, 6, 0, 0, 0, 2, 2, 3}, "even"},
		{"an item longer than its PDU", change(6+68+2, 0xff), "left"},
		{"a broken connection", rq[:len(rq)-1], "unexpected EOF"},
	} {
		_, _, err := Read(bytes.NewReader(test.data), 16384, nil)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}
