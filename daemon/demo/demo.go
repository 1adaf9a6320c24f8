// Package demo runs the appliance's main job before a person's eyes: it starts the program as a service on free loopback ports,
// pushes two phantom studies by C-STORE, waits for the drafts at a receiver of its own, and leaves a page that shows it all.
package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"llamaxr/daemon"
	"llamaxr/dicomnet"
	"llamaxr/dicomnet/part10"
	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/phantom"
	"llamaxr/reporting/sr"
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

// documentsPerStudy is how many objects a draft is: narrative, scores, heat map, chart.
const documentsPerStudy = 4

// waitFor bounds the wait for the drafts.
const waitFor = 3 * time.Minute

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
	pacs, err := startReceiver(ctx)
	if err != nil {
		return err
	}
	defer pacs.stop()
	say("receiver PACS listens on %s", pacs.address)
	appliance, err := startAppliance(ctx, opts, scratch, pacs.address)
	if err != nil {
		return err
	}
	defer appliance.stop()
	say("appliance LLAMAXR listens on %s (its log: %s)", appliance.address, filepath.Join(opts.Out, "appliance.log"))
	page := Page{Version: opts.Version}
	for _, c := range cases {
		s, err := one(ctx, opts, scratch, appliance.address, pacs, phantom.New(c.seed, c.findings...), c.title, phantom.Habits()[c.habit])
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
func one(ctx context.Context, opts Options, scratch, address string, pacs *receiver, c *phantom.Case, title string, habit phantom.Habit) (*Study, error) {
	folder := filepath.Join(opts.Out, fmt.Sprintf("study-%d", c.Seed))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	fmt.Fprintf(opts.Log, "\n%s: pushing phantom %d (%s) by C-STORE", title, c.Seed, habit.Name)
	paths, err := c.WriteDICOM(folder, habit)
	if err != nil {
		return nil, err
	}
	if err := daemon.Send(ctx, "MODALITY", "LLAMAXR", address, paths, nil); err != nil {
		return nil, err
	}
	sent := time.Now()
	documents, narrative, err := pacs.wait(ctx, c.StudyUID(), opts.Log)
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
			"chart": "Probability chart (Secondary Capture)",
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
		fmt.Fprintf(out, "  scored:        %s %.2f (%s), %s\n", f.Finding, f.Score, f.View, mark)
	}
	if missed := s.Missed(); len(missed) > 0 {
		fmt.Fprintf(out, "  missed:        %s\n", names(missed))
	}
	fmt.Fprintf(out, "  %s\n  FINDINGS: %s\n  IMPRESSION: %s\n", study.DraftWarning, s.Draft.Text(study.SectionFindings), s.Draft.Text(study.SectionImpression))
}

// appliance is the running program.
type appliance struct {
	cmd     *exec.Cmd
	address string
	log     *os.File
}

func startAppliance(ctx context.Context, opts Options, scratch, pacs string) (*appliance, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(opts.Out, "appliance.log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(opts.Program, "run", "--state", filepath.Join(scratch, "state"), "--listen", address, "--ae-title", "LLAMAXR",
		"--destination", "PACS@"+pacs, "--quiet-time", "5s", "--http", "127.0.0.1:0")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", opts.Program, err)
	}
	a := &appliance{cmd, address, log}
	deadline := time.Now().Add(waitFor)
	for {
		if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			conn.Close()
			return a, nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			a.stop()
			return nil, fmt.Errorf("the appliance does not listen; see %s", log.Name())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (a *appliance) stop() {
	_ = a.cmd.Process.Signal(os.Interrupt)
	_ = a.cmd.Wait()
	a.log.Close()
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// receiver is the PACS of the demonstration: our own storage SCP that keeps objects in memory.
type receiver struct {
	address string
	cancel  context.CancelFunc
	done    chan error

	mu      sync.Mutex
	objects map[string][]byte    // by SOP Instance UID, as files
	studies map[string][]string  // SOP Instance UIDs by study
	arrived map[string]time.Time // of the narrative, by study
}

func startReceiver(ctx context.Context) (*receiver, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &receiver{
		address: listener.Addr().String(), cancel: cancel, done: make(chan error, 1),
		objects: map[string][]byte{}, studies: map[string][]string{}, arrived: map[string]time.Time{},
	}
	server := &dicomnet.Server{AETitle: "PACS", NewSession: func(context.Context, *dicomnet.AssociationInfo) (dicomnet.Session, error) { return r, nil }}
	go func() { r.done <- server.Serve(ctx, listener, time.Second) }()
	return r, nil
}

func (r *receiver) stop() { r.cancel(); <-r.done }

// Echo implements dicomnet.Session.
func (r *receiver) Echo(context.Context) error { return nil }

// Close implements dicomnet.Session.
func (r *receiver) Close(bool) {}

// Store implements dicomnet.Session.
func (r *receiver) Store(_ context.Context, req *dicomnet.StoreRequest, data io.Reader) error {
	body, err := io.ReadAll(data)
	if err != nil {
		return err
	}
	head := part10.Encode(part10.Meta{SOPClassUID: req.SOPClassUID, SOPInstanceUID: req.SOPInstanceUID, TransferSyntaxUID: req.TransferSyntaxUID},
		dicomnet.ImplementationClassUID, dicomnet.ImplementationVersionName)
	file := append(head, body...)
	uid, err := studyOf(file)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.objects[req.SOPInstanceUID] = file
	if !slices.Contains(r.studies[uid], req.SOPInstanceUID) {
		r.studies[uid] = append(r.studies[uid], req.SOPInstanceUID)
	}
	if req.SOPClassUID == sr.BasicTextSR {
		r.arrived[uid] = time.Now()
	}
	return nil
}

// wait returns a study's objects once all are there, and when its narrative came.
func (r *receiver) wait(ctx context.Context, uid string, progress io.Writer) (map[string][]byte, time.Time, error) {
	deadline := time.Now().Add(waitFor)
	for n := 0; ; n++ {
		r.mu.Lock()
		if len(r.studies[uid]) >= documentsPerStudy {
			out := map[string][]byte{}
			for _, sop := range r.studies[uid] {
				out[sop] = r.objects[sop]
			}
			arrived := r.arrived[uid]
			r.mu.Unlock()
			return out, arrived, nil
		}
		r.mu.Unlock()
		if err := ctx.Err(); err != nil {
			return nil, time.Time{}, err
		}
		if time.Now().After(deadline) {
			return nil, time.Time{}, errors.New("no drafts came back; see appliance.log")
		}
		if n%20 == 0 {
			fmt.Fprint(progress, ".")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// studyOf reads the Study Instance UID of a file held in memory.
func studyOf(file []byte) (string, error) {
	f, err := dicomfile.Read(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return "", err
	}
	return f.Header.StudyInstanceUID, nil
}
