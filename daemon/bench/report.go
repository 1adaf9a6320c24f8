package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"llamaxr/internal/figures"
)

// report is everything that was measured in one run.
type report struct {
	Machine    string     `json:"machine"`
	Rounds     int        `json:"rounds"`
	Receiving  []received `json:"receiving"`
	Turnaround *turned    `json:"turnaround"`
	Models     *speed     `json:"models"`
}

func (r *report) section() *figures.Section {
	s := figures.Begin("The appliance (`make bench`)")
	s.Line("%s. Medians of %d rounds, both receivers in turn, same files, same sender (ours), same disk, PDUs of 128 KiB, TCP_NODELAY=1.", r.Machine, r.Rounds)
	s.Line("Ours answers success when file, folder and database are synced to disk; storescp syncs nothing.\n")
	s.Line("| objects | associations | ours / storescp | ours MB/s | storescp MB/s | ours objects/s | storescp objects/s | ours resident at rest, peak (MB) |")
	s.Line("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, row := range r.Receiving {
		s.Line("| %s | %d | **%.2f** | %.0f | %.0f | %.0f | %.0f | %.0f, %.0f |", row.Load, row.Associations, row.Ratio, row.OursMB, row.PeerMB, row.OursEach, row.PeerEach,
			row.AtRestMB, row.ResidentMB)
	}
	s.Line("\nFrom the last image's acknowledgement to the narrative SR at the receiver, %d phantom studies of two views one after another: median **%.2f s**,", r.Turnaround.Studies, r.Turnaround.Median)
	s.Line("95th percentile **%.2f s**.\n", r.Turnaround.P95)
	s.Line("| engine | DenseNet121, two views with heat maps (ms) | prompt (ms) | tokens/s | whole report (ms) | its tokens |")
	s.Line("| --- | ---: | ---: | ---: | ---: | ---: |")
	m := r.Models
	s.Line("| %s | %.0f | %.0f | %.0f | %.0f | %d |", m.Engine, m.DenseNet, m.Prefill, m.Tokens, m.Report, m.ReportTokens)
	s.Line("\nStarter models: a Llama of 5.3 million parameters, NF4 with a LoRA adapter.")
	return s
}

// machine names processor, cores and memory.
func machine() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(line, "model name"); ok {
				model = strings.TrimSpace(strings.TrimLeft(name, "\t :"))
				break
			}
		}
	}
	memory := ""
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kb int
		if _, err := fmt.Sscanf(string(text), "MemTotal: %d kB", &kb); err == nil {
			memory = fmt.Sprintf(", %d GiB", (kb+1<<19)>>20)
		}
	}
	return fmt.Sprintf("%s, %d cores%s, %s", model, runtime.NumCPU(), memory, runtime.Version())
}
