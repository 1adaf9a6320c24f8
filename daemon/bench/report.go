package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
)

// report is everything that was measured in one run.
type report struct {
	Machine    string     `json:"machine"`
	Rounds     int        `json:"rounds"`
	Receiving  []received `json:"receiving"`
	Turnaround *turned    `json:"turnaround"`
	Models     []speed    `json:"models"`
}

// heading of the section of the report.
const heading = "## The appliance (`make bench`)"

// replaceSection puts a section in the place of the one with its heading; the others are left alone.
func replaceSection(path, heading, section string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text := string(old)
	if text == "" {
		text = "# Benchmarks\nEach section is written by the command in its heading. Ratios first; above 1 is better than the peer.\n\n"
	}
	before, after, found := strings.Cut(text, heading)
	if found {
		if next := strings.Index(after, "\n## "); next >= 0 {
			after = after[next+1:]
		} else {
			after = ""
		}
	}
	return os.WriteFile(path, []byte(strings.TrimRight(before, "\n")+"\n\n"+section+after), 0o644)
}

// begin begins a section with its heading; line adds to it.
func begin(heading string) (section *strings.Builder, line func(format string, args ...any)) {
	section = new(strings.Builder)
	line = func(format string, args ...any) { fmt.Fprintf(section, format+"\n", args...) }
	line("%s", heading)
	return section, line
}

func (r *report) section() string {
	b, line := begin(heading)
	line("%s. Medians of %d rounds, both receivers in turn, same files, same sender (ours), same disk, PDUs of 128 KiB, TCP_NODELAY=1.", r.Machine, r.Rounds)
	line("Ours answers success when file, folder and database are synced to disk; storescp syncs nothing.\n")
	line("| objects | associations | ours / storescp | ours MB/s | storescp MB/s | ours objects/s | storescp objects/s | ours resident at rest, peak (MB) |")
	line("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, row := range r.Receiving {
		line("| %s | %d | **%.2f** | %.0f | %.0f | %.0f | %.0f | %.0f, %.0f |", row.Load, row.Associations, row.Ratio, row.OursMB, row.PeerMB, row.OursEach, row.PeerEach,
			row.AtRestMB, row.ResidentMB)
	}
	line("\nFrom the last image's acknowledgement to the narrative SR at the receiver, %d phantom studies of two views one after another: median **%.2f s**,", r.Turnaround.Studies, r.Turnaround.Median)
	line("95th percentile **%.2f s**.\n", r.Turnaround.P95)
	line("| engine | DenseNet121, two views with heat maps (ms) | prompt (ms) | tokens/s | whole report (ms) | its tokens |")
	line("| --- | ---: | ---: | ---: | ---: | ---: |")
	for _, m := range r.Models {
		line("| %s | %.0f | %.0f | %.0f | %.0f | %d |", m.Engine, m.DenseNet, m.Prefill, m.Tokens, m.Report, m.ReportTokens)
	}
	line("\nStarter models: a Llama of 5.3 million parameters, NF4 with a LoRA adapter.\n")
	return b.String()
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
