// Package worklist keeps a summary of every study in memory, sorted by urgency and age, so that a page of a hundred thousand studies is
// answered in milliseconds. It is read from the ledger once and follows its commits from then on; it holds nothing that the ledger does
// not.
//
//	list := worklist.New(db, []study.Finding{study.Pneumothorax})
//	go list.Run(ctx)
//	page := list.Find(worklist.Query{Status: worklist.ToRead, Limit: 50})
package worklist
