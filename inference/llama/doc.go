// Package llama runs models of the Llama architecture (Touvron et al. 2023; grouped-query attention, rotary positions with Llama
// 3's scaling) with 4-bit NF4 weights and an unmerged LoRA adapter (Hu et al. 2021), as GoMLX graphs on whatever engine is open.
//
// A model is a folder: config.json and tokenizer.json as Hugging Face writes them, model.safetensors with linear layers as
// bitsandbytes packs NF4. An adapter is a PEFT folder. Decoding is greedy: the same prompt gives the same text.
//
//	model, err := llama.Load(eng, modelFiles)
//	err = model.SetAdapter(adapterFiles)
//	result, err := model.Generate(ctx, prompt, 200)
package llama
