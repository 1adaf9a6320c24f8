// Package atrest encrypts the files of the state at rest. A file is written as age encrypts it (age-encryption.org/v1: X25519, HKDF, then
// ChaCha20-Poly1305 in chunks of 64 KiB), so that a site with its key can read its files without us: age -d -i KEY FILE.
//
// A nil *Key writes plain files. Every reader takes both kinds, told apart by their first bytes: a state in which encryption was turned on
// holds older files that are plain. What those say is vouched for elsewhere, by the digests in ledger and records.
//
//	key, err := atrest.ReadKey(path)
//	err = atrest.Claim(state, key) // ErrWrongKey when the state has another
//	w, err := key.Encrypt(file)    // then Write and Close
//	file, err := key.Open(path)    // reads the plain bytes, at any place
//
// Promise: what Open and ReadFile give is what was written, or ErrDamaged. A file that cannot be read for want of a key is ErrNoKey, which is
// never taken for damage: nothing is set aside or made again because a key is missing.
package atrest
