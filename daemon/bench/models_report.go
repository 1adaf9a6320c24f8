package main

import (
	"fmt"
	"os"

	"llamaxr/internal/figures"
)

// modelsReport is what was measured of the models.
type modelsReport struct {
	Drafting []drafted `json:"drafting"`
	Scoring  []scored  `json:"scoring"`
	Load     string    `json:"load_average"` // before and after
}

// loadAverage is how many processes wanted a processor in the last minute: what ran beside.
func loadAverage() (busy float64) {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	_, _ = fmt.Sscan(string(text), &busy)
	return busy
}

func (r *modelsReport) section() *figures.Section {
	s := figures.Begin("Drafting beside other engines (`make bench-peers`)")
	s.Line("%s. Load average of the last minute %s.", machine(), r.Load)
	s.Line("llama.cpp is built for this processor; ours packs the same shapes to NF4 (random weights for 1B and 8B, read as they lie in the file), llama.cpp's are")
	s.Line("Q4_0. Same prompt, same text, token by token; threads are cores that the process may use. With one thread times are of the processor, which other work")
	s.Line("on the machine lengthens little; with two of the wall. A ratio is llama.cpp's time over ours.\n")
	s.Line("| model | threads | prompt | text | ours, tokens/s: prompt, text | llama.cpp: prompt, text | peak MB, ours and theirs | ours, s: loaded, first token by the paper's prompt, by the grounded one | computes |")
	s.Line("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
	for _, d := range r.Drafting {
		o, p := d.Ours, d.Peer.Kinds[paperHuman]
		prompt, text := d.Prompts[paperHuman], d.Texts[paperHuman]
		s.Line("| %s | %d | **%.2f** | **%.2f** | %.1f, %.1f | %.1f, %.1f | %.0f, %.0f | %.1f, %.1f, %.1f | %s |", d.Model, d.Threads, p.Prefill/o.Prefill,
			p.Decode/o.Decode, prompt/o.Prefill, text/o.Decode, prompt/p.Prefill, text/p.Decode, o.PeakMB, d.Peer.PeakMB, o.Load, o.FirstToken, o.FirstGrounded, o.Engine)
	}
	s.Line("")
	s.Line("Whole drafts, ours with what the appliance does: the head of the prompt kept, lossless speculation from at most %d other reports. Each beside llama.cpp's", learntReports)
	s.Line("draft by the paper's prompt, beside its draft by the same prompt, and beside that with the head kept as ours. The human report is the same by both")
	s.Line("prompts; learnt texts are those that `make experiment` teaches an adapter, of three studies of the usual lengths, with simulated scores.\n")
	s.Line("| model | threads | prompt, text | whole draft / llama.cpp's by the paper's prompt | / by the same | / with the head kept | text, speculating | tokens a pass | ours, llama.cpp's (s) | tokens: prompt, kept of it, text |")
	s.Line("| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, d := range r.Drafting {
		for kind, name := range [kinds]string{"the paper's, human", "grounded, human", "grounded, learnt"} {
			ours, p := d.Ours.Drafts[kind], &d.Peer
			s.Line("| %s | %d | %s | **%.2f** | **%.2f** | **%.2f** | **%.2f** | %.2f | %.2f, %.2f | %.0f, %.0f, %.0f |", d.Model, d.Threads, name, p.whole(paperHuman)/ours,
				p.whole(kind)/ours, p.kept(kind)/ours, p.Kinds[kind].Decode/d.Ours.Speculated[kind], d.Texts[kind]/max(d.Ours.Passes[kind], 1), ours, p.whole(kind),
				d.Prompts[kind], d.Kept[kind], d.Texts[kind])
		}
	}
	s.Line("")
	s.Line("DenseNet121, two views; ours with the heat maps too. A ratio is the other's time over ours.\n")
	s.Line("| threads | engine | ours / it | ms |")
	s.Line("| ---: | --- | ---: | ---: |")
	for _, row := range r.Scoring {
		s.Line("| %d | llamaxr, %s | **1.00** | %.1f |", row.Threads, row.Engine, row.OursMS)
		for _, name := range scoringPeers {
			s.Line("| %d | %s | **%.2f** | %.1f |", row.Threads, name, row.Peers[name]/row.OursMS, row.Peers[name])
		}
	}
	return s
}
