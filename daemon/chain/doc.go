// Package chain keeps logs that can only grow: files of one JSON object a line, each of which holds the SHA-256 of the line before it, and
// beside each file its head: how many lines there are and what the last one is.
//
// Its promise: a line that is changed or taken out breaks the chain, lines that are cut off at the end or a file that is deleted no longer
// fit the head, and what Append returned nil for is on disk. Who can write both files can of course write new ones: whoever must not trust
// this machine keeps the head that Verify returns elsewhere, or has the entries sent to another machine as they are made.
//
//	log, err := chain.Open("audit.log", 16<<10)
//	err = log.Append(func(previous string) any { return Entry{What: "begun", Previous: previous} })
//	head, err := chain.Verify("audit.log", 16<<10, nil)
package chain
