// Package guard holds a draft's text against the scores it was written from, sentence by sentence.
//
// A sentence stands when it can be read in one way only (labeler.Plain) and says what the scores say; what could be read in two is replaced by plain
// sentences, and what a last look (Unflagged) finds holds the draft back. There is no second try by the model: its greedy text would be the same.
//
// Its promise: in the text it delivers, every finding scored at or above the operating point in either view is said, none
// scored below is, none that the classifier does not score is spoken of, and nothing stands that the scores cannot know (a comparison with a prior, a measurement, a side, a device).
// The impression names all that is surely present: some read no further.
// Sentences that contradict each other do not both stand: possible beside present, "no lung lesion" beside a mass.
// What no score is about (the trachea, the aorta, the diaphragm) may be called right, and nothing else.
// What it changes it marks: each sentence carries a verdict, the model's own words and the reason.
//
//	sentences := guard.Check("FINDINGS: No effusion. IMPRESSION: Normal.", scores, maps)
package guard
