package queue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"slices"
	"strconv"
)

// The file format of bbolt (version 2, as its package documentation and tool describe it), read within bounds: bbolt maps the file and
// trusts it, so that one changed bit can end the process. Nothing here does.
const (
	metaMagic    = 0xED0CDAED
	metaVersion  = 2
	pageHeader   = 16
	elementSize  = 16
	bucketHeader = 16
	metaBody     = 56 // before its checksum
	branchFlag   = 0x01
	leafFlag     = 0x02
	metaFlag     = 0x04
	freelistFlag = 0x10
	bucketLeaf   = 0x01
	noFreelist   = ^uint64(0)

	// maxTreeDepth bounds the way to a leaf; a tree of 4 KiB pages with a billion records is 6 deep.
	maxTreeDepth = 32
	// maxPageRun bounds a page with its overflow: the largest record is far smaller.
	maxPageRun = 64 << 20
)

// errPage is a page that cannot be read as what it should be.
var errPage = errors.New("queue: damaged page")

type meta struct {
	pageSize                   int
	root, freelist, high, txid uint64
}

// readMeta reads the meta page in raw, which begins at the page.
func readMeta(raw []byte, id uint64) (meta, error) {
	if len(raw) < pageHeader+metaBody+8 {
		return meta{}, fmt.Errorf("%w: the file ends", errPage)
	}
	body := raw[pageHeader:]
	sum := fnv.New64a()
	sum.Write(body[:metaBody])
	le := binary.LittleEndian
	m := meta{int(le.Uint32(body[8:])), le.Uint64(body[16:]), le.Uint64(body[32:]), le.Uint64(body[40:]), le.Uint64(body[48:])}
	switch {
	case le.Uint32(body) != metaMagic, le.Uint32(body[4:]) != metaVersion, le.Uint64(body[metaBody:]) != sum.Sum64():
		return meta{}, fmt.Errorf("%w: checksum of the meta page", errPage)
	case m.pageSize < 512 || m.pageSize > 1<<16 || m.pageSize&(m.pageSize-1) != 0:
		return meta{}, fmt.Errorf("%w: page size %d", errPage, m.pageSize)
	case le.Uint64(raw) != id || le.Uint16(raw[8:]) != metaFlag:
		return m, fmt.Errorf("%w: head of the meta page", errPage)
	}
	return m, nil
}

// record is one as it lies in the file.
type record struct{ key, raw []byte }

// inspection is what reading the whole file gave.
type inspection struct {
	file io.ReaderAt
	size int64
	meta meta
	// records by bucket, in order; those whose seal fits and those whose does not.
	records map[string][]record
	sealed  bool // records carry seals: the schema is not the first
	// pages is how many were read.
	pages int
	// structural damage is in the tree itself: bbolt must not be let near the file.
	structural []Damage
	// damaged records are in sound pages; bad are those, by bucket and key.
	damaged []Damage
	bad     []record
	// missing says of a bucket that records are gone.
	missing []Damage

	reached []bool // by page
}

// all lists what was found.
func (in *inspection) all() []Damage { return slices.Concat(in.structural, in.damaged, in.missing) }

// inspect reads a database file. The error is one of reading; what is wrong with the content is in the inspection.
func inspect(file io.ReaderAt, size int64) (*inspection, error) {
	in := &inspection{file: file, size: size, records: map[string][]record{}}
	if !in.findMeta() {
		return in, nil
	}
	in.reached = make([]bool, in.meta.high)
	free, freeKnown := in.freelist()
	for _, e := range in.leaves(nil, in.meta.root, 0) {
		name := string(e.key)
		if e.flags != bucketLeaf || len(e.value) < bucketHeader {
			in.broken(0, "an entry %q where a bucket is due", clipKey(e.key))
			continue
		}
		in.bucket(name, e.value) // one that we do not know may be of a newer program
	}
	if freeKnown {
		in.unreached(free)
	}
	in.sealed = in.schema() != "1"
	if in.sealed {
		in.checkSeals()
	}
	return in, nil
}

func clipKey(key []byte) string { return string(key[:min(len(key), 64)]) }

// broken notes structural damage; page 0 stands for none in particular.
func (in *inspection) broken(page uint64, format string, args ...any) {
	in.structural = append(in.structural, Damage{fmt.Sprintf("page %d", page), fmt.Sprintf(format, args...)})
}

// findMeta takes the newer of the two meta pages that are sound.
func (in *inspection) findMeta() bool {
	read := func(at int64, id uint64) (meta, error) {
		raw := make([]byte, pageHeader+metaBody+8)
		if _, err := in.file.ReadAt(raw, at); err != nil {
			return meta{}, fmt.Errorf("%w: %w", errPage, err)
		}
		return readMeta(raw, id)
	}
	first, err := read(0, 0)
	if err != nil {
		in.broken(0, "%v", err)
	}
	sizes := []int{first.pageSize}
	if first.pageSize == 0 {
		sizes = []int{4096, 8192, 16384, 32768, 65536, 512, 1024, 2048}
	}
	var second meta
	var bad error
	for _, size := range sizes {
		if second, bad = read(int64(size), 1); second.pageSize != 0 {
			break
		}
	}
	if bad != nil {
		in.broken(1, "%v", bad)
	}
	if in.meta = first; second.pageSize != 0 && (first.pageSize == 0 || second.txid > first.txid) {
		in.meta = second
	}
	if in.meta.pageSize == 0 {
		return false
	}
	if pages := uint64(in.size) / uint64(in.meta.pageSize); in.meta.high > pages || in.meta.high < 2 {
		in.broken(0, "the file has %d bytes and should have %d pages", in.size, in.meta.high)
		in.meta.high = pages
	}
	return true
}

// page reads a page with its overflow and marks both as reached.
func (in *inspection) page(id uint64, flags uint16) ([]byte, error) {
	if id < 2 || id >= in.meta.high {
		return nil, fmt.Errorf("%w: number %d is outside the file", errPage, id)
	}
	if in.reached[id] {
		return nil, fmt.Errorf("%w: reached twice", errPage)
	}
	raw, err := in.bytes(id, 1)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	overflow := uint64(le.Uint32(raw[12:]))
	switch {
	case le.Uint64(raw) != id:
		return nil, fmt.Errorf("%w: it says to be %d", errPage, le.Uint64(raw))
	case flags != 0 && le.Uint16(raw[8:]) != flags, flags == 0 && le.Uint16(raw[8:]) != leafFlag && le.Uint16(raw[8:]) != branchFlag:
		return nil, fmt.Errorf("%w: flags %#x", errPage, le.Uint16(raw[8:]))
	case id+overflow >= in.meta.high || (overflow+1)*uint64(in.meta.pageSize) > maxPageRun:
		return nil, fmt.Errorf("%w: %d more pages", errPage, overflow)
	}
	if overflow > 0 {
		if raw, err = in.bytes(id, overflow+1); err != nil {
			return nil, err
		}
	}
	for i := range overflow + 1 {
		if in.reached[id+i] {
			return nil, fmt.Errorf("%w: reached twice", errPage)
		}
	}
	for i := range overflow + 1 {
		in.reached[id+i] = true
		in.pages++
	}
	return raw, nil
}

// bytes reads pages that follow each other.
func (in *inspection) bytes(id, pages uint64) ([]byte, error) {
	raw := make([]byte, pages*uint64(in.meta.pageSize))
	if _, err := in.file.ReadAt(raw, int64(id)*int64(in.meta.pageSize)); err != nil {
		return nil, fmt.Errorf("%w: %w", errPage, err)
	}
	return raw, nil
}

// entry is an element of a leaf page.
type entry struct {
	flags      uint32
	key, value []byte
}

// entries appends the elements of a leaf page, of whose bytes they are, to out; those that point outside it are left out, and sound says that
// there was none.
func entries(out []entry, raw []byte) (_ []entry, sound bool) {
	le := binary.LittleEndian
	count := int(le.Uint16(raw[10:]))
	sound = true
	for i := range count {
		at := pageHeader + i*elementSize
		if at+elementSize > len(raw) {
			return out, false
		}
		e := raw[at:]
		start := uint64(at) + uint64(le.Uint32(e[4:]))
		middle := start + uint64(le.Uint32(e[8:]))
		end := middle + uint64(le.Uint32(e[12:]))
		if start < uint64(pageHeader+count*elementSize) || end > uint64(len(raw)) {
			sound = false
			continue
		}
		out = append(out, entry{le.Uint32(e), raw[start:middle:middle], raw[middle:end:end]})
	}
	return out, sound
}

// leaves walks the tree below a page and appends its entries in order to out; what cannot be read is noted and left out.
func (in *inspection) leaves(out []entry, id uint64, depth int) []entry {
	raw, err := in.page(id, 0)
	if err != nil || depth > maxTreeDepth {
		in.broken(id, "%v", err)
		return out
	}
	if binary.LittleEndian.Uint16(raw[8:]) == leafFlag {
		before := len(out)
		out, sound := entries(out, raw)
		if !sound {
			in.broken(id, "entries outside the page")
		}
		in.ordered(id, out[max(before-1, 0):])
		return out
	}
	began := len(out)
	for i := range int(binary.LittleEndian.Uint16(raw[10:])) {
		at := pageHeader + i*elementSize
		if at+elementSize > len(raw) {
			in.broken(id, "children outside the page")
			break
		}
		e := raw[at:]
		start := uint64(at) + uint64(binary.LittleEndian.Uint32(e))
		end := start + uint64(binary.LittleEndian.Uint32(e[4:]))
		before := len(out)
		out = in.leaves(out, binary.LittleEndian.Uint64(e[8:]), depth+1)
		// A branch keeps a key that is not above the first below it, and above all before.
		if end > uint64(len(raw)) || (len(out) > before && bytes.Compare(raw[start:end], out[before].key) > 0) ||
			(before > began && bytes.Compare(raw[start:end], out[before-1].key) <= 0) {
			in.broken(id, "the key of child %d does not fit", i)
		}
	}
	return out
}

// ordered checks that keys of neighbours on a page, and of the one before it, ascend.
func (in *inspection) ordered(id uint64, list []entry) {
	for i := 1; i < len(list); i++ {
		if bytes.Compare(list[i-1].key, list[i].key) >= 0 {
			in.broken(id, "keys out of order")
		}
	}
}

// bucket reads the records of a bucket from its header, which an inline page may follow.
func (in *inspection) bucket(name string, header []byte) {
	var list []entry
	if root := binary.LittleEndian.Uint64(header); root != 0 {
		list = in.leaves(nil, root, 1)
	} else {
		sound := len(header) >= bucketHeader+pageHeader
		if sound {
			sound = binary.LittleEndian.Uint16(header[bucketHeader+8:]) == leafFlag
		}
		if sound {
			list, sound = entries(nil, header[bucketHeader:])
			in.ordered(0, list)
		}
		if !sound {
			in.broken(0, "bucket %s within its parent's page", name)
		}
	}
	records := make([]record, len(list))
	for i, e := range list {
		if e.flags != 0 {
			in.broken(0, "a bucket in bucket %s", name)
		}
		records[i] = record{e.key, e.value}
	}
	in.records[name] = records
}

// freelist reads the pages that are free; false when it cannot be trusted.
func (in *inspection) freelist() (free map[uint64]bool, known bool) {
	free = map[uint64]bool{}
	if in.meta.freelist == noFreelist {
		return free, false
	}
	raw, err := in.page(in.meta.freelist, freelistFlag)
	if err != nil {
		in.broken(in.meta.freelist, "%v", err)
		return free, false
	}
	count, ids := uint64(binary.LittleEndian.Uint16(raw[10:])), raw[pageHeader:]
	if count == 0xFFFF {
		count, ids = binary.LittleEndian.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids)/8) {
		in.broken(in.meta.freelist, "free pages outside the page")
		return free, false
	}
	known = true
	for i := range count {
		id := binary.LittleEndian.Uint64(ids[8*i:])
		if id < 2 || id >= in.meta.high || free[id] {
			in.broken(in.meta.freelist, "free page %d", id)
			known = false
		}
		free[id] = true
	}
	return free, known
}

// unreached looks at the pages that are neither free nor part of the tree: a damaged branch cut them off. Which bucket their records are
// of, their seals say.
func (in *inspection) unreached(free map[uint64]bool) {
	for id := uint64(2); id < in.meta.high; id++ {
		if free[id] && in.reached[id] {
			in.broken(id, "free and in use")
		}
		if free[id] || in.reached[id] {
			continue
		}
		in.broken(id, "not free and not reached")
		raw, err := in.page(id, leafFlag)
		if err != nil {
			continue
		}
		list, _ := entries(nil, raw)
		for _, e := range list {
			in.home(record{e.key, e.value})
		}
	}
}

// home puts a record into the bucket that its seal names; false when it fits none.
func (in *inspection) home(r record) bool {
	for _, bucket := range allBuckets {
		if _, ok := unseal(bucket, r.key, r.raw); ok {
			in.records[string(bucket)] = append(in.records[string(bucket)], r)
			return true
		}
	}
	return false
}

func (in *inspection) schema() string {
	for _, r := range in.records[string(bucketMeta)] {
		if bytes.Equal(r.key, schemaKey) {
			return string(r.raw)
		}
	}
	return ""
}

// number is what the record of the format's number should be in a file with seals.
func (in *inspection) number() string {
	for _, r := range in.records[string(bucketMeta)] {
		var f Form
		if bytes.Equal(r.key, formatKey) && decode(bucketMeta, formatKey, r.raw, &f) == nil {
			return strconv.Itoa(f.Format)
		}
	}
	return strconv.Itoa(sealedFormat)
}

// checkSeals drops the records whose seals do not fit and holds the rest against the tallies.
func (in *inspection) checkSeals() {
	var stray []record // under another bucket's name
	for _, name := range slices.Sorted(maps.Keys(in.records)) {
		var good []record
		for _, r := range in.records[name] {
			if name == string(bucketMeta) && bytes.Equal(r.key, schemaKey) {
				good = append(good, r)
				continue
			}
			if _, ok := unseal([]byte(name), r.key, r.raw); !ok {
				stray = append(stray, r)
				where := name + "/" + clipKey(r.key)
				in.damaged = append(in.damaged, Damage{where, "checksum"})
				in.bad = append(in.bad, record{[]byte(where), r.raw})
				continue
			}
			good = append(good, r)
		}
		in.records[name] = good
	}
	for _, r := range stray {
		in.home(r)
	}
	have := map[string]*tally{}
	for name, list := range in.records {
		have[name] = new(tally)
		for _, r := range list {
			have[name].add(r.raw, 1)
		}
	}
	if s := in.schema(); s != in.number() {
		in.damaged = append(in.damaged, Damage{"meta/schema", fmt.Sprintf("is %q", clipKey([]byte(s)))})
	}
	want := map[string]*tally{}
	for _, r := range in.records[string(bucketMeta)] {
		if name, ok := bytes.CutPrefix(r.key, []byte("tally ")); ok {
			t := new(tally)
			if decode(bucketMeta, r.key, r.raw, t) == nil {
				want[string(name)] = t
			}
		}
	}
	for name, t := range have {
		if name != string(bucketMeta) && want[name] == nil && t.Count > 0 {
			in.missing = append(in.missing, Damage{name, "its tally is gone"})
		}
	}
	for name, w := range want {
		t := have[name]
		if t == nil {
			t = new(tally)
		}
		if name != string(bucketMeta) && *w != *t {
			in.missing = append(in.missing, Damage{name, fmt.Sprintf("%d sound records, there were %d", t.Count, w.Count)})
		}
	}
}
