package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"llamaxr/finetune/corrections"
	"llamaxr/finetune/tune"
	"llamaxr/inference/models"
	"llamaxr/reporting/labeler"
	"llamaxr/study"
)

// mostCompared bounds the corrections that a view of the page labels; the newest are taken.
const mostCompared = 500

// learningPage is what readers changed and what was learnt from it.
type learningPage struct {
	Corrections int
	Aside       int
	Compared    int // of them, the newest
	Untouched   int // of the compared: signed as drafted
	Weeks       []week
	MostInWeek  int
	Changes     []change
	MostChanged int
	Rewordings  []rewording // the most frequent
	Runs        []runView   // newest first
	Running     bool
	Needed      int // corrections that a run needs
	Presets     []string
	Models      []study.ModelCard
	Message     string
}

// week is a calendar week's corrections.
type week struct {
	Monday         time.Time
	Count, Changed int
}

// change counts what readers did to one finding.
type change struct {
	Finding        study.Finding
	Added, Removed int
}

// rewording is what readers write in the place of words of the draft; one of both is empty where they add or take out.
type rewording struct {
	Was, Is string
	Reports int
}

// How much is shown of what readers write instead.
const (
	rewordingsShown = 10
	rewordingLength = 90 // of a text, in characters
)

// runView is a run with its curves drawn.
type runView struct {
	*tune.Record
	Training, Validation string // points of polylines in a box of curveWidth x curveHeight
	Low, High            float64
}

// Size of a curve's box.
const (
	curveWidth  = 560.0
	curveHeight = 130.0
)

func (r *Room) learning(w http.ResponseWriter, q *http.Request) {
	list, err := r.appliance.Corrections()
	if err == nil {
		var runs []*tune.Record
		if runs, err = r.appliance.TuningRuns(); err == nil {
			p := learn(list.Corrections, runs)
			p.Aside, p.Models, p.Message = len(list.Aside), r.appliance.Models(), q.URL.Query().Get("said")
			if r.viewedAgain(w, q, "view learning", "", "") {
				r.show(w, http.StatusOK, frame{Title: "Learning", Page: "learning", User: userOf(q), Starter: starterIn(p.Models), Content: p})
			}
			return
		}
	}
	r.log.Error("reading corrections and runs", "error", err)
	r.fail(w, q, http.StatusInternalServerError, "The corrections cannot be read; the log says why.")
}

func starterIn(cards []study.ModelCard) bool {
	return slices.ContainsFunc(cards, func(c study.ModelCard) bool { return c.Starter })
}

// weeksShown is half a year.
const weeksShown = 26

func learn(list []*study.Correction, runs []*tune.Record) learningPage {
	p := learningPage{Corrections: len(list), Needed: tune.LeastCorrections}
	for _, preset := range tune.Presets {
		p.Presets = append(p.Presets, preset.Name)
	}
	slices.SortFunc(list, func(a, b *study.Correction) int { return b.Time.Compare(a.Time) })
	byWeek := map[time.Time]*week{}
	for _, c := range list {
		monday := mondayOf(c.Time.Local())
		if byWeek[monday] == nil {
			byWeek[monday] = &week{Monday: monday}
		}
		byWeek[monday].Count++
		if !signedAsDrafted(c) {
			byWeek[monday].Changed++
		}
	}
	for _, w := range byWeek {
		p.Weeks = append(p.Weeks, *w)
		p.MostInWeek = max(p.MostInWeek, w.Count)
	}
	slices.SortFunc(p.Weeks, func(a, b week) int { return a.Monday.Compare(b.Monday) })
	p.Weeks = p.Weeks[max(0, len(p.Weeks)-weeksShown):]
	changes := make([]change, study.NumFindings)
	reworded := map[rewording]int{}
	for _, c := range list[:min(len(list), mostCompared)] {
		p.Compared++
		if signedAsDrafted(c) {
			p.Untouched++
			continue
		}
		for r := range rewordings(c) {
			reworded[r]++
		}
		before, after := labeler.Label(c.Draft), labeler.Label(c.Final)
		for _, f := range study.Findings() {
			was, is := states(before, f), states(after, f)
			switch {
			case is && !was:
				changes[f].Added++
			case was && !is:
				changes[f].Removed++
			}
		}
	}
	for i, c := range changes {
		if n := c.Added + c.Removed; n > 0 {
			c.Finding = study.Finding(i)
			p.Changes = append(p.Changes, c)
			p.MostChanged = max(p.MostChanged, n)
		}
	}
	slices.SortStableFunc(p.Changes, func(a, b change) int { return cmp.Compare(b.Added+b.Removed, a.Added+a.Removed) })
	for r, n := range reworded {
		p.Rewordings = append(p.Rewordings, rewording{r.Was, r.Is, n})
	}
	slices.SortFunc(p.Rewordings, func(a, b rewording) int {
		return cmp.Or(cmp.Compare(b.Reports, a.Reports), cmp.Compare(a.Was, b.Was), cmp.Compare(a.Is, b.Is))
	})
	p.Rewordings = p.Rewordings[:min(len(p.Rewordings), rewordingsShown)]
	for _, record := range slices.Backward(runs) {
		p.Running = p.Running || record.State == tune.Running || record.State == tune.Judging
		p.Runs = append(p.Runs, drawRun(record))
	}
	return p
}

// rewordings are the changes of a correction's words, each once; Reports is not counted.
func rewordings(c *study.Correction) map[rewording]bool {
	out := map[rewording]bool{}
	before, err := corrections.ParseReport(c.Draft)
	after, err2 := corrections.ParseReport(c.Final)
	if err != nil || err2 != nil {
		return out
	}
	for _, section := range [][2]string{{before.Findings, after.Findings}, {before.Impression, after.Impression}} {
		var r rewording
		for _, p := range append(compare(section[0], section[1]), piece{same, ""}) {
			switch text := excerpt(p.Text); p.Kind {
			case gone:
				r.Was = text
			case added:
				r.Is = text
			default:
				if r != (rewording{}) {
					out[r] = true
				}
				r = rewording{}
			}
		}
	}
	return out
}

// excerpt is a text without the space around it, cut to what is shown.
func excerpt(text string) string {
	text = strings.TrimSpace(text)
	if letters := []rune(text); len(letters) > rewordingLength {
		return string(letters[:rewordingLength]) + "..."
	}
	return text
}

func states(l labeler.Labels, f study.Finding) bool {
	polarity, said := l[f]
	return said && polarity != study.Absent
}

func signedAsDrafted(c *study.Correction) bool {
	before, err := corrections.ParseReport(c.Draft)
	if err != nil {
		return false
	}
	after, err := corrections.ParseReport(c.Final)
	return err == nil && before == after
}

func mondayOf(t time.Time) time.Time {
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, t.Location())
	return day.AddDate(0, 0, -(int(day.Weekday())+6)%7)
}

func drawRun(record *tune.Record) runView {
	v := runView{Record: record}
	all := append(slices.Clone(record.Losses), record.Validation...)
	if len(all) == 0 {
		return v
	}
	v.Low, v.High = all[0].Loss, all[0].Loss
	for _, p := range all {
		v.Low, v.High = min(v.Low, p.Loss), max(v.High, p.Loss)
	}
	line := func(points []tune.Point) string {
		var out strings.Builder
		for _, p := range points {
			x := curveWidth * float64(p.Step) / float64(max(record.Steps, 1))
			y := curveHeight * (v.High - p.Loss) / max(v.High-v.Low, 1e-9)
			fmt.Fprintf(&out, "%.1f,%.1f ", x, y)
		}
		return out.String()
	}
	v.Training, v.Validation = line(record.Losses), line(record.Validation)
	return v
}

// train carries out what a trainer asks for.
func (r *Room) train(w http.ResponseWriter, q *http.Request) {
	act, adapter := q.PathValue("act"), q.PostFormValue("adapter")
	r.settle(w, r.asked(q, "learning "+act, "", adapter+q.PostFormValue("preset")), "/learning", func() (said string, err error) {
		switch act {
		case "start":
			said, err = r.appliance.StartTuning(q.PostFormValue("preset"))
			said = "Run " + said + " has begun."
		case "stop":
			said, err = r.appliance.StopTuning()
			said = "Run " + said + " ends."
		case "promote":
			err = r.appliance.UseAdapter(adapter)
			said = "Adapter " + adapter + " is in use."
		case "rollback":
			said, err = r.appliance.RollBackAdapter()
			said = "Adapter " + said + " is in use again."
		case "starter":
			err = r.appliance.UseAdapter(models.StarterName)
			said = "The starter's adapter is in use again."
		default:
			err = errNoAct
		}
		return said, err
	})
}

var errNoAct = errors.New("there is no such act")

// settle does an act of a form and goes back to its page with what came of it.
func (r *Room) settle(w http.ResponseWriter, act *act, page string, do func() (said string, err error)) {
	if r.ofAnother(w, act.q, act.q.PostFormValue("user")) {
		return
	}
	if err := act.enter(""); err != nil {
		r.fail(w, act.q, http.StatusServiceUnavailable, err.Error())
		return
	}
	said, err := do()
	act.came(err)
	if err != nil {
		said = "Not done: " + err.Error()
	}
	http.Redirect(w, act.q, page+"?said="+urlText(said), http.StatusSeeOther)
}
