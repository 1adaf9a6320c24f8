// Package models holds the models the appliance can use: the starter bundle and the registry.
//
// The starter bundle is a DenseNet121 in torchxrayvision's shape and a small Llama with its adapter, all trained by this project's own
// trainer on synthetic phantoms and embedded in the binary, so that the appliance runs at once and offline. They are not for clinical
// use.
//
// The registry (Store) is a folder of what a site imported. Files are kept by the SHA-256 of their bytes and never changed; a manifest lists
// a model's files and is one itself; a name points at a manifest, and writing the name is the last act of an import. So a killed import
// leaves nothing to be seen, and Verify finds one flipped bit.
//
//	bundle, err := models.Starter()   // verifies every file's SHA-256 against the manifest
//	store := models.OpenStore(folder)
//	model, err := store.Import(ctx, models.Import{From: "Llama-3.1-8B", Precision: llama.NF4, AcceptLicence: "llama3.1", Now: time.Now()})
//	dropped, err := store.Use(model.Name)
package models
