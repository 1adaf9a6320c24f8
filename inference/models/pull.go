package models

import (
	"cmp"
	"context"
	"crypto/sha1" // git names small files so; large ones have SHA-256
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"llamaxr/inference/llama"
)

const (
	// HubVariable holds the address of the hub where OWNER/NAME is looked for, as Hugging Face's own tools read it. No address is built
	// in: an appliance asks nobody whom the site did not name.
	HubVariable = "HF_ENDPOINT"
	// TokenVariable holds the site's access token for gated models.
	TokenVariable = "HF_TOKEN"
	// maxListing bounds a hub's answer about a repository.
	maxListing = 16 << 20
	// partSuffix marks a file that is not here as a whole.
	partSuffix = ".part"
	// headerTime is how long a hub may take to begin an answer; the body may take as long as it comes.
	headerTime = 30 * time.Second
)

// ErrOffline is returned when the hub cannot be reached.
var ErrOffline = errors.New("the hub cannot be reached; on a machine without the internet, copy the model's folder here and run `llamaxr models import FOLDER`")

// Pull says what to download and how to import it. Import.From and Import.Origin are filled in.
type Pull struct {
	Hub        string
	Repository string
	Revision   string
	File       string // one GGUF file; empty takes config, tokenizer and safetensors
	Token      string
	Import     Import
}

// ReadToken returns the access token in a file, else in the environment, else none.
func ReadToken(file string, getenv func(string) string) (string, error) {
	if file == "" {
		return strings.TrimSpace(getenv(TokenVariable)), nil
	}
	data, err := readSmall(file, 4096)
	if err != nil {
		return "", fmt.Errorf("models: token: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

var validRepository = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$`)

// sibling is a file of a repository as the hub lists it.
type sibling struct {
	Name string `json:"rfilename"`
	Size int64  `json:"size"`
	Blob string `json:"blobId"` // git's SHA-1
	LFS  *struct {
		SHA256 string `json:"sha256"`
		Size   int64  `json:"size"`
	} `json:"lfs"`
}

// Pull downloads a model and imports it. A download that was cut short goes on where it was; every file is held to the digest that the
// hub lists.
func (s *Store) Pull(ctx context.Context, what Pull) (*Model, error) {
	if !validRepository.MatchString(what.Repository) {
		return nil, fmt.Errorf("models: %q is no repository; OWNER/NAME is", what.Repository)
	}
	if what.Hub == "" {
		return nil, fmt.Errorf("models: no hub was named: give --hub URL or set %s", HubVariable)
	}
	h := hub{base: strings.TrimSuffix(what.Hub, "/"), token: what.Token, client: newClient()}
	commit, files, err := h.list(ctx, what)
	if err != nil {
		return nil, err
	}
	if what.Import.Name == "" {
		what.Import.Name = strings.ToLower(path.Base(what.Repository))
	}
	if err := s.check(&what.Import, KindLlama); err != nil {
		return nil, err
	}
	key := sha256.Sum256([]byte(h.base + "\n" + what.Repository + "\n" + commit))
	folder := s.path(workFolder, "pull-"+hex.EncodeToString(key[:16]))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("models: %w", err)
	}
	unlock, err := hold(filepath.Join(folder, lockFile)) // or two would write to the same files
	if err != nil {
		return nil, err
	}
	defer unlock()
	total, here := int64(0), int64(0)
	for _, f := range files {
		total += f.Size
		for _, name := range []string{f.Name, f.Name + partSuffix} {
			if info, err := os.Stat(filepath.Join(folder, name)); err == nil {
				here += info.Size()
			}
		}
	}
	if err := room(folder, total-here); err != nil {
		return nil, err
	}
	what.Import.From = folder
	meter := newMeter(what.Import.Progress, total)
	slices.SortStableFunc(files, func(a, b sibling) int { return cmp.Compare(rank(a.Name), rank(b.Name)) })
	asked := false
	for _, f := range files {
		if rank(f.Name) > 0 && !asked && (what.File == "" || what.Import.AcceptLicence == "") { // a GGUF file may name its licence itself
			asked = true
			if _, err := acceptLicence(what.Import, ""); err != nil {
				return nil, err
			}
		}
		if err := h.fetch(ctx, what.Repository, commit, f, filepath.Join(folder, f.Name), meter.of("downloading "+f.Name)); err != nil {
			return nil, err
		}
	}
	what.Import.Origin = Origin{From: h.base + "/" + what.Repository, Revision: commit}
	if what.File != "" {
		what.Import.From = filepath.Join(folder, what.File)
	}
	m, err := s.Import(ctx, what.Import)
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(folder); err != nil {
		return nil, fmt.Errorf("models: %w", err)
	}
	return m, nil
}

type hub struct {
	base, token string
	client      *http.Client
}

func newClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = headerTime
	return &http.Client{Transport: transport}
}

// list asks which commit a revision is and which of its files are wanted.
func (h hub) list(ctx context.Context, what Pull) (commit string, files []sibling, err error) {
	response, err := h.get(ctx, fmt.Sprintf("/api/models/%s/revision/%s?blobs=true", what.Repository, url.PathEscape(what.Revision)), 0)
	if err != nil {
		return "", nil, err
	}
	defer response.Body.Close()
	var answer struct {
		SHA      string    `json:"sha"`
		Siblings []sibling `json:"siblings"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxListing)).Decode(&answer); err != nil {
		return "", nil, fmt.Errorf("models: the hub's answer about %s: %w", what.Repository, err)
	}
	if !regexp.MustCompile(`^[0-9a-f]{40}$`).MatchString(answer.SHA) {
		return "", nil, fmt.Errorf("models: the hub says that %s has commit %q", what.Repository, answer.SHA)
	}
	for _, f := range answer.Siblings {
		if !wanted(f.Name, what.File) {
			continue
		}
		if f.Name != filepath.Base(f.Name) || !filepath.IsLocal(f.Name) || f.Size < 0 {
			return "", nil, fmt.Errorf("models: the hub lists a file %q of %d bytes", f.Name, f.Size)
		}
		files = append(files, f)
	}
	if what.File != "" && !slices.ContainsFunc(files, func(f sibling) bool { return f.Name == what.File }) {
		return "", nil, fmt.Errorf("models: %s has no file %s", what.Repository, what.File)
	}
	return answer.SHA, files, nil
}

// rank puts the files that say what the licence is before those that may take hours.
func rank(name string) int {
	switch name {
	case cardFile, "LICENSE", "LICENSE.txt", "LICENSE.md":
		return 0
	}
	return 1
}

// wanted tells a model's files, and its licence's, from what else is in a repository.
func wanted(name, gguf string) bool {
	if rank(name) == 0 {
		return true
	}
	switch name {
	case llama.ConfigFile, llama.GenerationFile, llama.TokenizerFile, llama.WeightsFile + ".index.json":
		return gguf == ""
	}
	if gguf != "" {
		return name == gguf
	}
	return strings.HasPrefix(name, "model") && strings.HasSuffix(name, ".safetensors")
}

// get asks the hub, from a byte on. The token goes to the hub alone: net/http does not send it on to where a redirect leads.
func (h hub) get(ctx context.Context, path string, from int64) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, h.base+path, nil)
	if err != nil {
		return nil, fmt.Errorf("models: hub: %w", err)
	}
	if h.token != "" {
		request.Header.Set("Authorization", "Bearer "+h.token)
	}
	if from > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	response, err := h.client.Do(request)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("models: download stopped; the same command goes on where it was: %w", ctx.Err())
	case err != nil:
		return nil, fmt.Errorf("models: %w (%v)", ErrOffline, err)
	}
	switch response.StatusCode {
	case http.StatusOK, http.StatusPartialContent:
		return response, nil
	}
	response.Body.Close()
	switch response.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, fmt.Errorf("models: the hub says %s: the model is gated; accept its terms there and give your token by --token-file or %s", response.Status, TokenVariable)
	case http.StatusNotFound:
		return nil, fmt.Errorf("models: the hub has no %s", strings.SplitN(path, "?", 2)[0])
	}
	return nil, fmt.Errorf("models: the hub says %s", response.Status)
}

// fetch downloads a file to path, going on with what is there, and holds it to its digest.
func (h hub) fetch(ctx context.Context, repository, commit string, f sibling, path string, read func(int)) error {
	if info, err := os.Stat(path); err == nil && info.Size() == f.Size { // complete, and held to its digest before it got its name
		read(int(f.Size))
		return nil
	}
	part := path + partSuffix
	file, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("models: %w", err)
	}
	defer file.Close()
	sum, want := f.digest()
	at, err := io.Copy(sum, file)
	if err != nil {
		return fmt.Errorf("models: %w", err)
	}
	read(int(at))
	if at < f.Size {
		response, err := h.get(ctx, fmt.Sprintf("/%s/resolve/%s/%s", repository, commit, url.PathEscape(f.Name)), at)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if at > 0 && response.StatusCode != http.StatusPartialContent { // it does not go on: begin again
			if err := errors.Join(file.Truncate(0), seek(file)); err != nil {
				return fmt.Errorf("models: %w", err)
			}
			read(-int(at))
			sum, want = f.digest()
			at = 0
		}
		n, err := io.Copy(io.MultiWriter(file, sum, counter(read)), io.LimitReader(response.Body, f.Size-at+1))
		at += n
		if err != nil {
			return fmt.Errorf("models: %s: cut short after %d of %d bytes, the same command goes on there: %w", f.Name, at, f.Size, err)
		}
	}
	if at < f.Size {
		return fmt.Errorf("models: %s: cut short after %d of %d bytes, the same command goes on there", f.Name, at, f.Size)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want || at != f.Size {
		if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("models: %w", err)
		}
		return fmt.Errorf("models: %s has digest %s of %d bytes, the hub lists %s of %d: it was damaged on its way; try again", f.Name, got, at, want, f.Size)
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("models: %w", err)
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("models: %w", err)
	}
	return nil
}

func seek(file *os.File) error {
	_, err := file.Seek(0, io.SeekStart)
	return err
}

// digest returns the hash that the hub lists for a file, begun: SHA-256 for large files, git's SHA-1 for small ones.
func (f sibling) digest() (hash.Hash, string) {
	if f.LFS != nil {
		return sha256.New(), f.LFS.SHA256
	}
	sum := sha1.New()
	fmt.Fprintf(sum, "blob %d\x00", f.Size)
	return sum, f.Blob
}

// counter reports what is written to it.
type counter func(int)

// Write implements io.Writer.
func (c counter) Write(p []byte) (int, error) {
	c(len(p))
	return len(p), nil
}
