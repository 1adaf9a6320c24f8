// Package guard holds a draft's text against the scores it was written from, sentence by sentence.
//
// A sentence stands when it can be read in one way only (labeler.Plain) and says what the scores say. One that does not, and names a finding that is
// scored, the model writes anew where it is at hand (CheckAgain): of the few sentences that it was nearly as ready to write the first stands that would have
// stood and speaks of what the first spoke of. Where none does plain sentences take its place, and what a last look (Unflagged) finds holds the draft back.
//
// Its promise: in the text it delivers, every finding scored at or above the operating point in either view is said, none
// scored below is, none that the classifier does not score is spoken of, and nothing stands that the scores cannot know (a comparison with a prior, a measurement, a side, a device, a technique, a disease of
// which a finding is only a sign).
// A view that a sentence names was taken, and is itself scored as the sentence says.
// The impression names all that is surely present: some read no further.
// Sentences that contradict each other do not both stand: possible beside present, "no lung lesion" beside a mass.
// What no score is about (the trachea, the aorta, the diaphragm) may be called right, and nothing else.
// What it changes it marks: each sentence carries a verdict, the model's own words and the reason.
//
//	sentences := guard.Check("FINDINGS: No effusion. IMPRESSION: Normal.", scores, maps)
package guard
