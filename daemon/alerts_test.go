package daemon

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"llamaxr/daemon/access"
	"llamaxr/daemon/config"
	"llamaxr/daemon/metrics"
	"llamaxr/queue"
	"llamaxr/study"
)

// alerting is an appliance with a clock of its own and two addresses; one drafts, the other looks at what became of the alerts.
type alerting struct {
	*Appliance
	t   *testing.T
	now time.Time
}

const alertStudy = "2.25.1"

func newAlerting(t *testing.T) *alerting {
	t.Helper()
	al := &alerting{t: t, now: time.Date(2026, 1, 2, 8, 0, 0, 0, time.UTC)}
	db, err := queue.Open(filepath.Join(t.TempDir(), databaseFile), queue.Options{Now: func() time.Time { return al.now }})
	if err != nil {
		t.Fatal(err)
	}
	audit, err := access.OpenAuditLog(filepath.Join(t.TempDir(), auditFile))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { audit.Close(); db.Close() })
	cfg := config.Default()
	cfg.Critical = []string{study.Pneumothorax.String(), study.Fracture.String()}
	cfg.Escalation = config.Escalation{After: 10 * time.Minute, Times: 2}
	cfg.Mail.To, cfg.Mail.EscalateTo = []string{"a@x.example"}, []string{"b@x.example"}
	al.Appliance = &Appliance{db: db, log: slog.New(slog.DiscardHandler), metrics: metrics.New(metrics.Labels{}), room: room{audit: audit}}
	al.settings.Store(&cfg)
	for _, to := range cfg.Mail.Addresses() {
		al.outlets = append(al.outlets, al.mailOutlet(cfg.Mail, to))
	}
	return al
}

// drafts has a draft of a revision made with findings.
func (al *alerting) drafts(revision int, mode string, findings ...study.Finding) {
	al.t.Helper()
	scores := new(study.Scores)
	for _, f := range findings {
		scores[f] = 0.9
	}
	record := &DraftRecord{Draft: study.Draft{Revision: revision, Scores: study.PairScores{Frontal: scores}}}
	al.change(func(tx *queue.Tx, s *queue.Study) error {
		s.Revision, s.Mode = revision, mode
		return al.announceDraft(tx, s, record)
	})
}

func (al *alerting) change(act func(*queue.Tx, *queue.Study) error) {
	al.t.Helper()
	err := al.db.Update(func(tx *queue.Tx) error {
		s, err := tx.Study(alertStudy)
		if err != nil {
			return err
		}
		if s == nil {
			s = &queue.Study{UID: alertStudy, State: queue.Delivered}
		}
		if err := act(tx, s); err != nil {
			return err
		}
		return tx.PutStudy(s)
	})
	if err != nil {
		al.t.Fatal(err)
	}
}

func (al *alerting) alert() *queue.Alert {
	al.t.Helper()
	s, err := al.studyRecord(alertStudy)
	if err != nil {
		al.t.Fatal(err)
	}
	return s.Alert()
}

// escalates performs the escalations that are due and returns how many jobs it took.
func (al *alerting) escalates() (n int) {
	al.t.Helper()
	for {
		ctx, cancel := context.WithTimeout(al.t.Context(), 50*time.Millisecond)
		lease, err := al.db.Lease(ctx, time.Minute, kindEscalate)
		cancel()
		if err != nil {
			return n
		}
		n++
		if err := al.escalate(lease); err != nil {
			al.t.Fatal(err)
		}
	}
}

// mails are the jobs that tell people, without the study's UID.
func (al *alerting) mails() (out []string) {
	al.t.Helper()
	err := al.db.View(func(tx *queue.Tx) error {
		jobs, err := tx.JobsUnder(kindMail + "/")
		for _, j := range jobs {
			out = append(out, strings.Replace(j.ID, "/"+alertStudy, "", 1))
		}
		return err
	})
	if err != nil {
		al.t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// TestAlerts: a critical finding asks for a reader once, whatever is drafted again, until another comes; others are told while nobody takes note,
// as often as the site says and not a time more; the first who takes note counts.
func TestAlerts(t *testing.T) {
	al := newAlerting(t)
	al.drafts(1, "", study.Effusion)
	if al.alert() != nil {
		t.Fatal("an effusion is critical")
	}
	al.drafts(2, "", study.Pneumothorax, study.Effusion)
	al.drafts(2, "", study.Pneumothorax) // its documents were made again
	al.drafts(3, "", study.Pneumothorax) // a late image
	alert := al.alert()
	if !alert.Open() || alert.Number != 1 || alert.Revision != 2 || len(alert.Findings) != 1 {
		t.Fatalf("%+v", alert)
	}
	for i, want := range []int{1, 1, 0, 0} {
		al.now = al.now.Add(9 * time.Minute)
		if n := al.escalates(); n != 0 {
			t.Errorf("escalation %d is early", i)
		}
		al.now = al.now.Add(time.Minute)
		if n := al.escalates(); n != want {
			t.Errorf("after %d times ten minutes others are told %d times, want %d", i+1, n, want)
		}
	}
	if n := len(al.alert().Escalated); n != 2 {
		t.Errorf("others were told %d times", n)
	}
	if want := []string{"mail/a@x.example/critical alert/2/1/", "mail/b@x.example/critical finding escalated/2/1/1", "mail/b@x.example/critical finding escalated/2/1/2"}; !slices.Equal(al.mails(), want) {
		t.Errorf("told: %v, want %v", al.mails(), want)
	}
	if _, err := al.Acknowledge(alertStudy, 7, Hand{User: "rita"}); !errors.Is(err, ErrOtherAlert) {
		t.Errorf("another alert: %v", err)
	}
	for _, who := range []string{"rita", "sam"} {
		if got, err := al.Acknowledge(alertStudy, 1, Hand{User: who}); err != nil || got.By != "rita" || got.How != queue.HowAcknowledged {
			t.Errorf("%s: %v %+v", who, err, got)
		}
	}

	// A fracture as well: that is new. Then its images are taken back, and the next draft has it again.
	al.drafts(4, "", study.Pneumothorax, study.Fracture)
	if alert := al.alert(); !alert.Open() || alert.Number != 2 || len(alert.Findings) != 2 {
		t.Fatalf("%+v", alert)
	}
	al.change(func(tx *queue.Tx, s *queue.Study) error {
		s.Withdrawn = append(s.Withdrawn, &queue.Withdrawal{Revision: 4})
		return al.moveAlert(tx, s)
	})
	if _, err := al.Acknowledge(alertStudy, 2, Hand{User: "rita"}); !errors.Is(err, ErrNoAlert) {
		t.Errorf("of a withdrawn draft: %v", err)
	}
	al.now = al.now.Add(time.Hour)
	if n := al.escalates(); n != 0 {
		t.Errorf("for a withdrawn draft others are told %d times", n)
	}
	al.drafts(5, "", study.Fracture)
	if alert := al.alert(); !alert.Open() || alert.Number != 3 {
		t.Fatalf("%+v", alert)
	}
	al.drafts(6, "", study.Fracture, study.Pneumothorax)
	if alert := al.alert(); alert.Number != 3 {
		t.Errorf("rita knows of the pneumothorax: %+v", alert)
	}
	al.change(func(tx *queue.Tx, s *queue.Study) error {
		return al.acknowledged(tx, s, Hand{User: "jane"}, queue.HowSigned, s.Revision)
	})
	al.now = al.now.Add(time.Hour)
	if n := al.escalates(); n != 0 || al.alert().By != "jane" {
		t.Errorf("after the signature others are told %d times: %+v", n, al.alert())
	}
	if err := al.db.View((*queue.Tx).Check); err != nil {
		t.Error(err)
	}
}

// TestAlertOfAnotherPatient: who took note of a finding when the draft stood under another patient is asked again when the patient was corrected.
func TestAlertOfAnotherPatient(t *testing.T) {
	al := newAlerting(t)
	al.Appliance.drafts = drafts{root: t.TempDir()}
	scores := new(study.Scores)
	scores[study.Pneumothorax] = 0.9
	for revision, patient := range []string{"A", "A", "B", "B"} {
		record := &DraftRecord{
			Draft:   study.Draft{StudyInstanceUID: alertStudy, Revision: revision + 1, Scores: study.PairScores{Frontal: scores}},
			Frontal: &study.Header{PatientID: patient},
		}
		if err := al.Appliance.drafts.save(record); err != nil {
			t.Fatal(err)
		}
		al.change(func(tx *queue.Tx, s *queue.Study) error {
			s.Revision = revision + 1
			return al.announceDraft(tx, s, record)
		})
		if want, got := revision/2+1, al.alert(); got.Number != want || got.Open() != (revision%2 == 0) {
			t.Fatalf("revision %d of patient %s: %+v, want alert %d", revision+1, patient, got, want)
		}
		if alert := al.alert(); alert.Open() {
			if _, err := al.Acknowledge(alertStudy, alert.Number, Hand{User: "rita"}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestSignatureOnAnOlderDraft: who signs or rejects the draft that he saw has taken no note of a finding that only a newer one has.
func TestSignatureOnAnOlderDraft(t *testing.T) {
	al := newAlerting(t)
	al.Appliance.drafts = drafts{root: t.TempDir()}
	if err := al.Appliance.drafts.save(&DraftRecord{Draft: study.Draft{StudyInstanceUID: alertStudy, Revision: 1}, Frontal: new(study.Header)}); err != nil {
		t.Fatal(err)
	}
	al.drafts(1, "")
	al.drafts(2, "", study.Pneumothorax)
	edit := Edit{Revision: 1, Findings: "No pneumothorax.", Impression: "Normal."}
	if _, err := al.RejectDraft(alertStudy, Hand{User: "jane"}, "nonsense", edit); err != nil {
		t.Fatal(err)
	}
	edit.Version++
	if _, err := al.ReopenReading(alertStudy, Hand{User: "jane"}, edit); err != nil {
		t.Fatal(err)
	}
	edit.Version++
	if _, err := al.SignReading(alertStudy, Hand{User: "jane"}, "DOE^JANE", edit); err != nil {
		t.Fatal(err)
	}
	if alert := al.alert(); !alert.Open() {
		t.Errorf("a signature on revision 1 closed the alert of revision 2: %+v", alert)
	}
}

// TestAlertGoesOnWithTheNext: a finding that nobody took note of is asked for on, also when a later draft has another one and not it.
func TestAlertGoesOnWithTheNext(t *testing.T) {
	al := newAlerting(t)
	al.drafts(1, "", study.Pneumothorax)
	al.drafts(2, "", study.Fracture)
	alert := al.alert()
	if alert.Number != 2 || !alert.Open() || len(alert.Findings) != 2 || !has(alert, study.Pneumothorax) || !has(alert, study.Fracture) {
		t.Errorf("%+v", alert)
	}
}

// TestAlertOfAStudyThatCameToShadow: an alert that was raised before nothing of its study may leave is escalated on.
func TestAlertOfAStudyThatCameToShadow(t *testing.T) {
	al := newAlerting(t)
	al.drafts(1, "", study.Pneumothorax)
	al.change(func(_ *queue.Tx, s *queue.Study) error {
		s.Mode = queue.Shadow
		return nil
	})
	before := len(al.mails())
	al.now = al.now.Add(10 * time.Minute)
	if n := al.escalates(); n != 1 || len(al.mails()) == before {
		t.Errorf("%d escalations, mails %v", n, al.mails())
	}
}

// TestShadowAlertsNobody: of a study of which nothing may leave nobody is told.
func TestShadowAlertsNobody(t *testing.T) {
	al := newAlerting(t)
	al.drafts(1, queue.Shadow, study.Pneumothorax)
	if al.alert() != nil || len(al.mails()) > 0 {
		t.Errorf("%+v %v", al.alert(), al.mails())
	}
}

// TestAcknowledgedMailStays: what was acknowledged before its mail went out is not told any more.
func TestAcknowledgedMailStays(t *testing.T) {
	al := newAlerting(t)
	al.drafts(1, "", study.Pneumothorax)
	if _, err := al.Acknowledge(alertStudy, 1, Hand{User: "rita"}); err != nil {
		t.Fatal(err)
	}
	lease, err := al.db.Lease(t.Context(), time.Minute, kindMail)
	if err != nil {
		t.Fatal(err)
	}
	if err := al.tell(t.Context(), lease); err != nil { // there is no server
		t.Fatal(err)
	}
	if s, err := al.studyRecord(alertStudy); err != nil || !strings.Contains(s.Events[len(s.Events)-1].What, "nobody needs to take note any more") {
		t.Errorf("%v %+v", err, s.Events)
	}
}

// TestAlertOfADraftThatWasReplaced: an alert of a draft that is withdrawn goes on where the draft in force has the finding too, and only there.
func TestAlertOfADraftThatWasReplaced(t *testing.T) {
	type draft struct {
		patient  string
		shadow   bool
		findings []study.Finding
	}
	both, one, none := []study.Finding{study.Pneumothorax, study.Fracture}, []study.Finding{study.Pneumothorax}, []study.Finding{study.Effusion}
	for name, c := range map[string]struct {
		after []draft // of the first
		taken []int
		goes  int // to which revision the alert goes, 0 where it is over
	}{
		"the next has it":                  {[]draft{{"A", false, one}}, []int{1}, 2},
		"the next is withdrawn too":        {[]draft{{"A", false, one}}, []int{1, 2}, 0},
		"only one that was replaced does":  {[]draft{{"A", false, one}, {"A", false, none}}, []int{1}, 0},
		"the next but one, of two, does":   {[]draft{{"A", false, one}, {"A", false, one}}, []int{2, 1}, 3},
		"the next is another patient's":    {[]draft{{"B", false, one}}, []int{1}, 0},
		"the next is in shadow mode":       {[]draft{{"A", true, one}}, []int{1}, 0},
		"the next has something else":      {[]draft{{"A", false, none}}, []int{1}, 0},
		"the alert's draft still stands":   {[]draft{{"A", false, one}}, []int{2}, 1},
		"there is no next":                 {nil, []int{1}, 0},
		"one that is not drafted was next": {[]draft{{"A", false, one}, {}}, []int{1}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			al := newAlerting(t)
			al.Appliance.drafts = drafts{root: t.TempDir()}
			for n, d := range append([]draft{{"A", false, both}}, c.after...) {
				scores := new(study.Scores)
				for _, f := range d.findings {
					scores[f] = 0.9
				}
				record := &DraftRecord{
					Draft:   study.Draft{StudyInstanceUID: alertStudy, Revision: n + 1, Scores: study.PairScores{Frontal: scores}},
					Frontal: &study.Header{PatientID: d.patient}, Shadow: d.shadow,
				}
				if d.findings != nil {
					if err := al.Appliance.drafts.save(record); err != nil {
						t.Fatal(err)
					}
				}
				al.change(func(tx *queue.Tx, s *queue.Study) error {
					s.Revision = n + 1
					if n > 0 {
						return nil
					}
					return al.announceDraft(tx, s, record)
				})
			}
			var taken []*queue.Withdrawal
			for _, revision := range c.taken {
				taken = append(taken, &queue.Withdrawal{Revision: revision, Title: study.RejectedSafety})
			}
			if err := al.db.Update(func(tx *queue.Tx) error { return al.recordWithdrawals(tx, alertStudy, taken) }); err != nil {
				t.Fatal(err)
			}
			alert := al.alert()
			want := []queue.FindingScore{{Finding: study.Pneumothorax, Score: 0.9, View: study.Frontal}}
			switch {
			case alert.Open() != (c.goes > 0) || c.goes > 0 && alert.Revision != c.goes:
				t.Errorf("the alert is %+v, want it at revision %d", alert, c.goes)
			case c.goes > 1 && !slices.Equal(alert.Findings, want):
				t.Errorf("the alert is of %+v, want what the draft in force has, %+v", alert.Findings, want)
			}
			al.now = al.now.Add(time.Hour)
			if n := al.escalates(); (n > 0) != (c.goes > 0) {
				t.Errorf("others are told %d times", n)
			}
		})
	}
}

// TestAnOlderDraftRaisesNothing: a draft that is announced after a later one takes the place of no alert of that.
func TestAnOlderDraftRaisesNothing(t *testing.T) {
	al := newAlerting(t)
	al.drafts(2, "", study.Pneumothorax)
	al.drafts(1, "", study.Pneumothorax, study.Fracture)
	if alert := al.alert(); alert.Number != 1 || alert.Revision != 2 || !alert.Open() {
		t.Errorf("%+v", alert)
	}
}
