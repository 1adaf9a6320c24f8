package queue

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"

	"go.etcd.io/bbolt"
)

// ErrDamaged is returned for a record whose checksum does not fit: bits of it changed on the disk.
var ErrDamaged = errors.New("damaged")

// Damage is something that was found changed on the disk, or gone.
type Damage struct {
	Where string `json:"where"` // page N, or bucket/key
	What  string `json:"what"`
}

// String is one line.
func (d Damage) String() string { return d.Where + ": " + d.What }

// A record is stored as the mark, the CRC-32C of bucket, key and text, and the text (JSON). The key is part of it, so that a record cannot
// turn up under another one's.
const (
	sealMark   = 0x01
	sealLength = 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sealOf(bucket, key, text []byte) uint32 {
	sum := crc32.Update(0, castagnoli, bucket)
	sum = crc32.Update(sum, castagnoli, []byte{0})
	sum = crc32.Update(sum, castagnoli, key)
	sum = crc32.Update(sum, castagnoli, []byte{0})
	return crc32.Update(sum, castagnoli, text)
}

func seal(bucket, key, text []byte) []byte {
	out := make([]byte, sealLength, sealLength+len(text))
	out[0] = sealMark
	binary.BigEndian.PutUint32(out[1:], sealOf(bucket, key, text))
	return append(out, text...)
}

// unseal returns the text of a record; false when it is damaged.
func unseal(bucket, key, raw []byte) ([]byte, bool) {
	if len(raw) < sealLength || raw[0] != sealMark || binary.BigEndian.Uint32(raw[1:]) != sealOf(bucket, key, raw[sealLength:]) {
		return nil, false
	}
	return raw[sealLength:], true
}

// decode reads a stored record into value.
func decode(bucket, key, raw []byte, value any) error {
	text, ok := unseal(bucket, key, raw)
	if !ok {
		return fmt.Errorf("queue: record %s/%s: %w", bucket, key, ErrDamaged)
	}
	if err := unmarshal(text, value); err != nil {
		return fmt.Errorf("queue: record %s/%s: %w", bucket, key, err)
	}
	return nil
}

// tally is how many records a bucket holds and the sum of their seals: records that vanish with a page leave it behind.
type tally struct {
	Count int64  `json:"count"`
	Sum   uint64 `json:"sum"`
}

func (t *tally) add(raw []byte, n int64) {
	if len(raw) >= sealLength {
		t.Count += n
		t.Sum += uint64(n) * uint64(binary.BigEndian.Uint32(raw[1:]))
	}
}

// tallies are those of the buckets that a transaction changed.
type tallies map[string]*tally

func tallyKey(bucket string) []byte { return []byte("tally " + bucket) }

// of returns the tally of a bucket, as stored before its first change.
func (t tallies) of(tx *bbolt.Tx, bucket []byte) (*tally, error) {
	if have := t[string(bucket)]; have != nil {
		return have, nil
	}
	have := new(tally)
	if raw := tx.Bucket(bucketMeta).Get(tallyKey(string(bucket))); raw != nil {
		if err := decode(bucketMeta, tallyKey(string(bucket)), raw, have); err != nil {
			return nil, err
		}
	}
	t[string(bucket)] = have
	return have, nil
}

// store writes the changed tallies.
func (t tallies) store(tx *bbolt.Tx) error {
	for bucket, have := range t {
		text, err := json.Marshal(have)
		if err != nil {
			return err
		}
		key := tallyKey(bucket)
		if err := tx.Bucket(bucketMeta).Put(key, seal(bucketMeta, key, text)); err != nil {
			return fmt.Errorf("queue: tally of %s: %w", bucket, err)
		}
	}
	return nil
}

// set stores a sealed record, or deletes it when raw is nil, and keeps the tally.
func (tx *Tx) set(bucket, key, raw []byte) error {
	b := tx.bolt.Bucket(bucket)
	t, err := tx.tallies.of(tx.bolt, bucket)
	if err != nil {
		tx.db.meet()
		return err
	}
	t.add(b.Get(key), -1)
	t.add(raw, 1)
	if raw == nil {
		err = b.Delete(key)
	} else {
		err = b.Put(key, raw)
	}
	if err != nil {
		return fmt.Errorf("queue: record %s/%s: %w", bucket, key, err)
	}
	if tx.jobs != nil && bytes.Equal(bucket, bucketJobs) {
		tx.jobs[string(key)] = raw
	}
	return nil
}
