// Package metrics counts what the appliance does, for Prometheus: every name and label value is known beforehand or set by the site's
// configuration, none by a peer, and none says anything of a patient.
package metrics

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Results of a job.
const (
	Done    = "done"
	Retried = "retried"
	Dead    = "dead"
)

// Results of a delivery.
const (
	Stored = "stored"
	Failed = "failed"
)

// Limits of a scrape.
const (
	scrapesAtOnce = 2
	scrapeTime    = 20 * time.Second
)

// Metrics are the appliance's counters.
type Metrics struct {
	registry *prometheus.Registry

	Jobs     *prometheus.CounterVec   // by stage and result
	Duration *prometheus.HistogramVec // of a job, by stage

	Objects *prometheus.CounterVec // received, by DIMSE status
	Bytes   prometheus.Counter     // received

	Drafts    *prometheus.CounterVec // by mode
	HeldBack  prometheus.Counter     // drafts that the guard changed
	Refused   prometheus.Counter     // studies that got no draft
	Sentences *prometheus.CounterVec // by verdict

	Tokens     prometheus.Counter
	Generation *prometheus.CounterVec // seconds, by phase

	Deliveries *prometheus.CounterVec // by destination and result
	Sent       *prometheus.CounterVec // objects, by destination

	Spans *prometheus.CounterVec // by result

	Escalations     prometheus.Counter
	Acknowledgement prometheus.Histogram // from a critical finding to its acknowledgement by hand
}

// durations are the bounds of Duration in seconds: looking at an image takes milliseconds, a report of a large model or a slow PACS minutes.
var durations = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300}

// acknowledgements are the bounds of Acknowledgement in seconds: from a reader who sits there to one who comes in the morning.
var acknowledgements = []float64{60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 57600}

// Labels are the label values that are known beforehand: their series are there from the start, so that a rate can be told of the first.
type Labels struct {
	Version      string
	Stages       []string
	Destinations []string
	Modes        []string
	Verdicts     []string
	Statuses     []string
}

// New makes all counters at zero.
func New(l Labels) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "llamaxr", Name: name, Help: help})
		m.registry.MustRegister(c)
		return c
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "llamaxr", Name: name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	m.Jobs = counters("stage_jobs_total", "Jobs that a stage ended: done, to be retried, or given up as a dead letter.", "stage", "result")
	m.Duration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "llamaxr", Name: "stage_duration_seconds", Help: "How long jobs of a stage took, whatever came of them.", Buckets: durations,
	}, []string{"stage"})
	m.registry.MustRegister(m.Duration)
	m.Objects = counters("received_objects_total", "Objects that came by C-STORE, by the status that was answered (PS3.4 table B.2-1).", "status")
	m.Bytes = counter("received_bytes_total", "Bytes of data sets that came by C-STORE, refused ones too.")
	m.Drafts = counters("drafts_total", "Drafts made, by what is done with them.", "mode")
	m.HeldBack = counter("drafts_held_back_total", "Drafts in which the guard changed a sentence.")
	m.Refused = counter("studies_refused_total", "Studies that got no draft: no chest, a child, only stored.")
	m.Sentences = counters("sentences_total", "Sentences of drafts, by the guard's verdict.", "verdict")
	m.Tokens = counter("generated_tokens_total", "Tokens that the language model wrote.")
	m.Generation = counters("generation_seconds_total", "Time that the language model needed, by phase.", "phase")
	m.Deliveries = counters("deliveries_total", "Associations that sent documents to a destination, by what came of it.", "destination", "result")
	m.Sent = counters("delivered_objects_total", "Documents that a destination stored.", "destination")
	m.Spans = counters("trace_spans_total", "Trace spans, by what came of them: sent to the collector or dropped.", "result")
	m.Escalations = counter("critical_escalations_total", "Times that others were told because nobody had taken note of a critical finding.")
	m.Acknowledgement = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "llamaxr", Name: "critical_acknowledgement_seconds", Help: "From a draft with a critical finding until a reader acknowledged it.",
		Buckets: acknowledgements,
	})
	m.registry.MustRegister(m.Acknowledgement)
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "llamaxr", Name: "build_info", Help: "1, with the program's version.",
		ConstLabels: prometheus.Labels{"version": l.Version, "go": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.begin(l)
	return m
}

// begin makes the series of known labels.
func (m *Metrics) begin(l Labels) {
	for _, stage := range l.Stages {
		m.Duration.WithLabelValues(stage)
		for _, result := range []string{Done, Retried, Dead} {
			m.Jobs.WithLabelValues(stage, result)
		}
	}
	for _, d := range l.Destinations {
		m.Sent.WithLabelValues(d)
		for _, result := range []string{Stored, Failed} {
			m.Deliveries.WithLabelValues(d, result)
		}
	}
	for vec, values := range map[*prometheus.CounterVec][]string{
		m.Drafts: l.Modes, m.Sentences: l.Verdicts, m.Objects: l.Statuses, m.Generation: {"prefill", "decode"}, m.Spans: {"sent", "dropped"},
	} {
		for _, value := range values {
			vec.WithLabelValues(value)
		}
	}
}

// Job counts one job of a stage.
func (m *Metrics) Job(stage, result string, took time.Duration) {
	m.Jobs.WithLabelValues(stage, result).Inc()
	m.Duration.WithLabelValues(stage).Observe(took.Seconds())
}

// Delivery counts one try to send objects to a destination.
func (m *Metrics) Delivery(destination string, objects int, err error) {
	if err != nil {
		m.Deliveries.WithLabelValues(destination, Failed).Inc()
		return
	}
	m.Deliveries.WithLabelValues(destination, Stored).Inc()
	m.Sent.WithLabelValues(destination).Add(float64(objects))
}

// Register adds a collector, which is asked at each scrape.
func (m *Metrics) Register(c prometheus.Collector) error { return m.registry.Register(c) }

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		Registry: m.registry, MaxRequestsInFlight: scrapesAtOnce, Timeout: scrapeTime, ErrorHandling: promhttp.ContinueOnError,
	})
}
