package config

import (
	"time"

	"llamaxr/ingest/atrest"
)

// Retention says how long the files of a study are kept: images as received, documents and pictures.
type Retention struct {
	KeepDays  int   `yaml:"keep_days" explain:"files of a finished study are kept at least this many days after the last thing that happened to it, and what we committed to this many days after that; 0 keeps all for ever"`
	BelowFree int64 `yaml:"below_free_bytes" explain:"files that were kept for keep_days are removed, oldest study first, only while less than this much disk space is free; 0 removes them at once"`
}

// Encryption is how files are kept from who has the disk.
type Encryption struct {
	Key string `yaml:"key" explain:"file with the key, as llamaxr encryption new-key writes it, or credential:NAME; empty writes plain files. A state that is encrypted starts with its key only"`
}

// Commitment is how we ask others for storage commitment (PS3.4, annex J).
type Commitment struct {
	AnswerTime time.Duration `yaml:"answer_time" explain:"a PACS that does not answer for this long is asked again, limits.attempts times"`
}

// maxKeepDays bounds keep_days: a hundred years.
const maxKeepDays = 36500

// checkKeeping reports what is wrong with the keys of this file.
func (c Config) checkKeeping(fault func(key, format string, args ...any)) {
	if key := c.Encryption.Key; !elsewhere(key) {
		if _, err := atrest.ReadKey(key); err != nil {
			fault("encryption.key", "%w", err)
		}
	}
	if days := c.Retention.KeepDays; days < 0 || days > maxKeepDays {
		fault("retention.keep_days", "%d is outside 0 to %d", days, maxKeepDays)
	}
	if free := c.Retention.BelowFree; free < 0 || free > 1<<50 {
		fault("retention.below_free_bytes", "%d is outside 0 to %d", free, int64(1<<50))
	}
	switch {
	case c.Retention.BelowFree > 0 && c.Retention.KeepDays == 0:
		fault("retention.below_free_bytes", "needs keep_days: with 0 nothing is ever removed")
	case c.Retention.BelowFree > 0 && c.Retention.BelowFree <= c.FreeSpace:
		fault("retention.below_free_bytes", "must be more than minimum_free_bytes, below which nothing is received")
	}
	if t := c.Commitment.AnswerTime; t < time.Second || t > 7*24*time.Hour {
		fault("storage_commitment.answer_time", "%s is outside 1s to 168h", t)
	}
	for i, p := range c.Peers {
		if p.ResultsTo != "" {
			if err := checkAddress(p.ResultsTo); err != nil {
				fault(peerKey(i)+".results_to", "%w", err)
			}
			if p.AETitle == "" {
				fault(peerKey(i)+".results_to", "needs an ae_title to call")
			}
		} else if p.TLS != (ClientTLS{}) {
			fault(peerKey(i)+".tls", "needs results_to: nothing else is opened to a peer")
		}
	}
}

// ResultsTo returns where the results of storage commitment for an AE title go: what its entry among the peers says, or the destination of
// that title.
func (c Config) ResultsTo(aeTitle string) (to Destination, known bool) {
	for _, p := range c.Peers {
		if p.AETitle == aeTitle && p.ResultsTo != "" {
			return Destination{AETitle: aeTitle, Address: p.ResultsTo, TLS: p.TLS}, true
		}
	}
	for _, d := range c.Destinations {
		if d.AETitle == aeTitle {
			return d, true
		}
	}
	return Destination{}, false
}
