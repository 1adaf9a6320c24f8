// Package study holds the nouns every stage shares: a Study and its Instances, the Projection of each, the 18 Findings
// and their Scores, and the Draft with its Sentences and Evidence.
//
// It does no I/O and imports nothing of this project, so that stages can exchange values without importing one another.
// Findings follow the order of the prompt of the LLaMA-XR paper (arXiv 2506.03178, figure 4): alphabetical, frontal
// scores before lateral ones.
package study
