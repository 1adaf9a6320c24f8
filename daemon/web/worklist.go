package web

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"llamaxr/daemon/access"
	"llamaxr/daemon/worklist"
	"llamaxr/study"
)

// pageSize is how many studies a page of the worklist shows.
const pageSize = 50

// filter is a named choice of studies.
type filter struct {
	Key, Name string
	Count     int
	Current   bool
	Link      string
}

// listPage is the worklist as it is shown.
type listPage struct {
	worklist.Page
	Filters  []filter
	Filter   string
	Search   string
	Finding  string
	Findings []study.Finding
	From, To int
	Previous string // links; empty when there is none
	Next     string
	Now      time.Time
	Change   int // number of the newest change that it has
}

var statuses = map[string][]worklist.Status{
	"open": {worklist.ToRead, worklist.InWork}, "arriving": {worklist.Arriving}, "no-draft": {worklist.NoDraft}, "attention": {worklist.Attention},
	"shadow": {worklist.Shadow}, "signed": {worklist.Signed}, "rejected": {worklist.Rejected}, "critical": {worklist.ToRead, worklist.InWork},
	"held-back": {worklist.ToRead, worklist.InWork}, "all": nil, "unacknowledged": nil,
}

// worklist shows the studies. A script asks for the list alone with partial=1.
func (r *Room) worklist(w http.ResponseWriter, q *http.Request) {
	user := userOf(q)
	switch {
	case user.Has(access.Reader, access.Signer):
	case user.Has(access.Admin):
		http.Redirect(w, q, "/admin", http.StatusSeeOther)
		return
	default:
		http.Redirect(w, q, "/learning", http.StatusSeeOther)
		return
	}
	form := q.URL.Query()
	if followed(q) {
		if r.viewedList(w, q, form) {
			r.list(w, form)
		}
		return
	}
	p := r.listPage(form)
	f := frame{Title: "Worklist", Page: "worklist", User: user, Content: p}
	for _, e := range p.Entries {
		f.Starter = f.Starter || e.Starter
	}
	if r.viewedList(w, q, form) {
		r.show(w, http.StatusOK, f)
	}
}

// next leads on to the study to read after one, past those that others have open; to the worklist when none waits.
func (r *Room) next(w http.ResponseWriter, q *http.Request) {
	self, to := userOf(q).Name, "/"
	uid := r.appliance.Worklist().Next(q.PathValue("uid"), func(uid string) bool { return len(r.present.others(uid, self)) > 0 })
	if uid != "" {
		to = "/studies/" + uid
	}
	http.Redirect(w, q, to, http.StatusSeeOther)
}

// filterOf is the named choice that a form asks for.
func filterOf(form url.Values) string {
	if _, known := statuses[form.Get("filter")]; known {
		return form.Get("filter")
	}
	return "open"
}

// listKey is what of a form chooses studies.
func listKey(form url.Values) string {
	return fmt.Sprintf("%q", []string{filterOf(form), form.Get("q"), form.Get("finding"), form.Get("page")})
}

// viewedList audits a view of the worklist.
func (r *Room) viewedList(w http.ResponseWriter, q *http.Request, form url.Values) bool {
	return r.viewedAgain(w, q, "view worklist", filterOf(form), listKey(form))
}

// list answers with the list alone. All who follow the same list are told of a change at once, and the first of them has it made for all.
func (r *Room) list(w http.ResponseWriter, form url.Values) {
	_, number := r.appliance.Worklist().Changed()
	key := fmt.Sprintf("%d %s", number, listKey(form))
	data, err := r.lists.get(key, time.Now(), func() ([]byte, error) {
		var buf bytes.Buffer
		err := r.pages["worklist"].ExecuteTemplate(&buf, "list", r.listPage(form))
		return buf.Bytes(), err
	})
	if err != nil {
		r.log.Error("rendering the list", "error", err)
		http.Error(w, "the list cannot be shown; the log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(data)
}

// listPage finds what a form asks for.
func (r *Room) listPage(form url.Values) listPage {
	p := listPage{Filter: filterOf(form), Search: form.Get("q"), Finding: form.Get("finding"), Findings: study.Findings(), Now: time.Now()}
	query := worklist.Query{
		Status: statuses[p.Filter], Critical: p.Filter == "critical", HeldBack: p.Filter == "held-back",
		Unacknowledged: p.Filter == "unacknowledged", Finding: -1, Search: p.Search, Limit: pageSize,
	}
	if f, err := study.ParseFinding(p.Finding); err == nil {
		query.Finding = f
	}
	if n, err := strconv.Atoi(form.Get("page")); err == nil && n > 1 && n < 1<<20 {
		query.Offset = (n - 1) * pageSize
	}
	_, p.Change = r.appliance.Worklist().Changed()
	p.Page = r.appliance.Worklist().Find(query)
	p.From, p.To = min(query.Offset+1, p.Matching), query.Offset+len(p.Entries)
	number := query.Offset/pageSize + 1
	link := func(n int) string {
		v := url.Values{"filter": {p.Filter}, "page": {fmt.Sprint(n)}}
		if p.Search != "" {
			v.Set("q", p.Search)
		}
		if p.Finding != "" {
			v.Set("finding", p.Finding)
		}
		return "/?" + v.Encode()
	}
	if number > 1 {
		p.Previous = link(number - 1)
	}
	if p.To < p.Matching {
		p.Next = link(number + 1)
	}
	p.Filters = filters(p.Page, p.Filter)
	return p
}

func filters(p worklist.Page, current string) []filter {
	c := p.Counts
	list := []filter{
		{Key: "open", Name: "To read", Count: c[worklist.ToRead] + c[worklist.InWork]},
		{Key: "critical", Name: "Critical", Count: p.Critical},
		{Key: "unacknowledged", Name: "Not acknowledged", Count: p.Unacknowledged},
		{Key: "held-back", Name: "Changed by the guard", Count: p.HeldBack},
		{Key: "arriving", Name: "Arriving", Count: c[worklist.Arriving]},
		{Key: "no-draft", Name: "No draft", Count: c[worklist.NoDraft]},
		{Key: "attention", Name: "Attention", Count: c[worklist.Attention]},
		{Key: "shadow", Name: "Shadow", Count: c[worklist.Shadow]},
		{Key: "signed", Name: "Signed", Count: c[worklist.Signed]},
		{Key: "rejected", Name: "Rejected", Count: c[worklist.Rejected]},
		{Key: "all", Name: "All", Count: p.Total},
	}
	for i := range list {
		list[i].Current = list[i].Key == current
		list[i].Link = "/?filter=" + list[i].Key
	}
	return list
}
