package web

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"llamaxr/daemon"
	"llamaxr/daemon/access"
	"llamaxr/daemon/worklist"
	"llamaxr/inference/models"
	"llamaxr/queue"
	"llamaxr/reporting/guard"
	"llamaxr/study"
)

// studyPage is a study as its page shows it.
type studyPage struct {
	Report   *daemon.StudyReport
	Header   study.Header // of the shown draft; without one, what the worklist shows
	Entry    worklist.Entry
	Record   *daemon.DraftRecord // nil when there is no draft
	Revision int                 // shown
	Priors   []priorDraft        // other revisions that have a draft, newest first
	Adapters []string            // that could write another
	Text     *queue.Text         // that a reader wrote on the shown revision; nil when nobody did
	Reading  *queue.Reading
	Removed  []study.Sentence
	Chart    []chartRow
	Alert    *queue.Alert     // the newest one of critical findings; nil without any
	Arrivals []daemon.Arrival // of the newest signed report
	Data     studyData
}

// chartRow is one finding's scores; -1 where the view was not acquired.
type chartRow struct {
	Finding          study.Finding
	Frontal, Lateral float32 // -1 where there is no view, or no score
	Present          bool
	Critical         bool
}

// studyData is what the page's script works with.
type studyData struct {
	UID        string        `json:"uid"`
	User       string        `json:"user"`
	Revision   int           `json:"revision"`
	Newest     int           `json:"newest"`
	Version    int           `json:"version"`
	State      string        `json:"state"`  // of the reading
	Shown      string        `json:"shown"`  // of the shown revision: open where the reading is of another
	Status     string        `json:"status"` // of the worklist
	CanEdit    bool          `json:"can_edit"`
	CanSign    bool          `json:"can_sign"`
	Stands     bool          `json:"stands"`   // the newest signed report, which is of the shown revision
	Findings   string        `json:"findings"` // text as it stands
	Impression string        `json:"impression"`
	Draft      reportText    `json:"draft"`
	Analysis   analysisText  `json:"analysis"`
	Views      []viewData    `json:"views"`
	Maps       []mapData     `json:"maps"`
	Phrases    []findingText `json:"phrases"`
}

type reportText struct {
	Findings   string `json:"findings"`
	Impression string `json:"impression"`
}

type analysisText struct {
	Findings   []spoken `json:"findings"`
	Impression []spoken `json:"impression"`
}

// viewData is one image beside its place in the classifier's input.
type viewData struct {
	View     string          `json:"view"`
	SOP      string          `json:"sop"`
	Geometry *study.Geometry `json:"geometry,omitempty"`
}

// mapData is a heat map of one finding on one view.
type mapData struct {
	View    string        `json:"view"`
	Finding string        `json:"finding"`
	Present bool          `json:"present"` // on this view
	Size    int           `json:"size"`
	Values  []float32     `json:"values"`
	Region  *study.Region `json:"region,omitempty"`
}

// findingText is a finding and sentences to pick.
type findingText struct {
	Finding string   `json:"finding"`
	Name    string   `json:"name"`
	Phrases []string `json:"phrases"`
}

func (r *Room) study(w http.ResponseWriter, q *http.Request) {
	uid := q.PathValue("uid")
	report, err := r.appliance.Study(uid)
	if errors.Is(err, daemon.ErrNoStudy) {
		r.fail(w, q, http.StatusNotFound, "There is no such study.")
		return
	}
	if err != nil {
		r.log.Error("reading a study", "study", uid, "error", err)
		r.fail(w, q, http.StatusInternalServerError, "The study cannot be read; the log says why.")
		return
	}
	p := studyPage{Report: report, Record: report.Draft, Revision: report.Revision}
	if n, err := strconv.Atoi(q.URL.Query().Get("revision")); err == nil && n > 0 && n < report.Revision {
		if record, err := r.appliance.Draft(uid, n); err == nil {
			p.Record, p.Revision = record, n
		}
	}
	p.Alert = report.Alert()
	p.Entry, _ = r.appliance.Worklist().Entry(uid)
	p.Header = p.header()
	if p.Reading, err = r.appliance.Reading(uid); err != nil {
		r.log.Error("reading a study", "study", uid, "error", err)
		r.fail(w, q, http.StatusInternalServerError, "The study cannot be read; the log says why.")
		return
	}
	p.fill(userOf(q), r.critical())
	p.Arrivals = r.appliance.Arrivals(report, p.Reading)
	p.Priors = r.priors(&p)
	if p.Data.CanEdit && p.Revision == report.Revision {
		if p.Adapters, err = r.appliance.Adapters(); err != nil {
			r.log.Error("listing adapters", "error", err)
		}
	}
	if r.viewed(w, q, "view study", uid, "revision "+strconv.Itoa(p.Revision)) {
		starter := p.Record != nil && p.Record.Draft.Starter()
		r.show(w, http.StatusOK, frame{Title: personName(p.Header.PatientName), Page: "study", User: userOf(q), Starter: starter, Content: p})
	}
}

// header is of whom the page is, and of which order: the text on it stands under that name.
func (p *studyPage) header() study.Header {
	if p.Record != nil {
		if h := p.Record.Header(); h != nil {
			return *h
		}
	}
	e := p.Entry
	return study.Header{
		PatientName: e.Patient, PatientID: e.PatientID, PatientBirthDate: e.Birth, PatientSex: e.Sex, AccessionNumber: e.Accession, StudyDate: e.StudyDate,
		StudyDescription: e.Described,
	}
}

// maxPriors bounds how many other drafts a page tells of.
const maxPriors = 10

// priorDraft is another revision of a study's draft.
type priorDraft struct {
	Revision int
	Made     time.Time
	Adapter  string
	Same     bool        // its text is that of the shown draft
	Text     *queue.Text // that a reader wrote on it
}

// priors reads the newest of the other revisions.
func (r *Room) priors(p *studyPage) (out []priorDraft) {
	for n := p.Report.Revision; n > 0 && len(out) < maxPriors; n-- {
		if n == p.Revision {
			continue
		}
		record, err := r.appliance.Draft(p.Report.UID, n)
		if err != nil {
			continue // never written, or taken out
		}
		d := priorDraft{Revision: n, Made: record.Made, Adapter: adapterOf(record.Draft)}
		if p.Record != nil {
			shown := p.Record.Draft
			d.Same = shown.Text(study.SectionFindings) == record.Draft.Text(study.SectionFindings) &&
				shown.Text(study.SectionImpression) == record.Draft.Text(study.SectionImpression)
		}
		if text, ok := p.Reading.On(n); ok {
			d.Text = &text
		}
		out = append(out, d)
	}
	return out
}

// adapterOf names the adapter that wrote a draft, or the language model that did without.
func adapterOf(d study.Draft) (name string) {
	for _, m := range d.Models {
		if m.Role == string(models.RoleAdapter) || m.Role == string(models.RoleLanguageModel) && name == "" {
			name = m.Name
		}
	}
	return name
}

func (r *Room) critical() []study.Finding {
	var out []study.Finding
	for _, name := range r.appliance.Config().Critical {
		if f, err := study.ParseFinding(name); err == nil {
			out = append(out, f)
		}
	}
	return out
}

// fill works out what the page and its script need.
func (p *studyPage) fill(user access.User, critical []study.Finding) {
	p.Data = studyData{UID: p.Report.UID, Status: string(p.Entry.Status), User: user.Name, Revision: p.Revision, Newest: p.Report.Revision, Maps: []mapData{}, Phrases: []findingText{}}
	p.Data.Views = p.views()
	if p.Record == nil {
		return
	}
	d := p.Record.Draft
	p.Data.State, p.Data.Shown = queue.ReadingOpen, queue.ReadingOpen
	p.Data.Draft = reportText{d.Text(study.SectionFindings), d.Text(study.SectionImpression)}
	p.Data.Findings, p.Data.Impression = p.Data.Draft.Findings, p.Data.Draft.Impression
	if r := p.Reading; r != nil {
		p.Data.Version, p.Data.State = r.Version, r.State
		if r.Revision == p.Revision {
			p.Data.Shown = r.State
		}
		if text, ok := r.On(p.Revision); ok {
			p.Text, p.Data.Findings, p.Data.Impression = &text, text.Findings, text.Impression
		}
	}
	p.Data.Stands = daemon.ReportStands(&p.Report.Study, p.Reading, p.Revision)
	now := p.Report.Mode == "" && (p.Revision == p.Report.Revision || p.Reading != nil && p.Reading.Revision == p.Revision)
	p.Data.CanEdit = now && user.Has(access.Reader, access.Signer)
	p.Data.CanSign = now && user.Has(access.Signer) && p.Report.Withdrawal(p.Revision) == nil
	p.Data.Analysis = analysis(d, p.Data.Findings, p.Data.Impression)
	for _, s := range d.Sentences {
		if s.Verdict == study.VerdictRemoved {
			p.Removed = append(p.Removed, s)
		}
	}
	for _, f := range study.Findings() {
		row := chartRow{Finding: f, Frontal: -1, Lateral: -1, Present: d.Scores.Present(f), Critical: slices.Contains(critical, f)}
		if s := d.Scores.Frontal; s.Scored(f) {
			row.Frontal = s[f]
		}
		if s := d.Scores.Lateral; s.Scored(f) {
			row.Lateral = s[f]
		}
		p.Chart = append(p.Chart, row)
		p.Data.Phrases = append(p.Data.Phrases, findingText{slug(f), f.String(), guard.Phrases(f)})
	}
	for _, m := range p.Record.Maps {
		scores := d.Scores.Of(m.View)
		p.Data.Maps = append(p.Data.Maps, mapData{
			View: m.View.String(), Finding: slug(m.Finding), Present: scores != nil && scores[m.Finding] >= study.OperatingPoint,
			Size: m.Size, Values: m.Values, Region: m.Region,
		})
	}
}

func analysis(d study.Draft, findings, impression string) analysisText {
	return analysisText{analyse(d, study.SectionFindings, findings), analyse(d, study.SectionImpression, impression)}
}

// views are the images that were read; of a study without a draft, up to two that can be looked at.
func (p *studyPage) views() []viewData {
	views := []viewData{}
	if p.Record != nil {
		for _, v := range []struct {
			view study.Projection
			h    *study.Header
		}{{study.Frontal, p.Record.Frontal}, {study.Lateral, p.Record.Lateral}} {
			if v.h != nil {
				g := p.Record.Views[v.view]
				views = append(views, viewData{v.view.String(), v.h.SOPInstanceUID, &g})
			}
		}
		return views
	}
	for _, o := range p.Report.Objects {
		if o != nil && o.Examined != nil && o.Examined.Reason == "" && len(views) < 2 {
			views = append(views, viewData{"image " + strconv.Itoa(len(views)+1), o.Header.SOPInstanceUID, nil})
		}
	}
	return views
}

// Age is the patient's age in years at the study; empty when it is not known.
func (p studyPage) Age() string {
	birth, err := time.Parse("20060102", p.Header.PatientBirthDate)
	if err != nil {
		return ""
	}
	at, err := time.Parse("20060102", p.Header.StudyDate)
	if err != nil {
		return ""
	}
	years := at.Year() - birth.Year()
	if at.Before(birth.AddDate(years, 0, 0)) {
		years--
	}
	return strconv.Itoa(years)
}
