package daemon

import (
	"fmt"
	"strconv"
	"time"

	"llamaxr/daemon/trace"
	"llamaxr/queue"
)

// openTracing prepares the spans, when a collector is configured.
func (a *Appliance) openTracing(version string) error {
	if a.cfg().Tracing.Endpoint == "" {
		return nil
	}
	var key []byte
	err := a.db.Update(func(tx *queue.Tx) (err error) { key, err = tx.SiteKey(); return err })
	if err != nil {
		return err
	}
	a.tracer = trace.New(a.cfg().Tracing.Endpoint, version, key, func(sent, dropped int) {
		a.metrics.Spans.WithLabelValues("sent").Add(float64(sent))
		a.metrics.Spans.WithLabelValues("dropped").Add(float64(dropped))
	})
	return nil
}

// traceJob tells of a job that ended. An error's text is not told: it may name things.
func (a *Appliance) traceJob(j queue.Job, started time.Time, failed bool) {
	s := trace.Span{
		Study: j.Study, Key: fmt.Sprintf("%s/%d", j.ID, started.UnixNano()), Name: j.Kind, Start: started, End: time.Now(), Failed: failed,
		Attributes: map[string]string{"attempt": strconv.Itoa(j.Attempts)},
	}
	if to := destinationOf(j); to != "" {
		s.Attributes["destination"] = to
	}
	a.tracer.Add(s)
}

// trace tells of an association that brought objects of a study.
func (s *session) trace(uid string, released bool) {
	s.a.tracer.Add(trace.Span{
		Study: uid, Key: fmt.Sprintf("association/%d/%d", s.info.ID, s.began.UnixNano()), Name: "association", Start: s.began, End: time.Now(),
		Failed: !released, Attributes: map[string]string{"calling_ae_title": s.info.CallingAETitle},
	})
}

// traceStudy tells of a study that is complete for the first time: the root of its trace, from its first object on.
func (a *Appliance) traceStudy(uid string, first time.Time) {
	a.tracer.Add(trace.Span{Study: uid, Name: "study received", Start: first, End: time.Now()})
}
