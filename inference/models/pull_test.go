package models

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"llamaxr/inference/llama"
)

// fakeHub serves a folder as a model hub does.
type fakeHub struct {
	folder  string
	token   string         // asked for when set
	cut     map[string]int // bytes after which a file's connection breaks, once
	damage  string         // a file of which one bit is turned
	names   map[string]string
	served  map[string]int64
	headers []string
}

const fakeCommit = "0123456789abcdef0123456789abcdef01234567"

func (h *fakeHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.headers = append(h.headers, r.Header.Get("Authorization"))
	if h.token != "" && r.Header.Get("Authorization") != "Bearer "+h.token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.URL.Path == "/api/models/owner/Tiny/revision/main" {
		h.listing(w)
		return
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/owner/Tiny/resolve/"+fakeCommit+"/")
	data, err := os.ReadFile(filepath.Join(h.folder, name))
	if !ok || err != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if name == h.damage {
		data[len(data)/2] ^= 1
	}
	from := 0
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil {
		w.WriteHeader(http.StatusPartialContent)
	}
	if n := h.cut[name]; n > from {
		delete(h.cut, name)
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		w.Write(data[:n])
		h.served[name] += int64(n)
		panic(http.ErrAbortHandler)
	}
	n, _ := w.Write(data[from:])
	h.served[name] += int64(n)
}

func (h *fakeHub) listing(w http.ResponseWriter) {
	entries, _ := os.ReadDir(h.folder)
	var files []map[string]any
	for _, entry := range entries {
		data, _ := os.ReadFile(filepath.Join(h.folder, entry.Name()))
		name := entry.Name()
		if other, ok := h.names[name]; ok {
			name = other
		}
		f := map[string]any{"rfilename": name, "size": len(data)}
		if strings.HasSuffix(name, ".safetensors") {
			f["lfs"] = map[string]any{"sha256": sumOf(data), "size": len(data)}
		} else {
			sum := sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(data)), data...))
			f["blobId"] = hex.EncodeToString(sum[:])
		}
		files = append(files, f)
	}
	json.NewEncoder(w).Encode(map[string]any{"sha": fakeCommit, "siblings": files})
}

func startHub(t *testing.T) (*fakeHub, Pull) {
	t.Helper()
	h := &fakeHub{folder: llamaFolder(t, "llama2"), cut: map[string]int{}, served: map[string]int64{}}
	write(t, filepath.Join(h.folder, "training.bin"), []byte("not wanted"))
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return h, Pull{
		Hub: server.URL, Repository: "owner/Tiny", Revision: "main", Import: Import{Precision: llama.NF4, AcceptLicence: "llama-test", Now: noon},
	}
}

// TestPull downloads a sharded model whose connection breaks in two files; the second and third try go on where the one before was.
func TestPull(t *testing.T) {
	h, what := startHub(t)
	h.token, what.Token = "secret", "secret"
	const first, second = "model-00001-of-00005.safetensors", "model-00004-of-00005.safetensors"
	h.cut[first], h.cut[second] = 20_000, 30_000
	s := OpenStore(t.TempDir())
	for range 2 {
		if _, err := s.Pull(context.Background(), what); err == nil || !strings.Contains(err.Error(), "goes on there") {
			t.Fatalf("a broken connection: %v", err)
		}
		nothingInstalled(t, s)
	}
	folders, err := filepath.Glob(s.path(workFolder, "pull-*"))
	if err != nil || len(folders) != 1 {
		t.Fatalf("%v (%v)", folders, err)
	}
	unlock, err := hold(filepath.Join(folders[0], lockFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pull(context.Background(), what); !errors.Is(err, ErrBusy) {
		t.Errorf("while another downloads the same: %v", err)
	}
	unlock()
	m, err := s.Pull(context.Background(), what)
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "tiny" || m.Source.Revision != fakeCommit || m.Licence.Text != "You may test." {
		t.Errorf("%+v", m)
	}
	if want := imported(t, OpenStore(t.TempDir()), "llama2", "tiny").Digest(); m.Digest() != want {
		t.Errorf("digest %s, from the folder %s", m.Digest(), want)
	}
	for _, name := range []string{first, second} {
		info, err := os.Stat(filepath.Join(h.folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if h.served[name] != info.Size() {
			t.Errorf("%s: %d bytes were sent of %d: a download did not go on where it was", name, h.served[name], info.Size())
		}
	}
	if h.served["training.bin"] != 0 {
		t.Error("a file that is not needed was downloaded")
	}
	if left, _ := os.ReadDir(s.path(workFolder)); len(left) != 0 {
		t.Errorf("work is left: %v", left)
	}
}

// TestPullFailsPlainly: each error says what to do, and nothing is installed.
func TestPullFailsPlainly(t *testing.T) {
	try := func(t *testing.T, what Pull, want string) error {
		t.Helper()
		s := OpenStore(t.TempDir())
		_, err := s.Pull(context.Background(), what)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the token is in the error: %v", err)
		}
		nothingInstalled(t, s)
		return err
	}
	h, what := startHub(t)
	h.damage = llama.TokenizerFile
	try(t, what, "tokenizer.json")
	h.damage = "model-00002-of-00005.safetensors"
	try(t, what, "damaged on its way")
	h.damage, h.token = "", "secret"
	try(t, what, "--token-file")
	h.token = ""
	h.names = map[string]string{"model-00001-of-00005.safetensors": "model/../../../x.safetensors"}
	try(t, what, "x.safetensors")
	h.names = nil
	what.File = "none.gguf"
	try(t, what, "no file none.gguf")
	what.File, what.Repository = "", "owner/Other"
	try(t, what, "has no")
	what.Repository = "../../etc"
	try(t, what, "OWNER/NAME")
	what.Repository, what.Import.AcceptLicence = "owner/Tiny", ""
	h.served = map[string]int64{}
	if err := try(t, what, "llama-test"); !errors.Is(err, ErrLicence) {
		t.Errorf("%v, want ErrLicence", err)
	}
	what.Import.Precision = "int3"
	try(t, what, "int3")
	for name, n := range h.served {
		if strings.HasSuffix(name, ".safetensors") {
			t.Errorf("%d bytes of %s were downloaded before the licence was accepted", n, name)
		}
	}
	server := httptest.NewServer(h)
	server.Close() // nobody listens there any more
	what.Hub, what.Token = server.URL, "secret"
	if err := try(t, what, "llamaxr models import"); !errors.Is(err, ErrOffline) {
		t.Errorf("%v, want ErrOffline", err)
	}
}

func TestTokenComesFromFileOrEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	write(t, path, []byte("from-file\n"))
	environment := func(name string) string { return map[string]string{TokenVariable: "from-environment"}[name] }
	for file, want := range map[string]string{path: "from-file", "": "from-environment"} {
		if got, err := ReadToken(file, environment); err != nil || got != want {
			t.Errorf("%q: %q (%v)", file, got, err)
		}
	}
	if _, err := ReadToken(path+"x", environment); err == nil {
		t.Error("a missing file gives no error")
	}
}
