package queue

import (
	"time"

	"llamaxr/study"
)

// Promise is what a peer asks us to answer for: that we keep objects of its (storage commitment, PS3.4 annex J).
type Promise struct {
	TransactionUID string               `json:"transaction_uid"`
	AETitle        string               `json:"ae_title"` // of who asks
	Objects        []study.SOPReference `json:"objects"`
	Asked          time.Time            `json:"asked"`
	// Duplicate says that the Transaction UID was another request's: nothing is promised.
	Duplicate bool      `json:"duplicate,omitempty"`
	Committed int       `json:"committed"` // objects, when it was decided last
	Failed    int       `json:"failed"`
	Decided   time.Time `json:"decided,omitzero"`
	Reported  time.Time `json:"reported,omitzero"` // the peer has taken the result
}

// Promise returns a promise by its key, nil when there is none. The key is the Transaction UID; a duplicate has one of its own.
func (tx *Tx) Promise(key string) (*Promise, error) { return get[Promise](tx, bucketPromises, key) }

// PutPromise stores a promise.
func (tx *Tx) PutPromise(key string, p *Promise) error { return put(tx, bucketPromises, key, p) }

// EachPromise visits all promises.
func (tx *Tx) EachPromise(visit func(key string, p *Promise) error) error {
	return each(tx, bucketPromises, visit)
}

// Transaction is a request of ours for storage commitment.
type Transaction struct {
	UID      string               `json:"uid"`
	Job      string               `json:"job"` // that waits for the answer
	Study    string               `json:"study"`
	Objects  []study.SOPReference `json:"objects"`
	Asked    time.Time            `json:"asked"`
	Answered time.Time            `json:"answered,omitzero"`
}

// Transaction returns a request of ours, nil when there is none.
func (tx *Tx) Transaction(uid string) (*Transaction, error) {
	return get[Transaction](tx, bucketTransactions, uid)
}

// PutTransaction stores a request of ours.
func (tx *Tx) PutTransaction(t *Transaction) error { return put(tx, bucketTransactions, t.UID, t) }

// Commitment is what a destination said to a request of ours to commit to what it was sent.
type Commitment struct {
	Asked     time.Time `json:"asked,omitzero"`
	Committed time.Time `json:"committed,omitzero"` // to all of it
	Error     string    `json:"error,omitempty"`
}

// Forever is until when an object is kept that was promised without an end.
var Forever = time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)
