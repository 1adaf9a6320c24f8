package queue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// schemaKey is of the record that holds Format as a bare number.
var schemaKey = []byte("schema")

// schemaVersion is what it says now.
var schemaVersion = strconv.Itoa(Format)

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

	bucketDamaged = []byte("damaged") // bucket / key → the record as it was found

	bucketCorrections      = []byte("corrections")       // identifier → study.Correction
	bucketCorrectionsAside = []byte("corrections aside") // identifier → AsideCorrection

	bucketReadings = []byte("readings") // Study Instance UID → Reading

	bucketPromises     = []byte("promises")     // Transaction UID → Promise
	bucketTransactions = []byte("transactions") // Transaction UID → Transaction
	bucketScores       = []byte("scores")       // time / Study Instance UID → ScoredStudy

	allBuckets = [][]byte{
		bucketMeta, bucketInstances, bucketStudies, bucketAside, bucketJobs, bucketDone, bucketRejections, bucketAccessions, bucketDamaged,
		bucketCorrections, bucketCorrectionsAside, bucketReadings, bucketPromises, bucketTransactions, bucketScores,
	}
)

// Options are what a DB needs from outside.
type Options struct {
	Now         func() time.Time // time.Now when nil
	Rand        func() float64   // in [0, 1), for the jitter of retries
	MaxAttempts int              // of one job before it is a dead letter
	// FirstRetry is the wait after the first failure; it doubles up to LastRetry.
	FirstRetry, LastRetry time.Duration
	// Program is put on record as who wrote the state; what was there stays when it is empty.
	Program string
	// Convert is called before the state of an older program is converted, while nobody has it open; its error stops that. When it is nil such a
	// state is refused.
	Convert func(Form) error
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

	updates    chan update
	committing sync.Mutex // held while a commit is made; see Snapshot
	closing    chan struct{}
	wg         sync.WaitGroup

	attempts atomic.Int64 // of one job at most; Options.MaxAttempts at first

	plain bool // records of format 1, opened to read

	damage []Damage      // found by Open
	met    chan struct{} // a damaged record was met

	mu       sync.Mutex
	wake     chan struct{} // closed and replaced when a job may have become ready
	schedule *schedule

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
	damage, form, err := examine(path, opts.Now())
	if err == nil && form.Format != 0 && form.Format < Format {
		if opts.Convert == nil {
			err = &OlderError{form}
		} else {
			err = opts.Convert(form)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("queue: opening %s: %w", path, err)
	}
	bolt, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: openTimeout, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		if errors.Is(err, bolterrors.ErrTimeout) {
			err = errInUse
		}
		return nil, fmt.Errorf("queue: opening %s: %w", path, err)
	}
	db := &DB{
		bolt: bolt, opts: opts, updates: make(chan update), closing: make(chan struct{}), wake: make(chan struct{}), met: make(chan struct{}, 1),
		damage: damage, schedule: newSchedule(),
	}
	db.SetMaxAttempts(opts.MaxAttempts)
	err = guard(func() error {
		return bolt.Update(func(btx *bbolt.Tx) error {
			tx := &Tx{bolt: btx, db: db, tallies: tallies{}}
			if err := tx.prepare(); err != nil {
				return err
			}
			if len(damage) > 0 {
				if _, err := tx.setAside(); err != nil {
					return err
				}
				if err := tx.NoteDamage(damage...); err != nil {
					return err
				}
			}
			if before, err := get[[]Damage](tx, bucketMeta, unmended); err != nil {
				return err
			} else if before != nil {
				db.damage = *before
			}
			if err := releaseLeases(tx); err != nil {
				return err
			}
			return tx.tallies.store(btx)
		})
	})
	if err != nil {
		bolt.Close()
		return nil, fmt.Errorf("queue: opening %s: %w", path, err)
	}
	err = db.View(func(tx *Tx) error {
		return each(tx, bucketJobs, func(_ string, j *Job) error { db.schedule.put(j); return nil })
	})
	if err != nil {
		bolt.Close()
		return nil, fmt.Errorf("queue: opening %s: %w", path, err)
	}
	db.wg.Go(db.commits)
	return db, nil
}

var errInUse = errors.New("it is in use by another process")

// prepare makes the buckets and brings the records of an older program into the present form.
func (tx *Tx) prepare() error {
	for _, name := range allBuckets {
		if _, err := tx.bolt.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	if form := formIn(tx.bolt); form.Format < sealedFormat {
		if err := tx.sealAll(); err != nil {
			return err
		}
	} else if err := form.known(); err != nil {
		return err
	}
	if err := tx.bolt.Bucket(bucketMeta).Put(schemaKey, []byte(schemaVersion)); err != nil {
		return err
	}
	return tx.sign()
}

// OpenReadOnly opens the state of a daemon that is not running, or a copy. It may be an older program's.
func OpenReadOnly(path string) (*DB, error) {
	bolt, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: openTimeout, ReadOnly: true})
	if errors.Is(err, bolterrors.ErrTimeout) {
		err = errInUse
	}
	if err != nil {
		return nil, fmt.Errorf("queue: opening %s to read: %w", path, err)
	}
	var form Form
	err = guard(func() error { return bolt.View(func(tx *bbolt.Tx) error { form = formIn(tx); return form.known() }) })
	if err == nil && form.Format < Oldest {
		err = errors.New("it holds no state")
	}
	if err != nil {
		bolt.Close()
		return nil, fmt.Errorf("queue: opening %s to read: %w", path, err)
	}
	return &DB{
		bolt: bolt, opts: Options{Now: time.Now}, closing: make(chan struct{}), wake: make(chan struct{}), met: make(chan struct{}, 1),
		plain: form.Format < sealedFormat,
	}, nil
}

// SetMaxAttempts changes how often a job is tried before it is a dead letter; those that are dead stay so.
func (db *DB) SetMaxAttempts(n int) { db.attempts.Store(int64(n)) }

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
		db.committing.Lock()
		db.commit(group)
		db.committing.Unlock()
	}
}

// commit applies a group in one transaction. When one of them fails it is answered and the rest is tried again without it.
func (db *DB) commit(group []update) {
	for len(group) > 0 {
		failed := -1
		changed, jobs := map[string]bool{}, map[string][]byte{}
		err := guard(func() error {
			return db.bolt.Update(func(btx *bbolt.Tx) error {
				tx := &Tx{btx, db, tallies{}, changed, jobs}
				for i, u := range group {
					if err := safely(u.apply, tx); err != nil {
						failed = i
						return err
					}
				}
				return tx.tallies.store(btx)
			})
		})
		if failed < 0 {
			if err == nil {
				db.mu.Lock()
				db.reschedule(jobs)
				db.mu.Unlock()
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
	return guard(func() error { return db.bolt.View(func(tx *bbolt.Tx) error { return read(&Tx{bolt: tx, db: db}) }) })
}

// Tx reads and, inside Update, changes the state.
type Tx struct {
	bolt    *bbolt.Tx
	db      *DB
	tallies tallies           // nil in View
	changed map[string]bool   // studies, inside Update
	jobs    map[string][]byte // as they were stored, inside Update; nil for those that are gone
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
	if err := tx.decode(bucket, []byte(key), data, value); err != nil {
		tx.db.meet()
		return nil, err
	}
	return value, nil
}

func put(tx *Tx, bucket []byte, key string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("queue: record %s/%s: %w", bucket, key, err)
	}
	return tx.set(bucket, []byte(key), seal(bucket, []byte(key), data))
}

// each visits all records of a bucket in the order of their keys. One that is damaged is passed over: the rest keeps working.
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
		if err := tx.decode(bucket, k, v, value); err != nil {
			tx.db.meet()
			continue
		}
		if err := visit(string(k), value); err != nil {
			return err
		}
	}
	return nil
}
