package pairing

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"llamaxr/study"
)

const (
	forProcessing = "1.2.840.10008.5.1.4.1.1.1.1.1"
	// certain is the log-odds from which a view counts as known: nine to one by the weights' own account, and better in fact, since
	// they are capped (TestIUHeadersAlone).
	certain = 2.2
	// otherCertain is the picture's probability of being no chest from which an image is left.
	otherCertain = 0.9
	// most is the number of images judged together; a study with more is judged image by image.
	most = 10
	// longest is the ratio of the sides from which a picture is no single view: of 5,956 real ones none passes 1.71.
	longest = 2
)

// Config is what a site can set.
type Config struct {
	MinimumAge int // years
	// Captures lets Secondary Capture objects of modality CR or DX be read: digitised films, and what some archives make of radiographs.
	Captures bool
}

// Candidate is one object of a study.
type Candidate struct {
	Header   study.Header
	Received time.Time
	Picture  *Picture // nil when there is none
	NoImage  string   // why there is no picture that can be read; empty when there is, or when nobody looked
	Rejected string   // why a rejection note took the object back (IHE IOCM); empty when none did
}

// DifferentPatients is the refusal of a study whose images name more than one patient.
const DifferentPatients = "images of different patients in one study"

// Decide picks the views to read.
func Decide(candidates []Candidate, cfg Config) study.Pair {
	all := slices.Clone(candidates)
	slices.SortStableFunc(all, func(a, b Candidate) int {
		return strings.Compare(a.Header.SOPInstanceUID, b.Header.SOPInstanceUID)
	})
	var pair study.Pair
	var images []*judged
	for _, c := range all {
		j := &judged{c: c, choice: study.Choice{SOPInstanceUID: c.Header.SOPInstanceUID}}
		if c.Rejected != "" {
			j.leave(study.ProjectionUnknown, "left: rejected: "+c.Rejected)
		} else if reason := Unsuited(c.Header, cfg); reason != "" {
			j.leave(study.ProjectionOther, "left: "+reason)
		} else if c.NoImage != "" {
			j.leave(study.ProjectionUnknown, "left: "+c.NoImage)
		} else if c.Picture != nil && c.Picture.POther >= otherCertain {
			j.leave(study.ProjectionOther, fmt.Sprintf("left: the picture is no chest radiograph (%.2f)", c.Picture.POther))
		}
		images = append(images, j)
	}
	if differ(usable(images)) {
		pair.Refusal = DifferentPatients
		for _, j := range usable(images) {
			j.leave(study.ProjectionUnknown, "left: "+pair.Refusal)
		}
	}
	dropTwins(images)
	judge(usable(images))
	choose(images)
	said := []string{takeLikelier(images)}
	for _, j := range images {
		if d := j.doubts(); j.choice.Chosen && len(d) > 0 {
			said = append(said, fmt.Sprintf("%s view: %s", j.choice.Projection, strings.Join(d, ", ")))
		}
	}
	pair.Doubt = study.Together(said...)
	for _, j := range images {
		pair.Choices = append(pair.Choices, j.choice)
		if j.choice.Chosen && pair.Refusal == "" {
			switch j.choice.Projection {
			case study.Frontal:
				pair.Frontal = j.choice.SOPInstanceUID
			case study.Lateral:
				pair.Lateral = j.choice.SOPInstanceUID
			}
		}
	}
	if pair.Refusal == "" && pair.Frontal == "" && pair.Lateral == "" {
		pair.Refusal = refusal(images)
	}
	return pair
}

// judged is a candidate on its way to a choice.
type judged struct {
	c      Candidate
	choice study.Choice
	left   bool
	own    float64 // log-odds of lateral from its own evidence
	// disagree is set when header and picture each speak clearly, and for different views.
	disagree bool
}

func (j *judged) say(format string, args ...any) {
	j.choice.Why = append(j.choice.Why, fmt.Sprintf(format, args...))
}

func (j *judged) leave(p study.Projection, why string) {
	j.left, j.choice.Projection = true, p
	j.choice.Why = append(j.choice.Why, why)
}

func usable(images []*judged) (out []*judged) {
	for _, j := range images {
		if !j.left {
			out = append(out, j)
		}
	}
	return out
}

// differ reports whether two of the images are of different patients. Each is held against all: one without an issuer is the same as two that differ.
func differ(images []*judged) bool {
	var seen []study.Patient // four at most are the same: with and without issuer and birth date
	for _, j := range images {
		p := j.c.Header.Patient()
		if slices.ContainsFunc(seen, func(other study.Patient) bool { return !p.Same(other) }) {
			return true
		}
		if !slices.Contains(seen, p) {
			seen = append(seen, p)
		}
	}
	return false
}

// dropTwins leaves the for-processing twin of a for-presentation image, and for-processing images altogether: their grey levels are
// raw.
func dropTwins(images []*judged) {
	for _, j := range images {
		if !j.left && (j.c.Header.SOPClassUID == forProcessing || j.c.Header.PresentationIntent == "FOR PROCESSING") {
			j.leave(study.ProjectionUnknown, "left: for processing, its grey levels are raw; the image for presentation is read")
		}
	}
}

// judge sets the projection of each image from its own evidence and that of the others.
func judge(images []*judged) {
	for _, j := range images {
		for _, e := range evidence(j.c.Header) {
			j.own += e.logOdds
			j.say("%s: %s", e.why, toward(e.logOdds))
		}
		if p := j.c.Picture; p != nil {
			w := clampf(p.LogOddsLateral, -weightPicture, weightPicture)
			j.own += w
			j.say("the picture: %s", toward(w))
			if p.Inverted {
				j.say("the grey levels look turned round: check MONOCHROME1 against the picture")
			}
			for _, doubt := range p.Doubts {
				j.say("the picture: %s", doubt)
			}
			if head := j.own - w; head*w < 0 && math.Abs(head) > certain && math.Abs(w) > 1 {
				j.disagree = true
				j.say("header and picture disagree")
			}
		} else {
			j.say("no picture was looked at")
		}
	}
	switch len(images) {
	case 1:
		images[0].own += weightAlone
		images[0].say("the only image of its study: %s", toward(weightAlone))
	case 2:
		byNumber(images)
	}
	joint := together(images)
	for i, j := range images {
		j.choice.LogOdds = joint[i]
		if math.Abs(joint[i]-j.own) > 0.5 {
			j.say("the other images of the study: %s", toward(joint[i]-j.own))
		}
		switch {
		case joint[i] >= certain:
			j.choice.Projection = study.Lateral
		case joint[i] <= -certain:
			j.choice.Projection = study.Frontal
		default:
			j.choice.Doubt = true
			j.say("in doubt: the evidence adds up to %s only", toward(joint[i]))
		}
	}
}

// byNumber counts the order of two images by series and instance number as weak evidence.
func byNumber(images []*judged) {
	number := func(j *judged) (int, bool) {
		series, err1 := strconv.Atoi(strings.TrimSpace(j.c.Header.SeriesNumber))
		instance, err2 := strconv.Atoi(strings.TrimSpace(j.c.Header.InstanceNumber))
		return series*10000 + instance, err1 == nil && err2 == nil && series >= 0 && series < 100000
	}
	a, okA := number(images[0])
	b, okB := number(images[1])
	if !okA || !okB || a == b || min(a, b)/10000 > 1 {
		return
	}
	for i, j := range images {
		w := weightOrder / 2
		if (i == 0) == (a < b) {
			w = -w
		}
		j.own += w
		j.say("its number among the two images: %s", toward(w))
	}
}

// together sums over all ways to name the images frontal or lateral, weighted by how often a study holds so many of each, and returns
// every image's log-odds.
func together(images []*judged) []float64 {
	n := len(images)
	out := make([]float64, n)
	if n < 2 || n > most {
		for i, j := range images {
			out[i] = j.own
		}
		return out
	}
	lateral, frontal := make([]float64, n), make([]float64, n)
	for ways := range 1 << n {
		logWeight, count := 0.0, 0
		for i, j := range images {
			if ways>>i&1 == 1 {
				logWeight += j.own / 2
				count++
			} else {
				logWeight -= j.own / 2
			}
		}
		weight := math.Exp(logWeight) * prior(n, count)
		for i := range images {
			if ways>>i&1 == 1 {
				lateral[i] += weight
			} else {
				frontal[i] += weight
			}
		}
	}
	for i := range out {
		out[i] = clampf(math.Log(lateral[i]/frontal[i]), -20, 20)
	}
	return out
}

// prior is how likely one naming with so many laterals of n is: a study without either view is rare (13 of 2,560 pairs in the IU
// collection, none of 148 larger studies).
func prior(n, laterals int) float64 {
	if laterals == 0 || laterals == n {
		return 0.005
	}
	return 1
}

// choose takes the best image of each view and says why the others are left.
func choose(images []*judged) {
	for _, view := range []study.Projection{study.Frontal, study.Lateral} {
		var best *judged
		for _, j := range images {
			if !j.left && j.choice.Projection == view && (best == nil || better(j, best)) {
				best = j
			}
		}
		for _, j := range images {
			switch {
			case j.left || j.choice.Projection != view:
			case j == best:
				j.choice.Chosen = true
				j.say("chosen as the %s view", view)
			case view == study.Frontal && isAP(j) && !isAP(best):
				j.say("left: a PA view is there")
			default:
				j.say("left: a newer %s view is there", view)
			}
		}
	}
}

// takeLikelier reads a study of which no view is certain with the view that its picture more probably shows, and says so: both views
// are scored by the same network, so a wrong name moves scores from one column to the other and loses none. Images without a
// picture stay unread.
func takeLikelier(images []*judged) (doubt string) {
	best := map[study.Projection]*judged{}
	for _, j := range images {
		if j.choice.Chosen {
			return ""
		}
		if j.left || !j.choice.Doubt || j.c.Picture == nil {
			continue
		}
		likelier := study.Frontal
		if j.choice.LogOdds > 0 {
			likelier = study.Lateral
		}
		j.choice.Projection = likelier
		if b := best[likelier]; b == nil || math.Abs(j.choice.LogOdds) > math.Abs(b.choice.LogOdds) {
			best[likelier] = j
		}
	}
	var views []string
	for _, view := range []study.Projection{study.Frontal, study.Lateral} {
		if j := best[view]; j != nil {
			j.choice.Chosen = true
			j.say("read as the likelier %s view", view)
			views = append(views, view.String())
		}
	}
	if len(views) == 0 {
		return ""
	}
	return "view not certain, read as " + strings.Join(views, " and ")
}

func isAP(j *judged) bool { return strings.EqualFold(strings.TrimSpace(j.c.Header.ViewPosition), "AP") }

// better prefers PA over AP, then the later acquisition, then the later arrival, then the greater UID, so that the order in which
// images come does not matter.
func better(a, b *judged) bool {
	if isAP(a) != isAP(b) {
		return isAP(b)
	}
	key := func(j *judged) string {
		h := j.c.Header
		date, clock := h.AcquisitionDate, h.AcquisitionTime
		if date == "" {
			date, clock = h.ContentDate, h.ContentTime
		}
		return fmt.Sprintf("%8s%-14s%s", date, clock, j.c.Received.UTC().Format("20060102150405.000000"))
	}
	if ka, kb := key(a), key(b); ka != kb {
		return ka > kb
	}
	return a.c.Header.SOPInstanceUID > b.c.Header.SOPInstanceUID
}

// refusal says why no image can be read.
func refusal(images []*judged) string {
	if len(images) == 0 {
		return "no images"
	}
	for _, j := range images {
		if j.choice.Doubt {
			return "the view of every usable image is in doubt"
		}
	}
	last := images[0].choice.Why
	reason := strings.TrimPrefix(last[len(last)-1], "left: ")
	if len(images) > 1 {
		return fmt.Sprintf("none of %d objects can be read; the first: %s", len(images), reason)
	}
	return reason
}

func toward(logOdds float64) string {
	if logOdds < 0 {
		return fmt.Sprintf("%.1f toward frontal", -logOdds)
	}
	return fmt.Sprintf("%.1f toward lateral", logOdds)
}

func clampf(x, lo, hi float64) float64 { return min(max(x, lo), hi) }
