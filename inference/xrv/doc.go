// Package xrv is torchxrayvision's DenseNet121 (Cohen et al. 2022, arXiv 2111.00595; network of Huang et al. 2017): one channel in,
// blocks of 6, 12, 24 and 16 layers, growth 32, ReLU after the last norm, mean pool, 18 logits. A score is the sigmoid normalised
// by the label's operating point (torchxrayvision 1.5.7, op_norm), so that 0.5 means "at the threshold".
//
// Weights come as safetensors under torchxrayvision's own state-dict names, with a card that holds label order and thresholds.
//
//	model, err := xrv.Load(eng, weights, card)
//	scores, maps, err := model.Score(ctx, []study.Normalised{frontal, lateral})
package xrv
