package guard

import (
	"fmt"
	"regexp"

	"llamaxr/reporting/labeler"
	"llamaxr/study"
)

// several are words for both views.
const several = `views|projections|(?:two|2|dual|multiple)[ -](?:\w+ )?(?:view|image|film|radiograph)s?`

var (
	frontal = regexp.MustCompile(`(?i)\b(?:frontals?|front view|` + several + `)\b`)
	lateral = regexp.MustCompile(`(?i)\b(?:laterals?|lat|side view|` + several + `)\b`)
	// outward is lateral as a direction.
	outward = regexp.MustCompile(`(?i)\blateral (?:costophrenic|sulc\w+|recess\w*|pleura\w*|ribs?|chest wall|aspects?)\b`)
)

// viewed are the views that a sentence names.
func viewed(sentence string) (views []study.Projection) {
	if frontal.MatchString(sentence) {
		views = append(views, study.Frontal)
	}
	if lateral.MatchString(outward.ReplaceAllString(sentence, "")) {
		views = append(views, study.Lateral)
	}
	return views
}

// misplaced says why a sentence, with its labels, may not name a view that it names: that one was not taken, or is itself scored otherwise, whatever the
// other says. Empty where it may.
func (c *checker) misplaced(sentence string, labels labeler.Labels) string {
	for _, view := range viewed(sentence) {
		scores := c.scores.Of(view)
		if scores == nil {
			return fmt.Sprintf("names the %s view, which was not taken", view)
		}
		alone := checker{scores: study.PairScores{Frontal: scores}}
		for _, f := range study.Findings() {
			if said, ok := labels[f]; ok && alone.contradicted(f, said) {
				return fmt.Sprintf("%s is called %s on the %s view, scored %s there", f, said, view, study.ShownScore(scores[f]))
			}
		}
	}
	return ""
}
