// Package demo runs the appliance's main job before a person's eyes: it starts the program as a service on free loopback ports,
// pushes two phantom studies by C-STORE, waits for the drafts at a receiver of its own, and leaves a page that shows it all.
package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"llamaxr/daemon"
	"llamaxr/daemon/trial"
	"llamaxr/dicomnet"
	"llamaxr/ingest/phantom"
	"llamaxr/study"
)

// Options are what a demonstration needs.
type Options struct {
	Program string // the appliance's executable
	Out     string
	Version string
	Log     io.Writer
}

// The two studies: one with two findings, one normal.
var cases = []struct {
	title    string
	seed     uint64
	habit    int
	findings []study.Finding
}{
	{"A study with two findings", 2024, 0, []study.Finding{study.Cardiomegaly, study.Pneumothorax}},
	{"A normal study", 2031, 3, nil},
}

// Run runs the demonstration.
func Run(ctx context.Context, opts Options) error {
	started := time.Now()
	say := func(format string, args ...any) { fmt.Fprintf(opts.Log, format+"\n", args...) }
	if err := os.RemoveAll(opts.Out); err != nil {
		return err
	}
	if err := os.MkdirAll(opts.Out, 0o755); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "llamaxr-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	pacs, err := trial.StartReceiver(ctx)
	if err != nil {
		return err
	}
	defer pacs.Stop()
	say("receiver PACS listens on %s", pacs.Address)
	appliance, err := trial.Start(ctx, trial.Options{
		Program: opts.Program, State: filepath.Join(scratch, "state"), Log: filepath.Join(opts.Out, "appliance.log"), Destination: pacs.Address,
	})
	if err != nil {
		return err
	}
	defer appliance.Stop()
	say("appliance LLAMAXR listens on %s (its log: %s)", appliance.Address, filepath.Join(opts.Out, "appliance.log"))
	page := Page{Version: opts.Version}
	for _, c := range cases {
		s, err := one(ctx, opts, scratch, appliance.Address, pacs, phantom.New(c.seed, c.findings...), c.title, phantom.Habits()[c.habit])
		if err != nil {
			return fmt.Errorf("%s: %w", c.title, err)
		}
		page.Studies = append(page.Studies, *s)
		page.Engine = s.Draft.Engine
		print(opts.Log, s)
	}
	page.Took = time.Since(started)
	file, err := os.Create(filepath.Join(opts.Out, "index.html"))
	if err != nil {
		return err
	}
	if err := page.write(file); err != nil {
		file.Close()
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	say("\n%s\n%.1f s in all. Open %s: images, heat maps, charts and reports beside the truth.", study.StarterWarning, time.Since(started).Seconds(),
		filepath.Join(opts.Out, "index.html"))
	return nil
}

// one pushes one study and collects what comes of it.
func one(ctx context.Context, opts Options, scratch, address string, pacs *trial.Receiver, c *phantom.Case, title string, habit phantom.Habit) (*Study, error) {
	folder := filepath.Join(opts.Out, fmt.Sprintf("study-%d", c.Seed))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	fmt.Fprintf(opts.Log, "\n%s: pushing phantom %d (%s) by C-STORE", title, c.Seed, habit.Name)
	paths, err := c.WriteDICOM(folder, habit)
	if err != nil {
		return nil, err
	}
	if err := daemon.Send(ctx, dicomnet.Client{CallingAETitle: "MODALITY", CalledAETitle: trial.AETitle}, address, paths, nil); err != nil {
		return nil, err
	}
	sent := time.Now()
	documents, narrative, err := pacs.Wait(ctx, c.StudyUID(), opts.Log)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(opts.Log, " drafts are back after %.1f s\n", narrative.Sub(sent).Seconds())
	report, err := daemon.StudyOf(filepath.Join(scratch, "state"), c.StudyUID())
	if err != nil {
		return nil, err
	}
	s := &Study{Title: title, Truth: c.Truth(), Draft: report.Draft.Draft, ToDelivery: narrative.Sub(sent)}
	s.Draft.Pair = *report.Pair
	s.Scored = scored(s.Draft, s.Truth)
	state := daemon.DraftFolder(filepath.Join(scratch, "state"), c.StudyUID(), report.Revision)
	relative := func(name string) string { return filepath.Base(folder) + "/" + name }
	for _, name := range []string{"frontal.png", "lateral.png", "heatmap.png", "chart.png"} {
		data, err := os.ReadFile(filepath.Join(state, name))
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o644); err != nil {
			return nil, err
		}
	}
	s.Images = []Picture{{relative("frontal.png"), "Frontal view, as received"}, {relative("lateral.png"), "Lateral view, as received"}}
	s.HeatMap, s.Chart = relative("heatmap.png"), relative("chart.png")
	for _, d := range report.Draft.Documents {
		name := d.Kind + ".dcm"
		if err := os.WriteFile(filepath.Join(folder, name), documents[d.SOPInstanceUID], 0o644); err != nil {
			return nil, err
		}
		s.Documents = append(s.Documents, Document{File: relative(name), Kind: map[string]string{
			"narrative": "Narrative (Basic Text SR)", "scores": "Scores and regions (Comprehensive 3D SR)", "heatmap": "Heat map (Secondary Capture)",
			"chart":                "Probability chart (Secondary Capture)",
			"presentation-frontal": "Outlines on the frontal view (GSPS)", "presentation-lateral": "Outlines on the lateral view (GSPS)",
		}[d.Kind]})
	}
	return s, nil
}

// print shows one study on the terminal: the report beside the truth.
func print(out io.Writer, s *Study) {
	names := func(list []study.Finding) string {
		var out []string
		for _, f := range list {
			out = append(out, f.String())
		}
		if len(out) == 0 {
			return "nothing: a normal chest"
		}
		return strings.Join(out, ", ")
	}
	fmt.Fprintf(out, "  drawn into it: %s\n", names(s.Truth))
	for _, f := range s.Scored {
		mark := "a false alarm"
		if f.True {
			mark = "true"
		}
		fmt.Fprintf(out, "  scored:        %s %s (%s), %s\n", f.Finding, f.Score, f.View, mark)
	}
	if missed := s.Missed(); len(missed) > 0 {
		fmt.Fprintf(out, "  missed:        %s\n", names(missed))
	}
	fmt.Fprintf(out, "  %s\n  FINDINGS: %s\n  IMPRESSION: %s\n", study.DraftWarning, s.Draft.Text(study.SectionFindings), s.Draft.Text(study.SectionImpression))
}
