// Package bundle carries models, adapters with their signatures, and a program to a site without the internet, in one file signed by a key that
// the site trusts.
//
// A bundle is a tar file: manifest.json with the name, length and SHA-256 of every file and the names of the models; manifest.sig, the raw Ed25519
// signature of it (package signing); then the files in the manifest's order.
//
//	err := bundle.Create(out, store, bundle.Content{Models: []string{"site"}}, key)
//	manifest, err := bundle.Verify(in, trusted)
//	manifest, err := bundle.Install(in, state, trusted, bundle.Target{})
//
// Promise: nothing of a bundle is installed unless the manifest is signed by a trusted key and every file is what it says; the error names the file
// that is not. A model is there whole or not at all. An older bundle takes nothing's place that a newer one brought, unless it is named.
package bundle
