// Package models holds the models the appliance can use. Today that is the starter bundle: a DenseNet121 in torchxrayvision's
// shape, a small Llama with its adapter, all trained by this project's own trainer on synthetic phantoms and embedded in the
// binary, so that the appliance runs at once and offline. They are not for clinical use.
//
//	bundle, err := models.Starter()   // verifies every file's SHA-256 against the manifest
//	weights, err := fs.ReadFile(bundle.Files, models.DenseNetWeights)
package models
