package queue

import "time"

// Alert is that a draft has critical findings of which a reader must take note, and who did.
type Alert struct {
	Number   int            `json:"number"` // of the study's alerts: a later draft with another critical finding raises the next
	Revision int            `json:"revision"`
	Findings []FindingScore `json:"findings"`
	Raised   time.Time      `json:"raised"`
	// Escalated is when others were told because nobody had taken note.
	Escalated []time.Time `json:"escalated,omitempty"`
	// Acknowledged is when By did; How is by what: himself, a signature, a rejection.
	Acknowledged time.Time `json:"acknowledged,omitzero"`
	By           string    `json:"by,omitempty"` // user name
	ByName       string    `json:"by_name,omitempty"`
	How          string    `json:"how,omitempty"`
	// Over is why nobody needs to take note any more, though nobody did.
	Over string `json:"over,omitempty"`
}

// How somebody took note.
const (
	HowAcknowledged = "acknowledged it"
	HowSigned       = "signed the report"
	HowRejected     = "rejected the draft"
)

// Open reports whether somebody must still take note; false for none.
func (a *Alert) Open() bool { return a != nil && a.Acknowledged.IsZero() && a.Over == "" }

// Alert returns the newest alert, nil when there is none.
func (s *Study) Alert() *Alert { return newest(s.Alerts) }

// Alert returns the newest alert, nil when there is none.
func (s *StudyHead) Alert() *Alert { return newest(s.Alerts) }

func newest(alerts []*Alert) *Alert {
	if len(alerts) == 0 {
		return nil
	}
	return alerts[len(alerts)-1]
}

// AlertNumber returns one alert, nil when there is none of that number.
func (s *Study) AlertNumber(n int) *Alert {
	if n < 1 || n > len(s.Alerts) {
		return nil
	}
	return s.Alerts[n-1]
}
