// Package daemon is the only room that knows the others: it wires receiving, pairing, scoring, writing, reporting and delivery
// into one appliance, each stage a durable job, and owns its life cycle.
//
//	appliance, err := daemon.Open(cfg, version, log)
//	err = appliance.Run(ctx) // serves until ctx is cancelled, then drains
package daemon
