package models

import (
	"crypto/ed25519"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"llamaxr/inference/signing"
	"llamaxr/internal/peertest"
)

// TestSignedAdapters: where keys are trusted, an adapter without a signature of theirs is neither chosen nor verified; a signature is of one content,
// base and template; openssl makes keys for it and agrees with each signature.
func TestSignedAdapters(t *testing.T) {
	openssl := peertest.Program(t, "openssl")
	run := func(args ...string) error { return exec.Command(openssl, args...).Run() }
	folder := t.TempDir()
	private, public := filepath.Join(folder, "site.pem"), filepath.Join(folder, "site.pub")
	if err := errors.Join(run("genpkey", "-algorithm", "ed25519", "-out", private), run("pkey", "-in", private, "-pubout", "-out", public)); err != nil {
		t.Fatal(err)
	}
	key, err := signing.ReadPrivate(private)
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := signing.ReadPublic(public)
	if err != nil {
		t.Fatal(err)
	}
	otherFile := filepath.Join(folder, "other")
	other, err := signing.NewKey(otherFile)
	if err != nil {
		t.Fatal(err)
	}

	open := OpenStore(t.TempDir())
	m, err := open.ImportAdapter(AdapterImport{From: starterAdapter(t), Name: "site", Base: StarterName})
	if err != nil {
		t.Fatal(err)
	}
	strict := open.Trusting(trusted)
	refused := func(what string) {
		t.Helper()
		if _, err := strict.Use("site"); !errors.Is(err, signing.ErrUntrusted) {
			t.Errorf("%s: chosen: %v", what, err)
		}
		if err := strict.Verify(t.Context(), m, nil); !errors.Is(err, signing.ErrUntrusted) {
			t.Errorf("%s: verified: %v", what, err)
		}
		if used, err := strict.InUse(RoleAdapter); used != nil || err != nil {
			t.Errorf("%s: in use: %v, %v", what, used, err)
		}
	}
	refused("without a signature")
	otherKey, err := signing.ReadPrivate(otherFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open.Sign(t.Context(), "site", otherKey); err != nil {
		t.Fatal(err)
	}
	refused("signed by another")

	if _, err := open.Sign(t.Context(), "site", key); err != nil {
		t.Fatal(err)
	}
	if by, err := strict.SignedBy(m, trusted); err != nil || by != signing.Fingerprint(trusted[0]) {
		t.Errorf("signed by %q: %v", by, err)
	}
	if _, err := strict.Use("site"); err != nil {
		t.Error(err)
	}
	signatures, err := open.Signatures(m)
	if err != nil || len(signatures) != 2 {
		t.Fatalf("%d signatures, %v", len(signatures), err)
	}
	for _, k := range []struct {
		public ed25519.PublicKey
		file   string
	}{{trusted[0], public}, {other, otherFile + signing.PublicSuffix}} {
		statement, signature := filepath.Join(folder, "statement"), filepath.Join(folder, "signature")
		err := errors.Join(os.WriteFile(statement, append([]byte("llamaxr adapter v1\n"), m.Statement()...), 0o600),
			os.WriteFile(signature, signatures[signing.Fingerprint(k.public)], 0o600))
		if err != nil {
			t.Fatal(err)
		}
		if err := run("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", k.file, "-in", statement, "-sigfile", signature); err != nil {
			t.Errorf("%s: openssl: %v", k.file, err)
		}
	}

	// The same signature over anything else: another base, another template, other weights under the same name.
	for what, change := range map[string]func(*Model){
		"another base":     func(m *Model) { m.Base = &Base{m.Base.Name, "00" + m.Base.Digest[2:]} },
		"another template": func(m *Model) { m.Template = "other" },
	} {
		changed := *m
		change(&changed)
		if err := strict.Verify(t.Context(), &changed, nil); !errors.Is(err, signing.ErrUntrusted) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := os.Chmod(open.Path(m, "adapter_model.safetensors"), 0o600); err != nil {
		t.Fatal(err)
	}
	weights, err := os.OpenFile(open.Path(m, "adapter_model.safetensors"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = weights.WriteAt([]byte{1, 2, 3, 4}, 5000)
	if err = errors.Join(err, weights.Close()); err != nil {
		t.Fatal(err)
	}
	if err := strict.Verify(t.Context(), m, nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("other weights: %v", err)
	}
	if _, err := open.Sign(t.Context(), "site", key); !errors.Is(err, ErrDamaged) {
		t.Errorf("what is damaged is signed: %v", err)
	}
}

// starterAdapter is a folder with the starter's adapter.
func starterAdapter(t *testing.T) string {
	t.Helper()
	bundle, err := Starter()
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Sub(bundle.Files, AdapterFolder)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "site")
	if err := os.CopyFS(folder, files); err != nil {
		t.Fatal(err)
	}
	return folder
}
