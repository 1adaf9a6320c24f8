package queue

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"llamaxr/internal/durable"

	"go.etcd.io/bbolt"
)

// examine looks at a database before bbolt maps it. One with damage is set aside under another name and a new one takes its place with every
// record whose checksum fits; what is missing then is for the owner of the records to make again. A changed key is reason enough: bbolt
// would write the tree anew around it, and wrongly. now names the file set aside. A newer program's database is left alone.
func examine(path string, now time.Time) ([]Damage, Form, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, Form{}, nil
	}
	if err != nil {
		return nil, Form{}, err
	}
	defer file.Close()
	if err := lock(file); err != nil {
		return nil, Form{}, err
	}
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return nil, Form{}, err
	}
	in, err := inspect(file, info.Size())
	if err != nil {
		return nil, Form{}, err
	}
	form := in.form()
	if err := form.known(); err != nil {
		return nil, form, err
	}
	if len(in.structural) == 0 && len(in.damaged) == 0 {
		return in.all(), form, nil
	}
	fresh := path + ".salvaged"
	if err := in.writeTo(fresh); err != nil {
		return nil, Form{}, fmt.Errorf("saving what is sound of %s: %w", filepath.Base(path), err)
	}
	if err := os.Link(path, fmt.Sprintf("%s.damaged-%s", path, now.UTC().Format("20060102T150405.000000"))); err != nil {
		return nil, Form{}, err
	}
	if err := os.Rename(fresh, path); err != nil {
		return nil, Form{}, err
	}
	return in.all(), form, durable.Names(filepath.Dir(path))
}

// lock waits for the lock that bbolt takes on an open database, so that nobody writes while it is read.
func lock(file *os.File) error {
	for deadline := time.Now().Add(openTimeout); ; time.Sleep(20 * time.Millisecond) {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
		if err == nil || !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		if time.Now().After(deadline) {
			return errInUse
		}
	}
}

// writeTo makes a database of the sound records.
func (in *inspection) writeTo(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	bolt, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: openTimeout})
	if err != nil {
		return err
	}
	err = bolt.Update(func(tx *bbolt.Tx) error {
		for name, list := range in.records {
			if len(list) == 0 {
				continue
			}
			b, err := tx.CreateBucketIfNotExists([]byte(name))
			if err != nil {
				return err
			}
			for _, r := range list {
				if err := b.Put(r.key, r.raw); err != nil {
					return err
				}
			}
		}
		aside, err := tx.CreateBucketIfNotExists(bucketDamaged)
		if err != nil {
			return err
		}
		for _, r := range in.bad {
			if err := aside.Put(r.key, seal(bucketDamaged, r.key, r.raw)); err != nil {
				return err
			}
		}
		if !in.sealed {
			return nil
		}
		meta, err := tx.CreateBucketIfNotExists(bucketMeta)
		if err != nil {
			return err
		}
		return meta.Put(schemaKey, []byte(in.number()))
	})
	return errors.Join(err, bolt.Close())
}

// setAside moves records that are damaged out of the way, into the bucket of the damaged, and counts what is left anew.
func (tx *Tx) setAside() (moved []Damage, err error) {
	aside := new(tally)
	err = tx.bolt.Bucket(bucketDamaged).ForEach(func(_, raw []byte) error { aside.add(raw, 1); return nil })
	if err != nil {
		return nil, err
	}
	tx.tallies[string(bucketDamaged)] = aside
	for _, bucket := range allBuckets {
		if bytes.Equal(bucket, bucketDamaged) {
			continue
		}
		var bad []record
		have := new(tally)
		err := tx.bolt.Bucket(bucket).ForEach(func(key, raw []byte) error {
			if bytes.Equal(bucket, bucketMeta) && bytes.Equal(key, schemaKey) {
				return nil
			}
			if _, ok := unseal(bucket, key, raw); ok {
				have.add(raw, 1)
			} else {
				bad = append(bad, record{bytes.Clone(key), bytes.Clone(raw)})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		for _, r := range bad {
			where := string(bucket) + "/" + string(r.key)
			moved = append(moved, Damage{clipKey([]byte(where)), "checksum; set aside"})
			if err := tx.bolt.Bucket(bucket).Delete(r.key); err != nil {
				return nil, err
			}
			if tx.jobs != nil && bytes.Equal(bucket, bucketJobs) {
				tx.jobs[string(r.key)] = nil // nobody waits for it
			}
			if err := tx.set(bucketDamaged, []byte(where), seal(bucketDamaged, []byte(where), r.raw)); err != nil {
				return nil, err
			}
		}
		if !bytes.Equal(bucket, bucketMeta) {
			tx.tallies[string(bucket)] = have
		}
	}
	return moved, nil
}

// SetDamagedAside moves the records whose checksums do not fit out of the way, so that they can be made again.
func (db *DB) SetDamagedAside() (moved []Damage, err error) {
	err = db.Update(func(tx *Tx) error {
		if moved, err = tx.setAside(); err != nil || len(moved) == 0 {
			return err
		}
		return tx.NoteDamage(moved...)
	})
	return moved, err
}

// unmended is the key in meta of what was found damaged and is not mended yet.
const unmended = "unmended"

// NoteDamage has Damage tell of something at each Open until Mended: who mends may not come to the end.
func (tx *Tx) NoteDamage(found ...Damage) error {
	before, err := get[[]Damage](tx, bucketMeta, unmended)
	if err != nil {
		return err
	}
	if before != nil {
		found = append(*before, found...)
	}
	return put(tx, bucketMeta, unmended, found[max(len(found)-maxUnmended, 0):])
}

// maxUnmended bounds what is kept of damage: that there is some is what matters.
const maxUnmended = 100

// Damage is what Open found and set aside, and what was found before and is not mended yet.
func (db *DB) Damage() []Damage { return db.damage }

// Mended says that all is made again that damage had cost.
func (db *DB) Mended() error {
	return db.Update(func(tx *Tx) error { return tx.set(bucketMeta, []byte(unmended), nil) })
}

// Damaged receives a value when a damaged record was met since it was last read from.
func (db *DB) Damaged() <-chan struct{} { return db.met }

func (db *DB) meet() {
	select {
	case db.met <- struct{}{}:
	default:
	}
}

// guard turns a fault of the mapped file into an error: a page that changed under way must not end the process.
func guard(run func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("queue: the database cannot be read: %v: %w", r, ErrDamaged)
		}
	}()
	return run()
}

// Fsck checks a database that nobody has open: the file's own structure by bbolt's Check and by ours, the checksum of every record, and that
// none is missing. records is how many it holds.
func Fsck(path string) (found []Damage, records int, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	if err := lock(file); err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, err
	}
	in, err := inspect(file, info.Size())
	if err == nil {
		err = in.form().known()
	}
	if err != nil {
		return nil, 0, err
	}
	for _, list := range in.records {
		records += len(list)
	}
	found = in.all()
	if len(in.structural) > 0 {
		return found, records, nil // bbolt would trust it
	}
	bolt, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: openTimeout, ReadOnly: true})
	if err != nil {
		return found, records, err
	}
	defer bolt.Close()
	err = bolt.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			found = append(found, Damage{"bbolt", err.Error()})
		}
		return nil
	})
	return found, records, err
}
