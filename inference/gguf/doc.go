// Package gguf reads GGUF files (ggml's specification docs/gguf.md, versions 2 and 3): typed metadata, then tensors, plain or in
// ggml's block formats. Nothing a file claims is believed before it is checked against the file's own length: no count or size
// makes the reader allocate more than the header's bytes can fill, and every error names the key or tensor.
//
// Values come out bit for bit as the reference implementation's (PyPI gguf, gguf.quants) do.
//
//	file, err := gguf.Read(r, size)
//	layers, err := file.Int("llama.block_count")
//	err = file.ReadRows("token_embd.weight", 0, 1, row)
package gguf
