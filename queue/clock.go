package queue

import "time"

var clockKey = []byte("clock")

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
