package web

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"llamaxr/daemon/access"
	"llamaxr/finetune/tune"
	"llamaxr/study"
)

// TestLearning: the page tells weeks, findings that readers add and take out, and the words that they write instead, the most frequent first; of a
// run that is under way its curves, of one that ended the gate's verdict, and to trainers alone it offers an adapter.
func TestLearning(t *testing.T) {
	monday := time.Date(2026, 3, 2, 12, 0, 0, 0, time.Local)
	correction := func(day int, draft, final string) *study.Correction {
		text := "FINDINGS: %s\nIMPRESSION: Normal."
		return &study.Correction{Draft: fmt.Sprintf(text, draft), Final: fmt.Sprintf(text, final), Time: monday.AddDate(0, 0, day)}
	}
	list := []*study.Correction{
		correction(0, "No pulmonary edema. No effusion.", "No pulmonary oedema. No effusion."),
		correction(1, "There is pulmonary edema.", "There is pulmonary oedema."),
		correction(8, "No effusion. No nodule.", "There is an effusion. No nodule."),
		correction(9, "There is a nodule. The heart is normal.", "The heart is normal."),
		correction(10, "No mass.", "No mass."),
	}
	runs := []*tune.Record{
		{ID: "one", State: tune.Promoted, Adapter: "site-1", Verdict: &tune.Verdict{Pass: true, Why: "nothing is worse", Measures: []tune.Measure{{Name: "clinical F1", Pass: true}}}},
		{ID: "two", State: tune.Running, Step: 3, Steps: 10, Losses: []tune.Point{{Step: 1, Loss: 2}, {Step: 3, Loss: 1}}, Validation: []tune.Point{{Step: 2, Loss: 1.5}}},
	}
	p := learn(list, runs)
	if len(p.Weeks) != 2 || p.Weeks[0].Count != 2 || p.Weeks[1].Count != 3 || p.Weeks[1].Changed != 2 || p.Untouched != 1 {
		t.Errorf("weeks %+v, %d as drafted", p.Weeks, p.Untouched)
	}
	if len(p.Changes) != 2 || p.Changes[0] != (change{study.Effusion, 1, 0}) || p.Changes[1] != (change{study.Nodule, 0, 1}) {
		t.Errorf("findings: %+v", p.Changes)
	}
	if len(p.Rewordings) != 3 || p.Rewordings[0] != (rewording{"edema", "oedema", 2}) || p.Rewordings[1] != (rewording{"No", "There is an", 1}) ||
		p.Rewordings[2] != (rewording{"There is a nodule.", "", 1}) {
		t.Errorf("wording: %+v", p.Rewordings)
	}
	r, err := New(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for role, offered := range map[access.Role]bool{access.Trainer: true, access.Signer: false} {
		var page bytes.Buffer
		if err := r.pages["learning"].ExecuteTemplate(&page, "frame", frame{Page: "learning", User: access.User{Name: "x", Roles: []access.Role{role}}, Content: p}); err != nil {
			t.Fatal(err)
		}
		text := page.String()
		for _, want := range []string{
			"data-running", "step 3 of 10", `points="56.0,0.0 168.0,130.0 "`, `points="112.0,65.0 "`, "The gate lets it through", "clinical F1", "<del>edema</del>", "<ins>oedema</ins>",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("to a %s the page lacks %s", role, want)
			}
		}
		for _, act := range []string{"promote", "rollback", "stop"} {
			if strings.Contains(text, `action="/learning/`+act+`"`) != offered {
				t.Errorf("to a %s %s is offered: %v", role, act, !offered)
			}
		}
	}
}
