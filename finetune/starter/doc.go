// Package starter trains the starter models on synthetic data alone: DenseNet121 on phantoms (ingest/phantom), and a small Llama
// with its adapter on a grammar of radiology English. Every run is reproducible from its seed; its record of loss and held-out
// scores is kept beside the weights. What it makes is not for clinical use.
package starter
