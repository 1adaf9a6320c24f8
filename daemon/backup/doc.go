// Package backup keeps a state folder in one file and brings it back.
//
// The file is a tar archive that any tar reads: a description (llamaxr-backup.json), the database, every file of the state, and last
// SHA256SUMS, in the form of sha256sum(1), which covers all that went before: an archive that ends without it was cut off.
//
// What is kept is the state as a power cut at one moment would have left it, which is what the appliance starts from after one: every object
// that was acknowledged before is there, and work that was under way is done again.
package backup
