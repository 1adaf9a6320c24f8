package config

import "time"

// How an archive hands over what it is asked for.
const (
	RetrieveMove = "move"
	RetrieveGet  = "get"
)

// Archive is who is asked for images that a study lacks (Query/Retrieve, PS3.4 annex C).
type Archive struct {
	AETitle      string        `yaml:"ae_title" reload:"yes" explain:"the archive's AE title; empty is no archive"`
	Address      string        `yaml:"address" reload:"yes" explain:"its host:port"`
	TLS          ClientTLS     `yaml:"tls" explain:"TLS to it"`
	Retrieve     string        `yaml:"retrieve" reload:"yes" explain:"move: it is told to send to ae_title, which it must know with our address (C-MOVE); get: it sends on the association on which it was asked (C-GET)"`
	FetchMissing bool          `yaml:"fetch_missing_view" reload:"yes" explain:"true asks it, once, for the other view of a study that ends with one, before that is drafted; llamaxr fetch --missing asks at any time"`
	FetchTime    time.Duration `yaml:"fetch_time" reload:"yes" explain:"the draft of a study with one view waits for the archive at most this long"`
}

// maxFetchTime ends before the lease of the job does that asks.
const maxFetchTime = 4 * time.Minute

// Node is the archive as one that is sent to.
func (a Archive) Node() Destination {
	return Destination{AETitle: a.AETitle, Address: a.Address, TLS: a.TLS}
}

// On reports whether there is an archive.
func (a Archive) On() bool { return a.AETitle != "" }

// checkArchive reports what is wrong with the archive.
func (c Config) checkArchive(fault func(key, format string, args ...any)) {
	a := c.Archive
	if a.On() != (a.Address != "") {
		fault("archive", "ae_title and address go together")
	} else if a.On() {
		if err := checkAETitle(a.AETitle); err != nil {
			fault("archive.ae_title", "%w", err)
		}
		if err := checkAddress(a.Address); err != nil {
			fault("archive.address", "%w", err)
		}
	}
	if !a.On() && a.FetchMissing {
		fault("archive.fetch_missing_view", "needs archive.ae_title and archive.address")
	}
	if !a.On() && a.TLS != (ClientTLS{}) {
		fault("archive.tls", "needs archive.ae_title and archive.address")
	}
	if a.Retrieve != RetrieveMove && a.Retrieve != RetrieveGet {
		fault("archive.retrieve", "%q is not one of %s, %s", a.Retrieve, RetrieveMove, RetrieveGet)
	}
	if a.FetchTime < time.Second || a.FetchTime > maxFetchTime {
		fault("archive.fetch_time", "%s is outside 1s to %s", a.FetchTime, maxFetchTime)
	}
}
