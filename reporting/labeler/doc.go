// Package labeler says what a report says: for each of the 18 findings whether a text calls it present, absent or uncertain.
//
// It is a sentence-scoped rule labeler in the manner of NegEx (Chapman et al. 2001) and CheXpert (Irvin et al. 2019,
// arXiv 1901.07031, section 3): mentions are found by pattern, a negation or a hedge reaches over a list but not past "but",
// "however" or a semicolon, and a finding is present when any sentence says so.
//
//	labels := labeler.Label("No effusion. Possible left basal atelectasis.")
//	labels[study.Effusion]    // study.Absent
//	labels[study.Atelectasis] // study.Uncertain
package labeler
