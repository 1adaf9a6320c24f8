package queue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// schemaVersion is the form of the records; a file of another version is refused.
const schemaVersion = "1"

// Buckets.
var (
	bucketMeta      = []byte("meta")
	bucketInstances = []byte("instances") // SOP Instance UID → Instance
	bucketStudies   = []byte("studies")   // Study Instance UID → Study
	bucketAside     = []byte("aside")     // SOP Instance UID / digest → Instance kept aside
	bucketJobs      = []byte("jobs")      // job id → Job
	bucketDone      = []byte("done")      // job id → time

	bucketRejections = []byte("rejections") // Study Instance UID / SOP Instance UID → Rejection
	bucketAccessions = []byte("accessions") // Accession Number NUL Study Instance UID → Study Instance UID

	bucketCorrections      = []byte("corrections")       // identifier → study.Correction
	bucketCorrectionsAside = []byte("corrections aside") // identifier → AsideCorrection

	bucketReadings = []byte("readings") // Study Instance UID → Reading

	allBuckets = [][]byte{
		bucketMeta, bucketInstances, bucketStudies, bucketAside, bucketJobs, bucketDone, bucketRejections, bucketAccessions, bucketCorrections,
		bucketCorrectionsAside, bucketReadings,
	}
)

// Options are what a DB needs from outside.
type Options struct {
	Now         func() time.Time // time.Now when nil
	Rand        func() float64   // in [0, 1), for the jitter of retries
	MaxAttempts int              // of one job before it is a dead letter
	// FirstRetry is the wait after the first failure; it doubles up to LastRetry.
	FirstRetry, LastRetry time.Duration
}

// Defaults of Options.
const (
	DefaultAttempts   = 12
	DefaultFirstRetry = time.Second
	DefaultLastRetry  = 10 * time.Minute
	// openTimeout is how long Open waits for another process to let go of the file.
	openTimeout = 2 * time.Second
	// maxGroup bounds the updates of one commit.
	maxGroup = 256
)

// DB is the durable state.
type DB struct {
	bolt *bbolt.DB
	opts Options

	updates chan update
	closing chan struct{}
	wg      sync.WaitGroup

	mu   sync.Mutex
	wake chan struct{} // closed and replaced when a job may have become ready

	told      map[int]func(map[string]bool) // see Follow
	followers int
}

type update struct {
	apply func(*Tx) error
	done  chan error
}

// Open opens or makes the file. Leases of a process that died are given back at once.
func Open(path string, opts Options) (*DB, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Rand == nil {
		opts.Rand = rand.Float64
	}
	if opts.MaxAttempts == 0 {
		opts.MaxAttempts = DefaultAttempts
	}
	if opts.FirstRetry == 0 {
		opts.FirstRetry, opts.LastRetry = DefaultFirstRetry, DefaultLastRetry
	}
	bolt, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: openTimeout, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		if errors.Is(err, bolterrors.ErrTimeout) {
			return nil, fmt.Errorf("queue: %s is in use by another process", path)
		}
		return nil, fmt.Errorf("queue: opening %s: %w", path, err)
	}
	db := &DB{bolt: bolt, opts: opts, updates: make(chan update), closing: make(chan struct{}), wake: make(chan struct{})}
	err = bolt.Update(func(tx *bbolt.Tx) error {
		for _, name := range allBuckets {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		meta := tx.Bucket(bucketMeta)
		if v := meta.Get([]byte("schema")); v != nil && string(v) != schemaVersion {
			return fmt.Errorf("state has schema %s, this program knows %s", v, schemaVersion)
		}
		if err := meta.Put([]byte("schema"), []byte(schemaVersion)); err != nil {
			return err
		}
		return releaseLeases(&Tx{bolt: tx, db: db})
	})
	if err != nil {
		bolt.Close()
		return nil, fmt.Errorf("queue: opening %s: %w", path, err)
	}
	db.wg.Go(db.commits)
	return db, nil
}

// OpenReadOnly opens the state of a daemon that is not running, or a copy.
func OpenReadOnly(path string) (*DB, error) {
	bolt, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: openTimeout, ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("queue: opening %s to read: %w", path, err)
	}
	return &DB{bolt: bolt, opts: Options{Now: time.Now}, closing: make(chan struct{}), wake: make(chan struct{})}, nil
}

// Close waits for updates under way and closes the file.
func (db *DB) Close() error {
	close(db.closing)
	db.wg.Wait()
	return db.bolt.Close()
}

// ErrClosed is returned by updates after Close.
var ErrClosed = errors.New("queue: closed")

// Update applies a change durably: when it returns nil the change is on disk. Changes that wait at the same time share one commit.
func (db *DB) Update(apply func(*Tx) error) error {
	u := update{apply, make(chan error, 1)}
	select {
	case db.updates <- u:
		return <-u.done
	case <-db.closing:
		return ErrClosed
	}
}

// commits is the only writer: it takes what is waiting and commits it together.
func (db *DB) commits() {
	for {
		var group []update
		select {
		case u := <-db.updates:
			group = append(group, u)
		case <-db.closing:
			return
		}
	collect:
		for len(group) < maxGroup {
			select {
			case u := <-db.updates:
				group = append(group, u)
			default:
				break collect
			}
		}
		db.commit(group)
	}
}

// commit applies a group in one transaction. When one of them fails it is answered and the rest is tried again without it.
func (db *DB) commit(group []update) {
	for len(group) > 0 {
		failed := -1
		changed := map[string]bool{}
		err := db.bolt.Update(func(tx *bbolt.Tx) error {
			for i, u := range group {
				if err := safely(u.apply, &Tx{tx, db, changed}); err != nil {
					failed = i
					return err
				}
			}
			return nil
		})
		if failed < 0 {
			if err == nil {
				db.tell(changed)
			}
			for _, u := range group {
				u.done <- err
			}
			break
		}
		group[failed].done <- err
		group = append(group[:failed:failed], group[failed+1:]...)
	}
	db.mu.Lock()
	close(db.wake)
	db.wake = make(chan struct{})
	db.mu.Unlock()
}

func safely(apply func(*Tx) error, tx *Tx) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("queue: update panicked: %v", r)
		}
	}()
	return apply(tx)
}

// View reads a consistent state.
func (db *DB) View(read func(*Tx) error) error {
	return db.bolt.View(func(tx *bbolt.Tx) error { return read(&Tx{bolt: tx, db: db}) })
}

// Tx reads and, inside Update, changes the state.
type Tx struct {
	bolt    *bbolt.Tx
	db      *DB
	changed map[string]bool // studies, inside Update
}

// Now is the clock of the DB.
func (tx *Tx) Now() time.Time { return tx.db.opts.Now() }

// get decodes the record under key; found is false when there is none.
func get[T any](tx *Tx, bucket []byte, key string) (value *T, err error) {
	b := tx.bolt.Bucket(bucket)
	if b == nil {
		return nil, nil // a state of an older program, opened to read
	}
	data := b.Get([]byte(key))
	if data == nil {
		return nil, nil
	}
	value = new(T)
	if err := json.Unmarshal(data, value); err != nil {
		return nil, fmt.Errorf("queue: record %s/%s: %w", bucket, key, err)
	}
	return value, nil
}

func put(tx *Tx, bucket []byte, key string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("queue: record %s/%s: %w", bucket, key, err)
	}
	if err := tx.bolt.Bucket(bucket).Put([]byte(key), data); err != nil {
		return fmt.Errorf("queue: record %s/%s: %w", bucket, key, err)
	}
	return nil
}

// each visits all records of a bucket in the order of their keys.
func each[T any](tx *Tx, bucket []byte, visit func(key string, value *T) error) error {
	return eachWith(tx, bucket, "", visit)
}

// eachWith visits the records whose keys begin with prefix.
func eachWith[T any](tx *Tx, bucket []byte, prefix string, visit func(key string, value *T) error) error {
	b := tx.bolt.Bucket(bucket)
	if b == nil {
		return nil
	}
	c := b.Cursor()
	for k, v := c.Seek([]byte(prefix)); k != nil && bytes.HasPrefix(k, []byte(prefix)); k, v = c.Next() {
		value := new(T)
		if err := json.Unmarshal(v, value); err != nil {
			return fmt.Errorf("queue: record %s/%s: %w", bucket, k, err)
		}
		if err := visit(string(k), value); err != nil {
			return err
		}
	}
	return nil
}
