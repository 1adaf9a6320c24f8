package queue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"go.etcd.io/bbolt"
)

// Formats of the state. What an older program would drop or not look for makes a new one, a field of a record as much as a file: the older program
// refuses it. TestFormatIsNumbered notices new fields.
//
//	1  records are JSON text
//	2  records carry checksums, buckets have tallies
//	3  the format and its program are on record; acknowledged objects may lie in the spool's journal
const (
	Format = 3 // what this program writes
	Oldest = 1 // what it converts
)

// Formats in which something began.
const (
	sealedFormat = 2
	signedFormat = 3
)

// formatKey is of a sealed record in meta, a Form, from format 3 on. It stays readable in every format to come: by it a program knows a newer state
// from a damaged one.
var formatKey = []byte("format")

// Form is the format of a state and the program that wrote to it last; that is empty where it left no name.
type Form struct {
	Format  int    `json:"format"`
	Program string `json:"program,omitempty"`
}

func (f Form) String() string {
	if f.Program == "" {
		return fmt.Sprintf("format %d", f.Format)
	}
	return fmt.Sprintf("format %d, written by llamaxr %s", f.Format, f.Program)
}

// NewerError is returned for a state that a newer program wrote. It is left as it is.
type NewerError struct{ Form Form }

func (e *NewerError) Error() string {
	return fmt.Sprintf("the state has %s; this program knows formats %d to %d: run the newer program, or go back with its `llamaxr upgrade --back`",
		e.Form, Oldest, Format)
}

// OlderError is returned for a state that must be converted before it is written to.
type OlderError struct{ Form Form }

func (e *OlderError) Error() string {
	return fmt.Sprintf("the state has %s and this program writes format %d: convert it with `llamaxr upgrade`, or start the appliance", e.Form, Format)
}

// known refuses a state of a newer program.
func (f Form) known() error {
	if f.Format > Format {
		return &NewerError{f}
	}
	return nil
}

// formOf tells the format by the record of it and by the number that every state has. One that says neither is new.
func formOf(record, number []byte) (f Form) {
	if record != nil && decode(bucketMeta, formatKey, record, &f) == nil {
		return f
	}
	// A higher number without a record is a changed bit: whoever writes one writes the record too.
	if n, err := strconv.Atoi(string(number)); err == nil && n >= 0 {
		f.Format = min(n, signedFormat)
	}
	return f
}

// form is that of an inspected file.
func (in *inspection) form() Form {
	var record []byte
	for _, r := range in.records[string(bucketMeta)] {
		if bytes.Equal(r.key, formatKey) {
			record = r.raw
		}
	}
	return formOf(record, []byte(in.schema()))
}

// FormatOf tells the format of a database that nobody has open. A newer one is no error here.
func FormatOf(path string) (Form, error) {
	file, err := os.Open(path)
	if err != nil {
		return Form{}, fmt.Errorf("queue: %w", err)
	}
	defer file.Close()
	if err := lock(file); err != nil {
		return Form{}, fmt.Errorf("queue: %s: %w", path, err)
	}
	info, err := file.Stat()
	if err != nil {
		return Form{}, fmt.Errorf("queue: %w", err)
	}
	in, err := inspect(file, info.Size())
	if err != nil {
		return Form{}, fmt.Errorf("queue: reading %s: %w", path, err)
	}
	return in.form(), nil
}

// Form is that of the open database; one that was opened to read may be older than Format.
func (db *DB) Form() (f Form, err error) {
	err = db.View(func(tx *Tx) error { f = formIn(tx.bolt); return nil })
	return f, err
}

func formIn(tx *bbolt.Tx) Form {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return Form{}
	}
	return formOf(meta.Get(formatKey), meta.Get(schemaKey))
}

// sign puts format and program on record.
func (tx *Tx) sign() error {
	have, err := get[Form](tx, bucketMeta, string(formatKey))
	if err != nil {
		return err
	}
	want := Form{Format, tx.db.opts.Program}
	if have != nil && have.Format == Format && (have.Program == want.Program || want.Program == "") {
		return nil
	}
	return put(tx, bucketMeta, string(formatKey), want)
}

// sealAll gives checksums to the records of format 1, which had none.
func (tx *Tx) sealAll() error {
	for _, bucket := range allBuckets {
		var plain []record
		err := tx.bolt.Bucket(bucket).ForEach(func(key, raw []byte) error {
			if !bytes.Equal(bucket, bucketMeta) || !bytes.Equal(key, schemaKey) {
				plain = append(plain, record{bytes.Clone(key), bytes.Clone(raw)})
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, r := range plain {
			text, err := plainText(bucket, r.key, r.raw)
			if err != nil {
				return err
			}
			if err := tx.bolt.Bucket(bucket).Delete(r.key); err != nil {
				return err
			}
			if err := tx.set(bucket, r.key, seal(bucket, r.key, text)); err != nil {
				return err
			}
		}
	}
	return nil
}

// plainText is the JSON of a record of format 1. The site's key was its bare bytes.
func plainText(bucket, key, raw []byte) ([]byte, error) {
	if bytes.Equal(bucket, bucketMeta) && bytes.Equal(key, siteKey) {
		return json.Marshal(raw)
	}
	return raw, nil
}

// decode reads a stored record into value.
func (tx *Tx) decode(bucket, key, raw []byte, value any) error {
	if !tx.db.plain {
		return decode(bucket, key, raw, value)
	}
	text, err := plainText(bucket, key, raw)
	if err == nil {
		err = unmarshal(text, value)
	}
	if err != nil {
		return fmt.Errorf("queue: record %s/%s: %w", bucket, key, err)
	}
	return nil
}
