// Package wording is how a set of reports, taken together, says what scores say: the reports that models are taught are composed in it.
//
// Its promise: what is composed says of every finding what the scores say, in sentences that people wrote and that the guard lets stand, says
// nothing twice and nothing beside a finding that a reader takes for its contradiction. Which normal sentences, how many and in what order is
// searched for: those that make composed reports most like the reports in the mean (minimum Bayes risk, Kumar and Byrne 2004).
//
//	w, err := wording.New(examples)
//	w.Compose(scores).String() // FINDINGS: Cardiomegaly. The mediastinum is unremarkable. ...
package wording
