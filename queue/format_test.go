package queue

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"llamaxr/study"

	"go.etcd.io/bbolt"
)

var updateGolden = flag.Bool("update", false, "write golden files anew")

// TestNewerState: the database of a newer program is refused, with both formats in the error, and left as it is, also where
// its records have another form.
func TestNewerState(t *testing.T) {
	newer := func() string {
		path := filled(t)
		bolt, err := bbolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = bolt.Update(func(tx *bbolt.Tx) error {
			text := fmt.Appendf(nil, `{"format":%d,"program":"9.9"}`, Format+1)
			sum := crc32.Checksum(append([]byte("meta\x00format\x00"), text...), crc32.MakeTable(crc32.Castagnoli))
			record := append(binary.BigEndian.AppendUint32([]byte{1}, sum), text...)
			studies := tx.Bucket([]byte("studies"))
			key, _ := studies.Cursor().First()
			return errors.Join(tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte(strconv.Itoa(Format+1))), tx.Bucket([]byte("meta")).Put([]byte("format"), record),
				studies.Put(bytes.Clone(key), []byte("\x02another form")))
		})
		if err := errors.Join(err, bolt.Close()); err != nil {
			t.Fatal(err)
		}
		return path
	}
	open := map[string]func(string) error{
		"opened": func(path string) error { _, err := Open(path, Options{}); return err },
		"to be converted": func(path string) error {
			_, err := Open(path, Options{Convert: func(Form) error { return nil }})
			return err
		},
		"opened to read": func(path string) error { _, err := OpenReadOnly(path); return err },
		"checked":        func(path string) error { _, _, err := Fsck(path); return err },
	}
	for what, open := range open {
		path := newer()
		was, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		err = open(path)
		var is *NewerError
		if !errors.As(err, &is) || !strings.Contains(err.Error(), fmt.Sprintf("format %d, written by llamaxr 9.9", Format+1)) || !strings.Contains(err.Error(), fmt.Sprintf("formats %d to %d", Oldest, Format)) {
			t.Errorf("%s: %v", what, err)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, was) {
			t.Errorf("%s: the file is touched, %v", what, err)
		}
	}
	if form, err := FormatOf(newer()); err != nil || form != (Form{Format + 1, "9.9"}) {
		t.Errorf("%+v, %v", form, err)
	}
}

// TestOlderStateIsNotConvertedUnasked: who has not said what to do before a conversion does not make one.
func TestOlderStateIsNotConvertedUnasked(t *testing.T) {
	path := filled(t)
	bolt, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = bolt.Update(func(tx *bbolt.Tx) error {
		return errors.Join(tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte("1")), tx.Bucket([]byte("meta")).Delete([]byte("format")))
	})
	if err := errors.Join(err, bolt.Close()); err != nil {
		t.Fatal(err)
	}
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var older *OlderError
	if _, err := Open(path, Options{}); !errors.As(err, &older) || older.Form.Format != 1 {
		t.Errorf("%v", err)
	}
	if _, err := Open(path, Options{Convert: func(Form) error { return errors.New("no space") }}); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("%v", err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, was) {
		t.Errorf("the file is touched, %v", err)
	}
}

// TestFormatIsNumbered: the records have the fields that are on record for this format. Once a format was released, a field more is another one,
// with a sample in daemon/testdata/states: the older program would drop it when it writes the record again.
func TestFormatIsNumbered(t *testing.T) {
	var out strings.Builder
	for _, record := range []any{
		Instance{}, Study{}, Job{}, Rejection{}, study.Correction{}, AsideCorrection{}, Reading{}, Promise{}, Transaction{}, ScoredStudy{}, tally{}, Form{},
	} {
		describe(&out, reflect.TypeOf(record), map[reflect.Type]bool{})
	}
	for _, bucket := range allBuckets {
		fmt.Fprintf(&out, "bucket %s\n", bucket)
	}
	golden := fmt.Sprintf("testdata/format-%d.txt", Format)
	if *updateGolden {
		if err := os.WriteFile(golden, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		got, had := strings.Split(out.String(), "\n"), strings.Split(string(want), "\n")
		for _, line := range got {
			if !slices.Contains(had, line) {
				t.Errorf("new: %s", line)
			}
		}
		for _, line := range had {
			if !slices.Contains(got, line) {
				t.Errorf("gone: %s", line)
			}
		}
		t.Errorf("records differ from %s: when format %d is released already, raise Format and add a sample; then run this with -update", golden, Format)
	}
}

// describe writes a line for each field of a record, and those of what it holds.
func describe(out *strings.Builder, kind reflect.Type, seen map[reflect.Type]bool) {
	for kind.Kind() == reflect.Pointer || kind.Kind() == reflect.Slice || kind.Kind() == reflect.Map || kind.Kind() == reflect.Array {
		kind = kind.Elem()
	}
	own := reflect.PointerTo(kind).Implements(reflect.TypeFor[json.Marshaler]())
	if kind.Kind() != reflect.Struct || kind == reflect.TypeFor[time.Time]() || own || seen[kind] {
		return
	}
	seen[kind] = true
	for i := range kind.NumField() {
		field := kind.Field(i)
		if field.IsExported() {
			fmt.Fprintf(out, "%s.%s %s %s\n", kind, field.Name, field.Type, field.Tag.Get("json"))
			describe(out, field.Type, seen)
		}
	}
}
