// Package ingest turns bytes into a durable, complete study: Receiver stores an object so that success on the wire means durable,
// Completion decides when a study is whole.
//
// PS3.4, section B.2 says what a storage provider promises by its statuses; Receiver returns them as StatusError.
package ingest
