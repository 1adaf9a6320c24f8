package doctor

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// Bits of adjtimex(2).
const (
	staUnsync   = 0x40
	worstClock  = 500 * time.Millisecond
	oldestClock = 2026 // no clock that is right says less
)

// clock asks the kernel whether somebody keeps the clock right: dates of reports come from it.
func (v *visit) clock(context.Context) {
	const remedy = "let chrony or systemd-timesyncd follow the hospital's time server: timedatectl set-ntp true"
	now := time.Now()
	var t unix.Timex
	_, err := unix.Adjtimex(&t)
	worst := time.Duration(t.Maxerror) * time.Microsecond
	switch {
	case now.Year() < oldestClock:
		v.fail("clock", remedy, "it says %s", now.Format(time.RFC3339))
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOSYS):
		v.warn("clock", "look at it by hand: timedatectl", "it says %s; this account may not ask whether it is kept right", now.Format(time.RFC3339))
	case err != nil:
		v.warn("clock", "look at it by hand: timedatectl", "the kernel cannot be asked: %v", err)
	case t.Status&staUnsync != 0:
		v.warn("clock", remedy, "it says %s, and nobody keeps it right", now.Format(time.RFC3339))
	case worst > worstClock:
		v.warn("clock", remedy, "it may be wrong by %s", worst.Round(time.Millisecond))
	default:
		v.ok("clock", "kept right to %s", worst.Round(time.Millisecond))
	}
}
