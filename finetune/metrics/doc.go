// Package metrics compares written reports with reference reports in the two recipes that papers use, which give different figures:
//
//   - paper (LLaMA-XR, its notebook): NLTK's sentence_bleu with SmoothingFunction().method1 averaged, rouge_score's rougeL F with its
//     stemmer averaged, NLTK's meteor_score (alpha 0.9, beta 3, gamma 0.5, WordNet) averaged; words are what white space separates.
//     It has no CIDEr.
//   - coco (pycocoevalcap as R2Gen calls it, without its PTB tokenizer): BLEU over the corpus, ROUGE-L with beta 1.2, CIDEr, and METEOR
//     1.5, which is a Java program with 60 MB of paraphrases: where Java and its jar are found they are run, else the figure is left
//     out and the report says so.
//
// Beside them stand what a radiologist asks: clinical F1 by the labeler, and grounding of the text in the scores it was written from.
// Every figure has a bootstrap confidence interval. Texts are taken as they are: who compares in lower case lowers both.
//
//	pairs, err := metrics.ReadPairs(file)
//	report, err := metrics.Evaluate(ctx, pairs, metrics.Options{Seed: 1})
//	report.Paper["BLEU-4"]
package metrics
