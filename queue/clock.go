package queue

import "time"

// Keys in meta.
var (
	clockKey       = []byte("clock")
	clockBehindKey = []byte("clock behind")
)

// ClockSeen is the time that PutClockSeen recorded last, zero when it never did.
func (tx *Tx) ClockSeen() (time.Time, error) {
	seen, err := get[time.Time](tx, bucketMeta, string(clockKey))
	if err != nil || seen == nil {
		return time.Time{}, err
	}
	return *seen, nil
}

// PutClockSeen records a time that the clock showed and that was believed.
func (tx *Tx) PutClockSeen(t time.Time) error { return put(tx, bucketMeta, string(clockKey), t) }

// Span is a time from its beginning to its end.
type Span struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// ClockBehind is what the clock showed while it was behind ClockSeen; nil when it is not.
func (tx *Tx) ClockBehind() (*Span, error) { return get[Span](tx, bucketMeta, string(clockBehindKey)) }

// PutClockBehind records that the clock is behind and shows t.
func (tx *Tx) PutClockBehind(t time.Time) error {
	span, err := tx.ClockBehind()
	if err != nil {
		return err
	}
	if span == nil {
		span = &Span{t, t}
	}
	if t.Before(span.From) {
		span.From = t
	}
	if t.After(span.To) {
		span.To = t
	}
	return put(tx, bucketMeta, string(clockBehindKey), span)
}

// ClearClockBehind records that the clock is believed again.
func (tx *Tx) ClearClockBehind() error { return tx.set(bucketMeta, clockBehindKey, nil) }
