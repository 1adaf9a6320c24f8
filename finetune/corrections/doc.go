// Package corrections turns what radiologists signed into what an adapter may learn from: identifiers masked before anything is kept,
// claims that scores cannot support (priors, sides, measurements, devices) taken out of the text that trains, and patients, not
// studies, divided between training and the held-out part.
//
//	masked, n := corrections.Mask(text, corrections.Identifiers(header)...)
//	report, err := corrections.ParseReport(masked)
//	row := corrections.TrainingText(report) // "" when nothing is left to learn
package corrections
