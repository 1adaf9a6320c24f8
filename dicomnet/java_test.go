package dicomnet

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"llamaxr/internal/peertest"
)

// javaKeys is the password of the key stores that the test makes.
const javaKeys = "changeit"

// javaPeer compiles a node in Java, with another's DICOM toolkit and Java's own TLS, and returns what makes a command of it; tls is a version
// of the protocol, empty for none.
func javaPeer(t *testing.T, authority *peertest.Authority) func(tls string, args ...string) *exec.Cmd {
	t.Helper()
	jar := peertest.PixelMed(t)
	folder := t.TempDir()
	run(t, peertest.Program(t, "javac"), "-cp", jar, "-d", folder, filepath.Join("testdata", "Peer.java"))
	certificate, key, _ := authority.Node("java", minRSA, time.Hour)
	keys, trust := filepath.Join(folder, "keys.p12"), filepath.Join(folder, "trust.p12")
	run(t, peertest.Program(t, "openssl"), "pkcs12", "-export", "-in", certificate, "-inkey", key, "-out", keys, "-passout", "pass:"+javaKeys)
	run(t, peertest.Program(t, "keytool"), "-importcert", "-noprompt", "-alias", "authority", "-file", authority.File, "-keystore", trust, "-storepass", javaKeys)
	return func(tls string, args ...string) *exec.Cmd {
		options := []string{"-cp", folder + string(filepath.ListSeparator) + jar}
		for property, value := range map[string]string{
			"javax.net.ssl.keyStore": keys, "javax.net.ssl.keyStorePassword": javaKeys, "javax.net.ssl.trustStore": trust, "javax.net.ssl.trustStorePassword": javaKeys,
			"jdk.tls.client.protocols": tls, "jdk.tls.server.protocols": tls,
		} {
			if value != "" {
				options = append(options, "-D"+property+"="+value)
			}
		}
		return exec.Command(peertest.Program(t, "java"), append(append(options, "Peer"), args...)...)
	}
}

// TestJavaBothWays: a node in Java echoes and stores here and takes what we store, byte for byte, without TLS and over mutual TLS 1.2 and 1.3.
// PixelMed's toolkit stands for the Java side: dcm4che's tools are in no registry that the set-up script asks.
func TestJavaBothWays(t *testing.T) {
	file := peertest.SharedData(t, "dicom/radiographs/6154.dcm")
	meta, want := dataSetOf(t, file)
	authority := peertest.NewAuthority(t)
	command := javaPeer(t, authority)
	for _, tls := range []string{"", "TLSv1.2", "TLSv1.3"} {
		name, secure := "plain", "false"
		if tls != "" {
			name, secure = tls, "true"
		}
		t.Run(name, func(t *testing.T) {
			client := Client{CallingAETitle: "LLAMAXR", CalledAETitle: "JAVA"}
			port, got := start(t, func(s *Server) {
				if tls != "" {
					s.TLS = credentials(authority, "llamaxr")
				}
			})
			if tls != "" {
				client.TLS = credentials(authority, "llamaxr")
			}
			sender := command(tls, "send", port, secure, file, meta.SOPClassUID, meta.SOPInstanceUID, meta.TransferSyntaxUID)
			if out, err := sender.CombinedOutput(); err != nil {
				t.Fatalf("java: %v\n%s", err, out)
			}
			got.mu.Lock()
			if !bytes.Equal(got.objects[meta.SOPInstanceUID], want) {
				t.Errorf("%d bytes of %d arrived", len(got.objects[meta.SOPInstanceUID]), len(want))
			}
			got.mu.Unlock()

			port, folder := freePort(t), t.TempDir()
			taker := command(tls, "take", port, secure, folder)
			if err := taker.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = taker.Process.Kill(); _ = taker.Wait() }()
			a := dialUntil(t, client, port, append(crContexts, verification...))
			if err := a.Echo(t.Context()); err != nil {
				t.Error(err)
			}
			if err := a.Store(t.Context(), requestOf(meta), bytes.NewReader(want)); err != nil {
				t.Error(err)
			}
			if err := a.Release(); err != nil {
				t.Error(err)
			}
			files, _ := filepath.Glob(filepath.Join(folder, "*"))
			if len(files) != 1 {
				t.Fatalf("%d files at the peer", len(files))
			}
			if _, received := dataSetOf(t, files[0]); !bytes.Equal(received, want) {
				t.Errorf("%d bytes of %d arrived there", len(received), len(want))
			}
		})
	}
}
