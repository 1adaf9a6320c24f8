package queue

import "time"

// Keys in meta.
var (
	clockKey       = []byte("clock")
	clockFormerKey = []byte("clock former")
	clockBehindKey = []byte("clock behind")
	clockDoubtKey  = []byte("clock doubt")
)

// ClockSeen is the time that PutClockSeen recorded last, zero when it never did.
func (tx *Tx) ClockSeen() (time.Time, error) { return tx.moment(clockKey) }

// ClockFormer is the latest time that PutClockSeen took back.
func (tx *Tx) ClockFormer() (time.Time, error) { return tx.moment(clockFormerKey) }

func (tx *Tx) moment(key []byte) (time.Time, error) {
	t, err := get[time.Time](tx, bucketMeta, string(key))
	if err != nil || t == nil {
		return time.Time{}, err
	}
	return *t, nil
}

// PutClockSeen records a time that the clock showed and that was believed.
func (tx *Tx) PutClockSeen(t time.Time) error {
	seen, err := tx.ClockSeen()
	if err != nil {
		return err
	}
	former, err := tx.ClockFormer()
	if err == nil && t.Before(seen) && former.Before(seen) {
		err = put(tx, bucketMeta, string(clockFormerKey), seen)
	}
	if err != nil {
		return err
	}
	return put(tx, bucketMeta, string(clockKey), t)
}

// ClockDoubt is why the clock is not believed, empty when it is, and for how long the appliance ran by it.
type ClockDoubt struct {
	Why string        `json:"why"`
	Ran time.Duration `json:"ran"`
}

// ClockDoubt returns what PutClockDoubt recorded last.
func (tx *Tx) ClockDoubt() (ClockDoubt, error) {
	d, err := get[ClockDoubt](tx, bucketMeta, string(clockDoubtKey))
	if err != nil || d == nil {
		return ClockDoubt{}, err
	}
	return *d, nil
}

// PutClockDoubt records a doubt, or that there is none.
func (tx *Tx) PutClockDoubt(d ClockDoubt) error {
	if d.Why == "" {
		return tx.set(bucketMeta, clockDoubtKey, nil)
	}
	return put(tx, bucketMeta, string(clockDoubtKey), d)
}

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
