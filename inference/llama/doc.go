// Package llama runs models of the Llama architecture (Touvron et al. 2023; grouped-query attention, rotary positions with Llama
// 3's scaling) with 4-bit NF4 weights and an unmerged LoRA adapter (Hu et al. 2021) or a prefix (Li and Liang 2021). A pass is computed by
// one of two machines: on a CPU by this project's own kernels (package kernel), with packed weights read where the file is mapped; on a GPU
// as a GoMLX graph.
//
// The native machine's results have the same bits whichever tokens share a pass. So the keys and values of a prompt's constant head are kept
// from one report to the next, tokens guessed from earlier reports are checked several at once, and texts that are written at once share passes
// (MostTogether), without changing what is written.
//
// A model is a folder: config.json and tokenizer.json as Hugging Face writes them, model.safetensors with linear layers as
// bitsandbytes packs NF4. An adapter is a PEFT folder. Decoding is greedy: the same prompt gives the same text.
//
//	model, err := llama.Load(eng, modelFiles)
//	err = model.SetAdapter(adapterFiles)
//	result, err := model.Generate(ctx, prompt, 200)
package llama
