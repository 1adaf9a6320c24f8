// Package inference turns a paired study into scores and text, as the LLaMA-XR paper does (arXiv 2506.03178, section 3):
// DenseNet121 scores 18 findings on each view, the 36 scores fill the prompt, and a Llama with an adapter writes the report.
//
//	reader, err := inference.Open(eng, models.OpenStore(folder))
//	scores, maps, err := reader.Score(ctx, &frontal, &lateral)
//	written, err := reader.Write(ctx, scores, nil)
package inference
