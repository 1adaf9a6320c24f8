package web

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"llamaxr/daemon"
	"llamaxr/daemon/access"
	"llamaxr/daemon/config"
	"llamaxr/daemon/worklist"
	"llamaxr/queue"
	"llamaxr/study"
)

// How much of a long list is shown.
const (
	jobsShown  = 100
	auditShown = 60
)

// adminPage is how the appliance stands.
type adminPage struct {
	Status   daemon.Status
	Config   config.Config
	Models   []study.ModelCard
	Peers    []peer
	Kinds    []kindCount
	Dead     []*queue.Job
	DeadMore int
	Waiting  []*queue.Job // those that failed before
	Users    []access.User
	Audit    []access.Entry
	Free     int64
	Database int64
	Studies  int
	Message  string
}

type kindCount struct {
	Kind  string
	Count int
}

// peer is another system, and what it is to us.
type peer struct {
	Name, What string
	Echo       bool // it can be asked whether it is there
}

// peersOf are the systems that a configuration names, those first that can be asked.
func peersOf(cfg config.Config) (out []peer) {
	for _, d := range cfg.Destinations {
		out = append(out, peer{d.String(), "destination", true})
	}
	if cfg.Archive.On() {
		out = append(out, peer{cfg.Archive.Node().String(), "archive", true})
	}
	for _, d := range cfg.HL7.Destinations {
		out = append(out, peer{d.Name + ", " + d.Address, "HL7", false})
	}
	for _, f := range cfg.FHIR {
		out = append(out, peer{f.Name + ", " + f.HTTP.URL, "FHIR", false})
	}
	for _, w := range cfg.Webhooks {
		out = append(out, peer{w.Name + ", " + w.HTTP.URL, "webhook", false})
	}
	for _, p := range cfg.Peers {
		name := cmp.Or(p.AETitle, "any AE title")
		if len(p.Addresses) > 0 {
			name += " from " + strings.Join(p.Addresses, ", ")
		}
		out = append(out, peer{name, "may send here", false})
	}
	return out
}

func (r *Room) admin(w http.ResponseWriter, q *http.Request) {
	jobs, err := r.appliance.Jobs()
	if err != nil {
		r.log.Error("reading the jobs", "error", err)
		r.fail(w, q, http.StatusInternalServerError, "The jobs cannot be read; the log says why.")
		return
	}
	p := adminPage{
		Status: r.appliance.Status(), Config: r.appliance.Config(), Models: r.appliance.Models(), Users: r.appliance.Users().List(),
		Peers: peersOf(r.appliance.Config()), Studies: r.appliance.Worklist().Find(worklist.Query{}).Total, Message: q.URL.Query().Get("said"),
	}
	for _, j := range jobs {
		switch {
		case j.Dead && len(p.Dead) < jobsShown:
			p.Dead = append(p.Dead, j)
		case j.Dead:
			p.DeadMore++
		case j.LastError != "" && len(p.Waiting) < jobsShown:
			p.Waiting = append(p.Waiting, j)
		}
	}
	for kind, n := range p.Status.Jobs {
		p.Kinds = append(p.Kinds, kindCount{kind, n})
	}
	slices.SortFunc(p.Kinds, func(a, b kindCount) int { return cmp.Compare(a.Kind, b.Kind) })
	if p.Audit, err = r.appliance.Audit().LastEntries(auditShown); err != nil {
		r.log.Error("reading the audit log", "error", err)
	}
	p.Free, p.Database = r.appliance.Storage()
	if r.viewed(w, q, "view administration", "", "") {
		r.show(w, http.StatusOK, frame{Title: "Administration", Page: "admin", User: userOf(q), Starter: starterIn(p.Models), Content: p})
	}
}

// administer carries out what an administrator asks for.
func (r *Room) administer(w http.ResponseWriter, q *http.Request) {
	act, job, node := q.PathValue("act"), q.PostFormValue("job"), q.PostFormValue("node")
	r.settle(w, r.asked(q, "administration "+act, "", job+node), "/admin", func() (string, error) {
		switch act {
		case "resend":
			return "The job has another round of attempts.", r.appliance.Resend(job)
		case "echo":
			took, err := r.appliance.Echo(q.Context(), node)
			return fmt.Sprintf("%s answers (%s).", node, took.Round(time.Millisecond)), err
		}
		return "", errNoAct
	})
}

func urlText(text string) string {
	const most = 400
	return url.QueryEscape(text[:min(len(text), most)])
}
