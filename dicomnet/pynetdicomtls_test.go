package dicomnet

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"llamaxr/internal/peertest"
)

// pynetdicomTLS stores a file at a port, or receives one there, over mutual TLS of one version: DCMTK's profiles here end at 1.2.
const pynetdicomTLS = `
import ssl, sys
from pydicom import dcmread
from pynetdicom import AE, evt
version, role, port, certificate, key, authority, path = sys.argv[1:]
context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH if role == "scu" else ssl.Purpose.CLIENT_AUTH, cafile=authority)
context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
context.verify_mode = ssl.CERT_REQUIRED
context.load_cert_chain(certificate, key)
ae = AE("X")
if role == "scu":
    ds = dcmread(path)
    ae.add_requested_context(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID)
    a = ae.associate("127.0.0.1", int(port), ae_title="LLAMAXR", tls_args=(context, "127.0.0.1"))
    assert a.is_established and a.send_c_store(ds).Status == 0
    a.release()
else:
    def store(event):
        with open(path, "wb") as f: f.write(event.encoded_dataset(include_meta=True))
        return 0
    ae.add_supported_context("1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.1.2.1")
    ae.start_server(("127.0.0.1", int(port)), block=True, ssl_context=context, evt_handlers=[(evt.EVT_C_STORE, store)])
`

func TestPynetdicomOverTLS(t *testing.T) {
	python := peertest.Python(t)
	file := peertest.SharedData(t, "dicom/radiographs/6154.dcm")
	meta, data := dataSetOf(t, file)
	authority := peertest.NewAuthority(t)
	certificate, key, fingerprint := authority.Node("peer", minRSA, time.Hour)
	for _, version := range []string{"TLSv1_2", "TLSv1_3"} {
		t.Run(version, func(t *testing.T) {
			port, got := start(t, func(s *Server) {
				s.TLS, s.Peers = credentials(authority, "llamaxr"), []Peer{{AETitle: "X", Certificates: []string{fingerprint}}}
			})
			run(t, python, "-c", pynetdicomTLS, version, "scu", port, certificate, key, authority.File, file)
			if !bytes.Equal(got.objects[meta.SOPInstanceUID], data) {
				t.Errorf("%d bytes of %d arrived", len(got.objects[meta.SOPInstanceUID]), len(data))
			}

			port, path := freePort(t), filepath.Join(t.TempDir(), "received.dcm")
			cmd := exec.Command(python, "-c", pynetdicomTLS, version, "scp", port, certificate, key, authority.File, path)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
			a := dialUntil(t, Client{CallingAETitle: "LLAMAXR", CalledAETitle: "X", TLS: credentials(authority, "llamaxr")}, port, crContexts)
			if err := a.Store(t.Context(), requestOf(meta), bytes.NewReader(data)); err != nil {
				t.Error(err)
			}
			if err := a.Release(); err != nil {
				t.Error(err)
			}
			if _, received := dataSetOf(t, path); !bytes.Equal(received, data) {
				t.Errorf("%d bytes of %d arrived there", len(received), len(data))
			}
		})
	}
}
