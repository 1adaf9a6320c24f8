// Package guard holds a draft's text against the scores it was written from, sentence by sentence.
//
// Its promise: in the text it delivers, every finding scored at or above the operating point in either view is said, none
// scored below is, none that the classifier does not score is spoken of, and nothing stands that the scores cannot know (a comparison with a prior, a measurement, a side, a device).
// What it changes it marks: each sentence carries a verdict, the model's own words and the reason.
//
//	sentences := guard.Check("FINDINGS: No effusion. IMPRESSION: Normal.", scores, maps)
package guard
