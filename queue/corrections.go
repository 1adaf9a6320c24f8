package queue

import (
	"crypto/rand"
	"fmt"
	"time"

	"llamaxr/study"
)

// AsideCorrection is a corrected report that fits no draft, or more than one: kept with the reason, never guessed.
type AsideCorrection struct {
	ID               string    `json:"id"`
	StudyInstanceUID string    `json:"study_instance_uid,omitempty"`
	AccessionNumber  string    `json:"accession_number,omitempty"`
	Report           string    `json:"report"` // masked
	Source           string    `json:"source"`
	Reason           string    `json:"reason"`
	Time             time.Time `json:"time"`
}

// Correction returns a correction, nil when there is none.
func (tx *Tx) Correction(id string) (*study.Correction, error) {
	return get[study.Correction](tx, bucketCorrections, id)
}

// PutCorrection stores a correction.
func (tx *Tx) PutCorrection(c *study.Correction) error { return put(tx, bucketCorrections, c.ID, c) }

// DropCorrection forgets one whose report was withdrawn.
func (tx *Tx) DropCorrection(id string) error { return tx.set(bucketCorrections, []byte(id), nil) }

// EachCorrection visits all corrections by their identifiers.
func (tx *Tx) EachCorrection(visit func(*study.Correction) error) error {
	return each(tx, bucketCorrections, func(_ string, c *study.Correction) error { return visit(c) })
}

// MaxAside bounds the reports kept aside: a feed of a whole hospital's results names thousands of studies that never came here.
const MaxAside = 1000

// SetCorrectionAside keeps a report that fits no draft. When there are too many the oldest goes.
func (tx *Tx) SetCorrectionAside(c *AsideCorrection) error {
	if err := put(tx, bucketCorrectionsAside, c.ID, c); err != nil {
		return err
	}
	kept, oldest := 0, c
	err := tx.EachAsideCorrection(func(other *AsideCorrection) error {
		if kept++; other.Time.Before(oldest.Time) {
			oldest = other
		}
		return nil
	})
	if err != nil || kept <= MaxAside {
		return err
	}
	return tx.set(bucketCorrectionsAside, []byte(oldest.ID), nil)
}

// EachAsideCorrection visits the reports kept aside.
func (tx *Tx) EachAsideCorrection(visit func(*AsideCorrection) error) error {
	return each(tx, bucketCorrectionsAside, func(_ string, c *AsideCorrection) error { return visit(c) })
}

var siteKey = []byte("site key")

// SiteKey is this installation's own secret; the first call, inside Update, makes it.
func (tx *Tx) SiteKey() ([]byte, error) {
	have, err := get[[]byte](tx, bucketMeta, string(siteKey))
	if err != nil {
		return nil, err
	}
	if have != nil {
		return *have, nil
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("queue: site key: %w", err)
	}
	return key, put(tx, bucketMeta, string(siteKey), key)
}
