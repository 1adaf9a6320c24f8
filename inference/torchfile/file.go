package torchfile

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"llamaxr/inference/safetensors"
)

// maxEntries bounds the archive's list; a whole DenseNet121 has 730 entries.
const maxEntries = 1 << 16

// File is an open file: everything but the weights has been read and checked.
type File struct {
	// Class is the module's that was saved, for example "torchxrayvision.models.DenseNet"; empty for a state dict.
	Class   string
	state   *dict
	tensors map[string]*tensor
	bytes   func(*storage) ([]byte, error)
	// shared is the storage read last of those that several tensors lie in: some checkpoints keep all weights in one.
	shared struct {
		key  string
		data []byte
	}
}

// Open reads a file of the given size up to its weights.
func Open(r io.ReaderAt, size int64) (*File, error) {
	head := make([]byte, min(size, int64(len(zipMagic))))
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("torchfile: %w", err)
	}
	file := &File{}
	open := file.openStream
	if string(head) == zipMagic {
		open = file.openZip
	}
	root, err := open(r, size)
	if err != nil {
		return nil, fmt.Errorf("torchfile: %w", err)
	}
	if err := file.take(root); err != nil {
		return nil, fmt.Errorf("torchfile: %w", err)
	}
	return file, nil
}

const zipMagic = "PK\x03\x04"

// openZip reads the form of torch 1.6 and later: NAME/data.pkl, and NAME/data/KEY for each storage, none compressed.
func (f *File) openZip(r io.ReaderAt, size int64) (any, error) {
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return nil, err
	}
	if len(archive.File) > maxEntries {
		return nil, fmt.Errorf("%d entries, more than %d", len(archive.File), maxEntries)
	}
	entries, folder := map[string]*zip.File{}, ""
	for _, e := range archive.File {
		if entries[e.Name] != nil {
			return nil, fmt.Errorf("entry %q is there twice", e.Name)
		}
		entries[e.Name] = e
		if dir, name := path.Split(e.Name); name == "data.pkl" {
			folder = dir
		}
	}
	text, err := readEntry(entries, folder+"data.pkl", maxPickle)
	if err != nil {
		return nil, err
	}
	if order := entries[folder+"byteorder"]; order != nil {
		if text, err := readEntry(entries, order.Name, 16); err != nil || string(text) != "little" {
			return nil, fmt.Errorf("byteorder is %q, want little (%v)", text, err)
		}
	}
	f.bytes = func(s *storage) ([]byte, error) {
		want := s.count * s.kind.width
		data, err := readEntry(entries, folder+"data/"+s.key, want)
		if err == nil && int64(len(data)) != want {
			err = fmt.Errorf("%sdata/%s has %d bytes, its storage %d", folder, s.key, len(data), want)
		}
		return data, err
	}
	root, _, err := unpickle(text, func(id tuple) (any, error) {
		if len(id) == 0 || id[0] != "storage" {
			return nil, errors.New("refers to something that is no storage")
		}
		s, err := newStorage(id)
		if err != nil {
			return nil, err
		}
		e := entries[folder+"data/"+s.key]
		if e == nil || int64(e.UncompressedSize64) != s.count*s.kind.width {
			return nil, fmt.Errorf("storage %q of %d bytes has no entry of that size", s.key, s.count*s.kind.width)
		}
		return s, nil
	})
	if err != nil {
		return nil, fmt.Errorf("%sdata.pkl: %w", folder, err)
	}
	return root, nil
}

// readEntry reads an entry that must not be compressed, so that it is never larger than the file; its CRC-32 is checked.
func readEntry(entries map[string]*zip.File, name string, most int64) ([]byte, error) {
	e := entries[name]
	if e == nil {
		return nil, fmt.Errorf("entry %q is missing", name)
	}
	if e.Method != zip.Store {
		return nil, fmt.Errorf("entry %q is compressed; torch.save compresses none", name)
	}
	if e.UncompressedSize64 > uint64(most) || e.UncompressedSize64 != e.CompressedSize64 {
		return nil, fmt.Errorf("entry %q has %d bytes, want %d at most", name, e.UncompressedSize64, most)
	}
	r, err := e.Open()
	if err != nil {
		return nil, fmt.Errorf("entry %q: %w", name, err)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, most+1)) // one more, so that the sum is checked at the end
	if err != nil {
		return nil, fmt.Errorf("entry %q: %w", name, err)
	}
	return data, nil
}

// What stands in the first three pickles of the older form.
const (
	streamProtocol = 1001
	streamLong     = 8 // bytes of a storage's count
)

var streamMagic = []byte{0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19}

// openStream reads the form of torch before 1.6: five pickles (magic number, protocol, machine, the object, its storages' keys), then each
// storage's count and bytes in the order of the keys.
func (f *File) openStream(r io.ReaderAt, size int64) (any, error) {
	head := make([]byte, min(size, maxPickle))
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	rest := head
	next := func(what string, persistent func(tuple) (any, error)) (any, error) {
		value, n, err := unpickle(rest, persistent)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		rest = rest[n:]
		return value, nil
	}
	if magic, err := next("magic number", nil); err != nil || !isMagic(magic) {
		return nil, errors.New("not a file of torch.save: neither a zip archive nor torch's magic number")
	}
	if protocol, err := next("protocol", nil); err != nil || protocol != int64(streamProtocol) {
		return nil, fmt.Errorf("the protocol is not %d (%v)", streamProtocol, err)
	}
	machine, err := next("machine", nil)
	if err != nil {
		return nil, err
	}
	if d, ok := machine.(*dict); !ok || d.get("little_endian") != true {
		return nil, errors.New("not of a little-endian machine")
	}
	storages := map[string]*storage{}
	root, err := next("object", func(id tuple) (any, error) {
		if len(id) == 4 && id[0] == "module" { // ('module', class, source file, source): of no use here
			return id[1], nil
		}
		if len(id) == 0 || id[0] != "storage" {
			return nil, errors.New("refers to something that is no storage")
		}
		s, err := newStorage(id)
		if err != nil {
			return nil, err
		}
		if known := storages[s.key]; known != nil {
			if *known != *s {
				return nil, fmt.Errorf("storage %q is described in two ways", s.key)
			}
			return known, nil
		}
		storages[s.key] = s
		return s, nil
	})
	if err != nil {
		return nil, err
	}
	keys, err := next("keys", nil)
	if err != nil {
		return nil, err
	}
	places, err := placesOf(keys, storages, r, int64(len(head)-len(rest)), size)
	if err != nil {
		return nil, err
	}
	f.bytes = func(s *storage) ([]byte, error) {
		at, ok := places[s.key]
		if !ok {
			return nil, fmt.Errorf("storage %q has no bytes in the file", s.key)
		}
		data := make([]byte, s.count*s.kind.width) // fits the file, as placesOf saw
		if _, err := r.ReadAt(data, at); err != nil && len(data) > 0 {
			return nil, fmt.Errorf("storage %q: %w", s.key, err)
		}
		return data, nil
	}
	return root, nil
}

func isMagic(value any) bool {
	raw, ok := value.([]byte)
	return ok && bytes.Equal(raw, streamMagic)
}

// placesOf finds where each storage's bytes begin; from is where the first one's count stands.
func placesOf(keys any, storages map[string]*storage, r io.ReaderAt, from, size int64) (map[string]int64, error) {
	names, ok := items(keys)
	if !ok || len(names) != len(storages) {
		return nil, fmt.Errorf("%d storages, and %d keys for them", len(storages), len(names))
	}
	places := map[string]int64{}
	for _, n := range names {
		key, _ := n.(string)
		s := storages[key]
		if _, twice := places[key]; s == nil || twice {
			return nil, fmt.Errorf("key %.64q is of no storage, or there twice", key)
		}
		var count [streamLong]byte
		if _, err := r.ReadAt(count[:], from); err != nil {
			return nil, fmt.Errorf("storage %q: the file ends at byte %d", key, size)
		}
		if !slices.Equal(count[:], littleEndian(s.count)) {
			return nil, fmt.Errorf("storage %q has another number of elements before its bytes than in the pickle, %d", key, s.count)
		}
		places[key] = from + streamLong
		if from += streamLong + s.count*s.kind.width; from > size {
			return nil, fmt.Errorf("storage %q of %d elements: the file ends at byte %d, %d short", key, s.count, size, from-size)
		}
	}
	return places, nil
}

func littleEndian(v int64) []byte {
	out := make([]byte, streamLong)
	for i := range out {
		out[i] = byte(v >> (bytesOfLongShift * i))
	}
	return out
}

// Tensor reads a tensor by its name in the state dict; one call at a time.
func (f *File) Tensor(name string) (safetensors.Tensor, error) {
	t, ok := f.tensors[name]
	if !ok {
		return safetensors.Tensor{}, fmt.Errorf("torchfile: no tensor %q", name)
	}
	if t.storage.kind.dtype == "" {
		return safetensors.Tensor{}, fmt.Errorf("torchfile: tensor %q is of an element type that no weight has", name)
	}
	data := f.shared.data
	if data == nil || f.shared.key != t.storage.key {
		var err error
		if data, err = f.bytes(t.storage); err != nil {
			return safetensors.Tensor{}, fmt.Errorf("torchfile: tensor %q: %w", name, err)
		}
	}
	out := t.read(data)
	if len(out.Data) < len(data) {
		f.shared.key, f.shared.data = t.storage.key, data
	}
	return out, nil
}

// Shapes returns the shape of every tensor by its name.
func (f *File) Shapes() map[string][]int {
	out := map[string][]int{}
	for name, t := range f.tensors {
		shape := make([]int, len(t.shape))
		for i, n := range t.shape {
			shape[i] = int(n)
		}
		out[name] = shape
	}
	return out
}

// Text returns a text that the saved module had as an attribute, such as "weights"; empty when it had none.
func (f *File) Text(attribute string) string {
	text, _ := f.state.get(attribute).(string)
	return text
}

// Number returns a whole number that the saved module had as an attribute, such as "input_resolution".
func (f *File) Number(attribute string) (value int64, ok bool) {
	value, ok = f.state.get(attribute).(int64)
	return value, ok
}

// Texts returns a list of texts that the saved module had as an attribute, such as "pathologies"; nil when it had none.
func (f *File) Texts(attribute string) []string {
	members, _ := items(f.state.get(attribute))
	var out []string
	for _, m := range members {
		text, ok := m.(string)
		if !ok {
			return nil
		}
		out = append(out, strings.Clone(text))
	}
	return out
}
