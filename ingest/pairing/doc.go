// Package pairing decides which images of a study are the frontal and the lateral view to read, and says why.
//
// Headers lie: of 5,956 real CR and DX headers with known truth (IU collection), 2,034 say nothing of the view and 1,099 of the 2,890
// that say PA are laterals. So every attribute is evidence of a measured weight, in nats of log-odds for lateral, the picture's own
// evidence is added where there is a picture, and the images of a study are judged together: two images are nearly always one of each
// (2,547 of 2,560 pairs in that collection). What stays unclear is a stated doubt, never a guess.
//
//	pair := pairing.Decide(candidates, pairing.Config{MinimumAge: 18})
package pairing
