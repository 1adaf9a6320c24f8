package e2e

import (
	"context"
	"testing"

	"llamaxr/daemon/conformance"
	"llamaxr/dicomnet"
)

// TestStatedServicesAreProvided: the running daemon accepts what its conformance statement says that it provides, and nothing else of those.
func TestStatedServicesAreProvided(t *testing.T) {
	n := startNode(t)
	for uid, provided := range conformance.Provided() {
		client := dicomnet.Client{CallingAETitle: "TEST", CalledAETitle: "LLAMAXR"}
		association, err := client.Dial(context.Background(), "127.0.0.1:"+n.port, []dicomnet.ProposedContext{
			{AbstractSyntax: dicomnet.Verification, TransferSyntaxes: []string{dicomnet.ImplicitVRLittleEndian}},
			{AbstractSyntax: uid, TransferSyntaxes: []string{dicomnet.ImplicitVRLittleEndian}},
		})
		if err != nil {
			t.Fatal(err)
		}
		accepted := association.Accepted(uid, dicomnet.ImplicitVRLittleEndian)
		if accepted != provided {
			t.Errorf("%s: accepted %t, the statement says %t", uid, accepted, provided)
		}
		if err := association.Release(); err != nil {
			t.Error(err)
		}
	}
}
