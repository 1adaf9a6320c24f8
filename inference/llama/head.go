package llama

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/renameio/v2"
)

// Head is the constant text that all prompts begin with. What the machine keeps of it, keys and values, is the same for every study: it is
// computed once for a model and an adapter and kept on disk, so that a start or another adapter costs a read.
type Head struct {
	Folder string // where it is kept; it is made
	Text   string
	Key    HeadKey
}

// HeadKey is what the keys and values of a head hang on, besides the machine.
type HeadKey struct {
	Model   string `json:"model"`   // digest
	Adapter string `json:"adapter"` // digest, empty without one
	Prompt  string `json:"prompt"`  // digest of the template
}

// Limits of a folder of heads: one of an 8B model takes 50 MB.
const (
	mostHeads     = 8
	mostHeadBytes = 1 << 30
	maxHeadHeader = 1 << 20
)

// headVersion changes with the arithmetic of any machine: what an older program kept would not be what this one computes. TestHeadVersion
// fails where it should have changed.
const headVersion = 3

const (
	headMagic  = "LXRHEAD\n"
	headSuffix = ".head"
)

// headHeader precedes keys and values.
type headHeader struct {
	Version int    `json:"version"`
	Machine string `json:"machine"`
	HeadKey
	Tokens []int `json:"tokens"`
}

var errHead = errors.New("llama: kept head of a prompt")

// SetHead says what the prompts to come begin with; nil for nothing.
func (m *Model) SetHead(h *Head) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.head = h
}

// recall brings a slot to the end of the head that ids begin with, by the file that keeps it or by computing it and keeping it then. It
// returns how many tokens it computed.
func (m *Model) recall(at int, ids []int) (computed int, err error) {
	keeper, ok := m.machine.(headKeeper)
	if m.head == nil || !ok {
		return 0, nil
	}
	n := min(commonPrefix(m.Tokenizer.Prompt(m.head.Text), ids), len(ids)-1)
	from := m.keptOf(at, ids)
	if n <= from {
		return 0, nil
	}
	header := headHeader{headVersion, m.machine.name(), m.head.Key, ids[:n]}
	path := m.head.path(header)
	// A file that is not there, damaged or of something else is made anew.
	if data, err := os.ReadFile(path); err == nil {
		if state, err := parseHead(data, header); err == nil && keeper.restore(at, n, state) == nil {
			m.slots[at].kept = slices.Clone(ids[:n])
			_ = os.Chtimes(path, time.Time{}, time.Now()) // the least used goes first
			return 0, nil
		}
	}
	if err := m.forward(part{at, ids[from:n], from, 1}); err != nil {
		return 0, err
	}
	// What cannot be kept, as on a full disk, is computed again at the next start: a draft does not fail for it.
	_ = m.head.write(path, header, keeper.state(at, n))
	return n - from, nil
}

// headKeeper is a machine whose keys and values can be taken out and put back.
type headKeeper interface {
	// state returns what a slot keeps of positions 0 to n-1.
	state(slot, n int) []byte
	// restore takes it back, or returns an error and keeps nothing.
	restore(slot, n int, state []byte) error
}

func commonPrefix(a, b []int) (n int) {
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// path is the file of a head, by all that its contents hang on.
func (h *Head) path(header headHeader) string {
	text, _ := json.Marshal(header) // of strings and numbers
	sum := sha256.Sum256(text)
	return filepath.Join(h.Folder, hex.EncodeToString(sum[:16])+headSuffix)
}

// write keeps a head: magic, length and text of the header, keys and values, and the SHA-256 of all before.
func (h *Head) write(path string, header headHeader, state []byte) error {
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(h.Folder, 0o700); err != nil {
		return err
	}
	file, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o600))
	if err != nil {
		return err
	}
	defer file.Cleanup()
	sum := sha256.New()
	out := io.MultiWriter(file, sum)
	for _, part := range [][]byte{[]byte(headMagic), binary.LittleEndian.AppendUint32(nil, uint32(len(text))), text, state} {
		if _, err := out.Write(part); err != nil {
			return err
		}
	}
	if _, err := file.Write(sum.Sum(nil)); err != nil {
		return err
	}
	if err := file.CloseAtomicallyReplace(); err != nil {
		return err
	}
	return h.trim(path)
}

// trim removes the heads that were used least lately while there are too many; the one just written stays.
func (h *Head) trim(keep string) error {
	entries, err := os.ReadDir(h.Folder)
	if err != nil {
		return err
	}
	var files []os.FileInfo
	total := int64(0)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && filepath.Ext(e.Name()) == headSuffix {
			files, total = append(files, info), total+info.Size()
		}
	}
	slices.SortFunc(files, func(a, b os.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	left := len(files)
	for _, f := range files {
		if left <= mostHeads && total <= mostHeadBytes {
			break
		}
		if f.Name() == filepath.Base(keep) {
			continue
		}
		if err := os.Remove(filepath.Join(h.Folder, f.Name())); err != nil {
			return err
		}
		left, total = left-1, total-f.Size()
	}
	return nil
}

// parseHead returns the keys and values in a file, if it is whole and of what is wanted.
func parseHead(data []byte, want headHeader) ([]byte, error) {
	const fixed = len(headMagic) + 4
	if len(data) < fixed+sha256.Size || string(data[:len(headMagic)]) != headMagic {
		return nil, fmt.Errorf("%w: %d bytes are none", errHead, len(data))
	}
	body, sum := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if got := sha256.Sum256(body); !bytes.Equal(got[:], sum) {
		return nil, fmt.Errorf("%w: it is damaged", errHead)
	}
	length := int64(binary.LittleEndian.Uint32(data[len(headMagic):]))
	if length > maxHeadHeader || length > int64(len(body)-fixed) {
		return nil, fmt.Errorf("%w: a header of %d bytes", errHead, length)
	}
	var header headHeader
	if err := json.Unmarshal(body[fixed:fixed+int(length)], &header); err != nil {
		return nil, fmt.Errorf("%w: header: %w", errHead, err)
	}
	if header.Version != want.Version || header.Machine != want.Machine || header.HeadKey != want.HeadKey || !slices.Equal(header.Tokens, want.Tokens) {
		return nil, fmt.Errorf("%w: of another model, adapter, prompt or machine", errHead)
	}
	return body[fixed+int(length):], nil
}
