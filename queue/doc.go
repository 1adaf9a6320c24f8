// Package queue is the appliance's durable state in one bbolt file: the ledger of instances and studies, and the jobs that carry a
// study from stage to stage.
//
// Its promise: what Update returned nil for survives kill -9 and power loss (bbolt commits with fdatasync), and every job is done at
// least once or is a dead letter with its reason. Jobs are leased; a lease that runs out, or whose process died, is given out again,
// so consumers must be idempotent. Payloads are small and no transaction spans two stages, so that another broker can take the
// jobs later.
//
//	err := db.Update(func(tx *queue.Tx) error { return tx.Enqueue(queue.Job{ID: "draft/1.2.3/1", Kind: "draft", Study: "1.2.3"}) })
//	lease, err := db.Lease(ctx, time.Minute, "draft")
//	err = lease.Done(func(tx *queue.Tx) error { return tx.Enqueue(next) })
package queue
