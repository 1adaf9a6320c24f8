// Package tune makes an adapter from a site's corrections: the data set, the QLoRA run, the gate that decides whether the new adapter may
// replace the old, and the record of it all.
//
// Besides the corrections themselves a run trains on reports composed from the site's own sentences for other scores: for each finding
// the sentence that the site uses when it is present and when it is absent, in the site's order; or, where that is more like the site's reports,
// in the wording on which they agree most (package wording). They come in pairs that differ in one finding's scores, so that the new style does not
// loosen the text from the scores.
package tune
