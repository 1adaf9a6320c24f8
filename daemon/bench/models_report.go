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
	s.Line("Q4_0. Same prompt, same text (a human report), token by token; threads are cores that the process may use. With one thread times are of the")
	s.Line("processor, which other work on the machine lengthens little; with two of the wall. A ratio is llama.cpp's time over ours.\n")
	s.Line("| model | threads | prompt | text | whole draft | grounded draft | ours, tokens/s: prompt, text, text speculating | llama.cpp: prompt, text | peak MB, ours and theirs | ours: loaded, first token (s) | computes |")
	s.Line("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
	for _, d := range r.Drafting {
		o, p := d.Ours, d.Peer
		prompt, text := float64(d.Prompts[0]), float64(d.Text)
		whole := p.Prompts[0].Prefill + p.Prompts[0].Decode
		s.Line("| %s | %d | **%.2f** | **%.2f** | **%.2f** | **%.2f** | %.1f, %.1f, %.1f | %.1f, %.1f | %.0f, %.0f | %.1f, %.1f | %s |", d.Model, d.Threads,
			p.Prompts[0].Prefill/o.Prefill, p.Prompts[0].Decode/o.Decode, whole/o.Drafts[0], whole/o.Drafts[1], prompt/o.Prefill, text/o.Decode,
			text/o.Speculated, prompt/p.Prompts[0].Prefill, text/p.Prompts[0].Decode, o.PeakMB, p.PeakMB, o.Load, o.FirstToken, o.Engine)
	}
	s.Line("")
	s.Line("A whole draft is llama.cpp's prompt and text over ours with what the appliance does: the head of the prompt kept, lossless speculation from other")
	s.Line("reports. The grounded draft is ours with the shorter prompt over the same of llama.cpp's. Where llama.cpp keeps the head too, and with the grounded prompt:\n")
	s.Line("| model | threads | whole draft | grounded draft | llama.cpp, s | ours, s | tokens a pass |")
	s.Line("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, d := range r.Drafting {
		theirs := [2]float64{d.Peer.Prompts[0].HeadKept + d.Peer.Prompts[0].Decode, d.Peer.Prompts[1].HeadKept + d.Peer.Prompts[1].Decode}
		s.Line("| %s | %d | **%.2f** | **%.2f** | %.2f, %.2f | %.2f, %.2f | %.2f |", d.Model, d.Threads, theirs[0]/d.Ours.Drafts[0], theirs[1]/d.Ours.Drafts[1],
			theirs[0], theirs[1], d.Ours.Drafts[0], d.Ours.Drafts[1], float64(d.Text)/float64(max(d.Ours.Passes, 1)))
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
