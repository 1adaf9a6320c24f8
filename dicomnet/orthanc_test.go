package dicomnet

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llamaxr/dicomnet/part10"
	"llamaxr/internal/peertest"
)

// orthanc starts an Orthanc that knows us at our port, with more settings, and returns its DICOM port and a function that calls its REST interface.
func orthanc(t *testing.T, ours string, more map[string]any) (port string, call func(method, path, body string) []byte) {
	t.Helper()
	folder := t.TempDir()
	port, rest := freePort(t), freePort(t)
	number := func(text string) json.Number { return json.Number(text) }
	settings := map[string]any{
		"Name": "test", "StorageDirectory": folder, "IndexDirectory": folder, "DicomAet": "ORTHANC", "DicomPort": number(port),
		"HttpPort": number(rest), "RemoteAccessAllowed": false, "AuthenticationEnabled": false, "Plugins": []string{},
		"DicomModalities": map[string]any{"ours": []any{"LLAMAXR", "127.0.0.1", number(ours)}}, "HttpBindAddresses": []string{"127.0.0.1"},
	}
	maps.Copy(settings, more)
	cfg, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "orthanc.json")
	if err := os.WriteFile(path, cfg, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(peertest.Program(t, "Orthanc"), path)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	call = func(method, path, body string) []byte {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:"+rest+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %s, %v\n%s", method, path, response.Status, err, answer)
		}
		return answer
	}
	return port, call
}

// asDX makes a Digital X-Ray Image, For Presentation, of a CR image, as far as the wire looks.
func asDX(t *testing.T, meta *part10.Meta, data []byte) (*part10.Meta, []byte) {
	t.Helper()
	const class = "1.2.840.10008.5.1.4.1.1.1.1"
	element := func(number byte, value string) []byte {
		b := binary.LittleEndian.AppendUint16([]byte{8, 0, number, 0, 'U', 'I'}, uint16(len(value)+len(value)%2))
		return append(append(b, value...), make([]byte, len(value)%2)...)
	}
	instance := "2.25.4711"
	changed := bytes.Replace(data, element(0x16, meta.SOPClassUID), element(0x16, class), 1)
	changed = bytes.Replace(changed, element(0x18, meta.SOPInstanceUID), element(0x18, instance), 1)
	if !bytes.Contains(changed, element(0x16, class)) || !bytes.Contains(changed, element(0x18, instance)) {
		t.Fatal("no CR image in explicit VR")
	}
	return &part10.Meta{SOPClassUID: class, SOPInstanceUID: instance, TransferSyntaxUID: meta.TransferSyntaxUID}, changed
}

// TestOrthancBothWays: CR, DX, SC and SR, native and compressed, go to Orthanc and come back from it, byte for byte the same.
func TestOrthancBothWays(t *testing.T) {
	type object struct {
		meta *part10.Meta
		data []byte
		// rewritten is the same with the sequences' lengths as DCMTK, which is inside Orthanc, writes them.
		rewritten []byte
	}
	var objects []object
	var contexts []ProposedContext
	for _, name := range []string{
		"radiographs/6154.dcm", "radiographs/RG2_JPLL.dcm", "radiographs/1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm",
		"sr/test-SR.dcm", "sr/reportsi_with_empty_number_tags.dcm",
	} {
		file := peertest.SharedData(t, "dicom/"+name)
		meta, data := dataSetOf(t, file)
		objects = append(objects, object{meta, data, rewritten(t, file)})
	}
	dx, data := asDX(t, objects[0].meta, objects[0].data)
	objects = append(objects, object{dx, data, nil})
	for _, o := range objects {
		contexts = append(contexts, ProposedContext{AbstractSyntax: o.meta.SOPClassUID, TransferSyntaxes: []string{o.meta.TransferSyntaxUID}})
	}
	ours, got := start(t, nil)
	port, call := orthanc(t, ours, nil)

	a := dialUntil(t, Client{CallingAETitle: "LLAMAXR", CalledAETitle: "ORTHANC"}, port, append(contexts, verification...))
	if err := a.Echo(t.Context()); err != nil {
		t.Error(err)
	}
	for _, o := range objects {
		if err := a.Store(t.Context(), requestOf(o.meta), bytes.NewReader(o.data)); err != nil {
			t.Errorf("storing %s: %v", o.meta.SOPInstanceUID, err)
		}
	}
	if err := a.Release(); err != nil {
		t.Error(err)
	}
	var held []string
	if err := json.Unmarshal(call("GET", "/instances", ""), &held); err != nil || len(held) != len(objects) {
		t.Fatalf("Orthanc holds %d instances of %d, %v", len(held), len(objects), err)
	}

	call("POST", "/modalities/ours/echo", "{}")
	list, _ := json.Marshal(held)
	call("POST", "/modalities/ours/store", string(list))
	got.mu.Lock()
	defer got.mu.Unlock()
	for _, o := range objects {
		file := ""
		for _, id := range held {
			if uid := call("GET", "/instances/"+id+"/content/0008-0018", ""); strings.TrimRight(string(uid), "\x00 ") == o.meta.SOPInstanceUID {
				file = id
			}
		}
		stored := call("GET", "/instances/"+file+"/file", "")
		meta, err := part10.Decode(bytes.NewReader(stored))
		if err != nil {
			t.Fatal(err)
		}
		kept := stored[meta.Length:]
		back := got.objects[o.meta.SOPInstanceUID]
		if !bytes.Equal(kept, o.data) && !bytes.Equal(kept, o.rewritten) {
			t.Errorf("%s: Orthanc keeps %d bytes, we sent %d", o.meta.SOPClassUID, len(kept), len(o.data))
		}
		if !bytes.Equal(back, kept) {
			t.Errorf("%s: Orthanc sends back %d bytes, it keeps %d", o.meta.SOPClassUID, len(back), len(kept))
		}
	}
}

// TestOrthancOverTLS: with certificates shown and asked for on both sides, Orthanc is echoed to and stored at, and does so here.
func TestOrthancOverTLS(t *testing.T) {
	file := peertest.SharedData(t, "dicom/radiographs/6154.dcm")
	meta, data := dataSetOf(t, file)
	authority := peertest.NewAuthority(t)
	certificate, key, _ := authority.Node("orthanc", minRSA, time.Hour)
	ours, got := start(t, func(s *Server) { s.TLS = credentials(authority, "llamaxr") })
	port, call := orthanc(t, ours, map[string]any{
		"DicomTlsEnabled": true, "DicomTlsCertificate": certificate, "DicomTlsPrivateKey": key, "DicomTlsTrustedCertificates": authority.File,
		"DicomTlsRemoteCertificateRequired": true,
		"DicomModalities":                   map[string]any{"ours": map[string]any{"AET": "LLAMAXR", "Host": "127.0.0.1", "Port": json.Number(ours), "UseDicomTls": true}},
	})
	client := Client{CallingAETitle: "LLAMAXR", CalledAETitle: "ORTHANC", TLS: credentials(authority, "llamaxr")}
	a := dialUntil(t, client, port, append(crContexts, verification...))
	if err := a.Echo(t.Context()); err != nil {
		t.Error(err)
	}
	if err := a.Store(t.Context(), requestOf(meta), bytes.NewReader(data)); err != nil {
		t.Error(err)
	}
	if err := a.Release(); err != nil {
		t.Error(err)
	}
	var held []string
	if err := json.Unmarshal(call("GET", "/instances", ""), &held); err != nil || len(held) != 1 {
		t.Fatalf("Orthanc holds %d instances, %v", len(held), err)
	}
	call("POST", "/modalities/ours/echo", "{}")
	call("POST", "/modalities/ours/store", `["`+held[0]+`"]`)
	got.mu.Lock()
	defer got.mu.Unlock()
	if back := got.objects[meta.SOPInstanceUID]; !bytes.Equal(back, data) && !bytes.Equal(back, rewritten(t, file)) {
		t.Errorf("Orthanc sends back %d bytes, we sent %d", len(back), len(data))
	}
	client.TLS = &Credentials{AuthoritiesFile: authority.File}
	if a, err := client.Dial(t.Context(), "127.0.0.1:"+port, verification); err == nil {
		if err := a.Echo(t.Context()); err == nil {
			t.Error("Orthanc was to ask for a certificate, and took one who has none: the test shows nothing")
		}
	}
}
