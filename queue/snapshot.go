package queue

import (
	"fmt"

	"go.etcd.io/bbolt"
)

// Snapshot writes the database to path as it is at one moment, and calls still at that moment: until still returns nothing is committed, so
// what it sees of other files is what a power cut would have left beside this database. Work goes on while the copy is written; only a file
// that must grow waits for it.
func (db *DB) Snapshot(path string, still func() error) error {
	tx, err := db.at(still)
	if err != nil {
		return fmt.Errorf("queue: snapshot: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // it only read
	if err := guard(func() error { return tx.CopyFile(path, 0o600) }); err != nil {
		return fmt.Errorf("queue: snapshot: %w", err)
	}
	return nil
}

// at begins to read at a moment at which nothing is being committed.
func (db *DB) at(still func() error) (*bbolt.Tx, error) {
	db.committing.Lock()
	defer db.committing.Unlock()
	tx, err := db.bolt.Begin(false)
	if err != nil {
		return nil, err
	}
	if err := still(); err != nil {
		_ = tx.Rollback()
		return nil, err
	}
	return tx, nil
}
