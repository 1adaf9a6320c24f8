package daemon

import (
	"time"

	"llamaxr/daemon/config"
	"llamaxr/daemon/gpu"
	"llamaxr/daemon/metrics"
	"llamaxr/daemon/worklist"
	"llamaxr/dicomnet"
	"llamaxr/ingest"
	"llamaxr/queue"
	"llamaxr/study"

	"github.com/prometheus/client_golang/prometheus"
)

// scoreWindow is how many recent studies the scores' distribution is watched over.
const scoreWindow = 500

// newMetrics makes the counters of an appliance, with what its configuration makes known.
func (a *Appliance) newMetrics(version string) {
	l := metrics.Labels{Version: version, Stages: allKinds(), Modes: []string{config.ModeDraft, config.ModeShadow}}
	for _, d := range a.cfg().Destinations {
		l.Destinations = append(l.Destinations, d.String())
	}
	for _, v := range []study.Verdict{study.VerdictKept, study.VerdictRewritten, study.VerdictReplaced, study.VerdictAdded, study.VerdictRemoved} {
		l.Verdicts = append(l.Verdicts, string(v))
	}
	for _, status := range []uint16{
		0, ingest.StatusProcessingFailure, ingest.StatusDuplicate, ingest.StatusOutOfResources, ingest.StatusMismatch, ingest.StatusCannotUnderstand, ingest.StatusNotAuthorised,
	} {
		l.Statuses = append(l.Statuses, statusLabel(status))
	}
	a.metrics = metrics.New(l)
}

// gauges are the metrics that are looked up at each scrape.
type gauges struct {
	a    *Appliance
	desc map[string]*prometheus.Desc
	gpus *gpu.Reader
}

// measured are the names of gauges with their labels and help.
var measured = []struct {
	name, help string
	labels     []string
}{
	{"engine_info", "1, with what computes the models.", []string{"engine"}},
	{"model_info", "1, with a model that is in use.", []string{"role", "name", "version", "digest", "starter"}},
	{"jobs_waiting", "Jobs that wait or are under way, without dead letters.", []string{"stage"}},
	{"jobs_oldest_seconds", "How long the oldest of them has been due.", []string{"stage"}},
	{"dead_letters", "Jobs that were given up and wait for an administrator.", []string{"stage"}},
	{"studies", "Studies, by where they stand for their reader.", []string{"status"}},
	{"drafts_held_back", "Drafts waiting for a reader in which the guard changed a sentence.", nil},
	{"drafts_critical", "Drafts waiting for a reader with a finding that the site calls critical.", nil},
	{"critical_unacknowledged", "Studies with a critical finding of which nobody has taken note.", nil},
	{"critical_unacknowledged_oldest_seconds", "How long the oldest of them has waited.", nil},
	{"associations_open", "Associations that peers hold open.", nil},
	{"connections_open", "Connections of peers, those without an association too.", nil},
	{"associations_total", "Associations that were accepted.", nil},
	{"association_rejections_total", "Associations that were rejected (PS3.8 9.3.4).", []string{"result", "reason"}},
	{"connections_turned_away_total", "Connections that were closed to keep a limit.", []string{"why"}},
	{"disk_free_bytes", "Free space of the disk that holds the state.", nil},
	{"disk_minimum_free_bytes", "Free space below which objects are refused (minimum_free_bytes).", nil},
	{"database_bytes", "Size of the ledger.", nil},
	{"certificate_remaining_seconds", "Time until a certificate of the configuration ends; negative when it has.", []string{"use"}},
	{"score_psi", "Population stability index of recent scores against the classifier's reference: above 0.25 they have drifted.", []string{"finding", "view"}},
	{"score_window_studies", "Recent studies that the index is of.", []string{"view"}},
	{"gpu_utilization_ratio", "Share of time in which the GPU computed.", []string{"gpu"}},
	{"gpu_memory_used_bytes", "GPU memory in use.", []string{"gpu"}},
	{"gpu_memory_total_bytes", "GPU memory.", []string{"gpu"}},
	{"gpu_temperature_celsius", "Temperature of the GPU.", []string{"gpu"}},
}

func newGauges(a *Appliance) *gauges {
	g := &gauges{a: a, desc: map[string]*prometheus.Desc{}, gpus: gpu.Find()}
	for _, m := range measured {
		g.desc[m.name] = prometheus.NewDesc("llamaxr_"+m.name, m.help, m.labels, nil)
	}
	return g
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range g.desc {
		out <- d
	}
}

// Collect implements prometheus.Collector. What cannot be read is left out, and the log says why.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	s := scrape{g, out}
	s.models()
	s.worklist()
	s.server()
	s.storage()
	s.gpu()
	for name, read := range map[string]func() error{"jobs": s.jobs, "certificates": s.certificates, "scores": s.drift} {
		if err := read(); err != nil && !isShutdown(err) {
			g.a.log.Warn("measuring", "what", name, "error", err)
		}
	}
}

// scrape is one look at the gauges.
type scrape struct {
	*gauges
	out chan<- prometheus.Metric
}

func (s scrape) gauge(name string, value float64, labels ...string) {
	s.out <- prometheus.MustNewConstMetric(s.desc[name], prometheus.GaugeValue, value, labels...)
}

func (s scrape) counter(name string, value uint64, labels ...string) {
	s.out <- prometheus.MustNewConstMetric(s.desc[name], prometheus.CounterValue, float64(value), labels...)
}

func (s scrape) models() {
	s.gauge("engine_info", 1, s.a.reader.Engine)
	for _, c := range s.a.reader.Cards() {
		starter := "false"
		if c.Starter {
			starter = "true"
		}
		s.gauge("model_info", 1, c.Role, c.Name, c.Version, c.Digest[:min(len(c.Digest), 12)], starter)
	}
}

func (s scrape) worklist() {
	page := s.a.room.list.Find(worklist.Query{Finding: -1})
	for _, status := range worklist.Statuses {
		s.gauge("studies", float64(page.Counts[status]), string(status))
	}
	s.gauge("drafts_held_back", float64(page.HeldBack))
	s.gauge("drafts_critical", float64(page.Critical))
	open, oldest := s.a.room.list.Unacknowledged()
	s.gauge("critical_unacknowledged", float64(open))
	wait := 0.0
	if open > 0 {
		wait = time.Since(oldest).Seconds()
	}
	s.gauge("critical_unacknowledged_oldest_seconds", wait)
}

func (s scrape) jobs() error {
	waiting, dead, oldest := map[string]int{}, map[string]int{}, map[string]time.Duration{}
	err := s.a.db.View(func(tx *queue.Tx) error {
		jobs, err := tx.Jobs("")
		now := tx.Now()
		for _, j := range jobs {
			if j.Dead {
				dead[j.Kind]++
				continue
			}
			due := j.Created
			if j.Attempts == 0 && j.NotBefore.After(due) {
				due = j.NotBefore // it is meant to wait
			}
			waiting[j.Kind]++
			oldest[j.Kind] = max(oldest[j.Kind], now.Sub(due))
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, kind := range allKinds() {
		s.gauge("jobs_waiting", float64(waiting[kind]), kind)
		s.gauge("jobs_oldest_seconds", oldest[kind].Seconds(), kind)
		s.gauge("dead_letters", float64(dead[kind]), kind)
	}
	return nil
}

func (s scrape) server() {
	stats := s.a.server.Stats()
	s.gauge("associations_open", float64(stats.Associations))
	s.gauge("connections_open", float64(stats.Connections))
	s.counter("associations_total", stats.Accepted)
	for _, why := range dicomnet.Rejections() {
		result := "transient"
		if why.Permanent() {
			result = "permanent"
		}
		s.counter("association_rejections_total", stats.Rejected[why], result, why.Why())
	}
	s.counter("connections_turned_away_total", stats.Refused, "refused")
	s.counter("connections_turned_away_total", stats.CrowdedOut, "crowded out")
	s.counter("connections_turned_away_total", stats.Reclaimed, "idle association reclaimed")
}

func (s scrape) storage() {
	free, database := s.a.Storage()
	if free >= 0 {
		s.gauge("disk_free_bytes", float64(free))
	}
	s.gauge("disk_minimum_free_bytes", float64(s.a.cfg().FreeSpace))
	if database >= 0 {
		s.gauge("database_bytes", float64(database))
	}
}

// certificates tells of each use the certificate that ends first.
func (s scrape) certificates() error {
	all, err := s.a.certificates(time.Now())
	told := map[string]bool{}
	for _, c := range all {
		if !told[c.Use] {
			told[c.Use] = true
			s.gauge("certificate_remaining_seconds", time.Until(c.Expires).Seconds(), c.Use)
		}
	}
	return err
}

// drift holds recent scores of the classifier in use against its reference.
func (s scrape) drift() error {
	reference, digest := s.a.reader.Reference(), s.a.classifierDigest()
	var scores []study.PairScores
	err := s.a.db.View(func(tx *queue.Tx) error {
		recent, err := tx.RecentScores()
		for _, r := range recent {
			if r.Classifier == digest {
				scores = append(scores, r.Scores)
			}
		}
		return err
	})
	if err != nil || reference == nil {
		return err
	}
	for view, n := range map[study.Projection]int{study.Frontal: 0, study.Lateral: 0} {
		for _, p := range scores {
			if p.Of(view) != nil {
				n++
			}
		}
		s.gauge("score_window_studies", float64(n), view.String())
	}
	for _, i := range reference.Indices(scores) {
		s.gauge("score_psi", i.PSI, i.Finding.String(), i.View.String())
	}
	return nil
}

func (s scrape) gpu() {
	for _, g := range s.gpus.Read() {
		s.gauge("gpu_utilization_ratio", g.Utilization, g.Index)
		s.gauge("gpu_memory_used_bytes", g.Used, g.Index)
		s.gauge("gpu_memory_total_bytes", g.Total, g.Index)
		s.gauge("gpu_temperature_celsius", g.Temperature, g.Index)
	}
}

// classifierDigest is the digest of the classifier in use.
func (a *Appliance) classifierDigest() string {
	for _, c := range a.reader.Cards() {
		if c.Role == "classifier" {
			return c.Digest
		}
	}
	return ""
}

// counted counts a draft when it is durable.
func (a *Appliance) counted(record *DraftRecord, changed int) {
	mode := config.ModeDraft
	if record.Shadow {
		mode = config.ModeShadow
	}
	a.metrics.Drafts.WithLabelValues(mode).Inc()
	if changed > 0 {
		a.metrics.HeldBack.Inc()
	}
	for _, s := range record.Draft.Sentences {
		a.metrics.Sentences.WithLabelValues(string(s.Verdict)).Inc()
	}
}
