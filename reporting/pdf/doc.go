// Package pdf typesets a draft as a page for systems that show neither SR nor pictures: the warnings first, the patient, the heat map, the
// text by section, the scores of both views and the models. The same draft gives the same bytes.
//
//	page, err := pdf.Page(draft, frontalHeader, heatMap, made)
package pdf
