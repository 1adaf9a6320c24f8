package main

import (
	"context"
	_ "embed" // receiver.py
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"llamaxr/daemon/trial"
	"llamaxr/internal/durable"
	"llamaxr/internal/figures"

	"github.com/google/renameio/v2"
)

// peerLoads are more objects than loads: a slow receiver's start must not count.
var peerLoads = []load{
	{Name: "10 MB", Side: 2236, Count: 200},
	{Name: "0.5 MB", Side: 500, Count: 2000},
}

//go:embed receiver.py
var pynetdicomScript string

// receiver is a program that takes objects.
type receiver struct {
	Name string `json:"name"`
	// Syncs says what is on disk when success is answered.
	Syncs string `json:"syncs"`
	title string
	start func(ctx context.Context, opts options, folder, address string) (*exec.Cmd, error)
}

// storescp is DCMTK's receiver, with a process an association.
var storescp = receiver{"storescp --fork", "nothing", trial.ReceiverAETitle, startStorescp}

var receivers = []receiver{
	{"llamaxr", "object, folder and ledger", trial.AETitle, nil},
	storescp,
	{"Orthanc", "object (SyncStorageArea), its SQLite index not", trial.ReceiverAETitle, startOrthanc},
	{"pynetdicom", "object and folder", trial.ReceiverAETitle, startPynetdicom},
	theDisk,
}

// theDisk is no receiver: each object is written to a file, synced, renamed and its folder synced, by as many writers as there are associations. What
// syncs its objects one by one is at most as fast.
var theDisk = receiver{Name: "the disk alone", Syncs: "object and folder; no network and nothing else"}

func startStorescp(ctx context.Context, _ options, folder, address string) (*exec.Cmd, error) {
	_, port, _ := net.SplitHostPort(address)
	return exec.CommandContext(ctx, "storescp", "--fork", "--max-pdu", "131072", "-aet", trial.ReceiverAETitle, "-od", folder, port), nil
}

func startOrthanc(ctx context.Context, opts options, folder, address string) (*exec.Cmd, error) {
	_, port, _ := net.SplitHostPort(address)
	settings, err := json.Marshal(map[string]any{
		"DicomAet": trial.ReceiverAETitle, "DicomPort": json.Number(port), "HttpServerEnabled": false, "SyncStorageArea": true, "DicomThreadsCount": 50,
		"MaximumPduLength": 131072, "StorageDirectory": folder, "IndexDirectory": folder, "Plugins": []string{},
	})
	if err != nil {
		return nil, err
	}
	path := filepath.Join(opts.scratch, "orthanc.json")
	if err := os.WriteFile(path, settings, 0o600); err != nil {
		return nil, err
	}
	program, err := exec.LookPath("Orthanc")
	if err != nil {
		program = "/usr/sbin/Orthanc"
	}
	return exec.CommandContext(ctx, program, path), nil
}

func startPynetdicom(ctx context.Context, opts options, folder, address string) (*exec.Cmd, error) {
	_, port, _ := net.SplitHostPort(address)
	script := filepath.Join(opts.scratch, "receiver.py")
	if err := os.WriteFile(script, []byte(pynetdicomScript), 0o600); err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, filepath.Join(".cache", "venv", "bin", "python"), script, port, folder), nil
}

// taken is what one receiver did with one load over some associations.
type taken struct {
	Receiver     string  `json:"receiver"`
	Load         string  `json:"load"`
	Associations int     `json:"associations"`
	MB           float64 `json:"mb_per_s"`
	Each         float64 `json:"instances_per_s"`
	PeakMB       float64 `json:"peak_resident_mb"`
	AnonymousMB  float64 `json:"peak_anonymous_mb"`
	// Failed is why a peer could not do it; our own failure ends the run.
	Failed string `json:"failed,omitempty"`
}

// besidePeers sends the same files by the same sender to every receiver in turn, round by round.
func besidePeers(ctx context.Context, opts options) (table []taken, err error) {
	err = each(peerLoads, associations, opts, func(l load, n int) error {
		times := make([][]float64, len(receivers))
		rows := make([]taken, len(receivers))
		for round := range opts.rounds {
			for i, r := range receivers {
				say("%s takes %d objects of %s over %d associations, round %d of %d", r.Name, l.Count, l.Name, n, round+1, opts.rounds)
				took, m, err := r.take(ctx, opts, l.files, n)
				if err != nil && (r.start == nil || ctx.Err() != nil) {
					return fmt.Errorf("%s: %w", r.Name, err)
				}
				if err != nil {
					say("  %s: %v", r.Name, err)
					rows[i].Failed = err.Error()
					continue
				}
				times[i] = append(times[i], took.Seconds())
				rows[i].PeakMB, rows[i].AnonymousMB = max(rows[i].PeakMB, m.resident), max(rows[i].AnonymousMB, m.anonymous)
			}
		}
		for i, r := range receivers {
			row := &rows[i]
			row.Receiver, row.Load, row.Associations = r.Name, l.Name, n
			if row.Failed != "" {
				continue
			}
			seconds := median(times[i])
			row.MB, row.Each = l.mb/seconds, float64(l.Count)/seconds
			say("  %s: %.0f MB/s", r.Name, row.MB)
		}
		table = append(table, rows...)
		return nil
	})
	return table, err
}

// take starts the receiver, sends, and makes sure that everything was kept.
func (r receiver) take(ctx context.Context, opts options, files []string, n int) (time.Duration, memory, error) {
	folder := filepath.Join(opts.scratch, "taken")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return 0, memory{}, err
	}
	defer os.RemoveAll(folder)
	if r.Name == theDisk.Name {
		took, err := inParts(files, n, func(mine []string) error { return copyDurably(folder, mine) })
		return took, memory{}, err
	}
	if r.start == nil {
		a, err := trial.Start(ctx, trial.Options{Program: opts.program, State: folder, Log: filepath.Join(opts.scratch, "ours.log")})
		if err != nil {
			return 0, memory{}, err
		}
		defer a.Stop()
		stop := watch(a.PID())
		took, err := sendAll(ctx, r.title, a.Address, files, n)
		return took, stop(), err
	}
	cmd, address, err := r.begin(ctx, opts, folder)
	if err != nil {
		return 0, memory{}, err
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	stop := watch(cmd.Process.Pid)
	took, err := sendAll(ctx, r.title, address, files, n)
	used := stop()
	if err != nil {
		return 0, memory{}, err
	}
	if kept := largeFiles(folder); kept != len(files) {
		return 0, memory{}, fmt.Errorf("kept %d of %d objects", kept, len(files))
	}
	return took, used, nil
}

// copyDurably writes files into a folder, one after the other.
func copyDurably(folder string, files []string) error {
	for _, from := range files {
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := renameio.WriteFile(filepath.Join(folder, filepath.Base(from)), data, 0o600, renameio.WithTempDir(folder)); err != nil {
			return err
		}
		if err := durable.Names(folder); err != nil {
			return err
		}
	}
	return nil
}

// begin starts a program that takes objects into a folder, and waits until it listens.
func (r receiver) begin(ctx context.Context, opts options, folder string) (cmd *exec.Cmd, address string, err error) {
	if address, err = trial.FreeAddress(); err != nil {
		return nil, "", err
	}
	if cmd, err = r.start(ctx, opts, folder, address); err != nil {
		return nil, "", err
	}
	cmd.Env = append(os.Environ(), "TCP_NODELAY=1")
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	if err := listens(ctx, address); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, "", err
	}
	return cmd, address, nil
}

// listens waits until a receiver takes connections.
func listens(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		if ctx.Err() != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// largeFiles counts files that may be objects of a load.
func largeFiles(folder string) (n int) {
	const object = 400_000
	_ = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.HasPrefix(d.Name(), "index") {
			if info, err := d.Info(); err == nil && info.Size() >= object {
				n++
			}
		}
		return nil
	})
	return n
}

// memory are peaks in MB: all that is resident, and what of it is no file's.
type memory struct{ resident, anonymous float64 }

// watch looks at a process's memory until it is stopped.
func watch(pid int) (stop func() memory) {
	const every = 20 * time.Millisecond
	var m memory
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		for {
			if resident, err := status(pid, "VmRSS"); err == nil {
				m.resident = max(m.resident, resident)
			}
			if anonymous, err := status(pid, "RssAnon"); err == nil {
				m.anonymous = max(m.anonymous, anonymous)
			}
			select {
			case <-done:
				return
			case <-time.After(every):
			}
		}
	})
	return func() memory { close(done); wg.Wait(); return m }
}

func peersSection(table []taken, opts options) *figures.Section {
	s := figures.Begin("Receiving beside other nodes (`make bench-peers`)")
	s.Line("%s. Medians of %d rounds, all receivers in turn, same files, same sender (ours), same disk, PDUs of 128 KiB, TCP_NODELAY=1 for all.", machine(), opts.rounds)
	s.Line("Load average of the last minute %g when it ended. %d objects of 10 MB, %d of 0.5 MB. On disk when success is answered:", loadAverage(), peerLoads[0].Count/opts.part, peerLoads[1].Count/opts.part)
	for _, r := range receivers {
		s.Line("- %s: %s.", r.Name, r.Syncs)
	}
	s.Line("\n| objects | associations | receiver | ours / it | MB/s | objects/s | peak resident, of it no file's (MB) |")
	s.Line("| --- | ---: | --- | ---: | ---: | ---: | ---: |")
	ours := taken{}
	for _, row := range table {
		if row.Receiver == receivers[0].Name {
			ours = row
		}
		if row.Failed != "" {
			s.Line("| %s | %d | %s | | | | failed: %s |", row.Load, row.Associations, row.Receiver, row.Failed)
			continue
		}
		used := ""
		if row.PeakMB > 0 {
			used = fmt.Sprintf("%.0f, %.0f ", row.PeakMB, row.AnonymousMB)
		}
		s.Line("| %s | %d | %s | **%.2f** | %.0f | %.0f | %s|", row.Load, row.Associations, row.Receiver, ours.MB/row.MB, row.MB, row.Each, used)
	}
	s.Line("\nstorescp answers each association by a process of its own; the memory is its parent's alone.")
	return s
}
