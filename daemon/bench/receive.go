package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"llamaxr/daemon"
	"llamaxr/daemon/trial"
	"llamaxr/dicomnet"
	"llamaxr/internal/dicomwrite"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// load is one kind of object that is sent. All are Secondary Captures: stored like any other object and never drafted, so that
// receiving is measured alone, as it is in storescp.
type load struct {
	Name  string
	Side  int // of 16-bit pixels
	Count int

	files []string
	mb    float64 // of all of them
}

var loads = []load{
	{Name: "10 MB", Side: 2236, Count: 100},
	{Name: "0.5 MB", Side: 500, Count: 1000},
}

var associations = []int{1, 8, 50}

// received is one line of the table.
type received struct {
	Load         string  `json:"load"`
	Associations int     `json:"associations"`
	OursMB       float64 `json:"ours_mb_per_s"`
	PeerMB       float64 `json:"storescp_mb_per_s"`
	OursEach     float64 `json:"ours_instances_per_s"`
	PeerEach     float64 `json:"storescp_instances_per_s"`
	Ratio        float64 `json:"ratio"`
	ResidentMB   float64 `json:"ours_peak_resident_mb"`
	AtRestMB     float64 `json:"ours_resident_before_mb"`
}

// receiving sends the same files by the same sender to both receivers in turn, round by round.
func receiving(ctx context.Context, opts options) ([]received, error) {
	var table []received
	err := each(loads, associations, opts, func(l load, n int) error {
		var ours, peer []float64
		row := received{Load: l.Name, Associations: n}
		for round := range opts.rounds {
			say("receiving %s objects over %d associations, round %d of %d", l.Name, n, round+1, opts.rounds)
			took, atRest, peak, err := sendToAppliance(ctx, opts, l.files, n)
			if err != nil {
				return err
			}
			ours = append(ours, took.Seconds())
			row.AtRestMB, row.ResidentMB = max(row.AtRestMB, atRest), max(row.ResidentMB, peak)
			if took, _, err = storescp.take(ctx, opts, l.files, n); err != nil {
				return fmt.Errorf("storescp: %w", err)
			}
			peer = append(peer, took.Seconds())
		}
		row.OursMB, row.PeerMB = l.mb/median(ours), l.mb/median(peer)
		row.OursEach, row.PeerEach = float64(l.Count)/median(ours), float64(l.Count)/median(peer)
		row.Ratio = row.OursMB / row.PeerMB
		say("  ours %.0f MB/s, storescp %.0f MB/s: %.2fx, peak %.0f MB resident", row.OursMB, row.PeerMB, row.Ratio, row.ResidentMB)
		table = append(table, row)
		return nil
	})
	return table, err
}

// each makes the files of a load at a time, and measures it over each number of associations.
func each(loads []load, associations []int, opts options, measure func(l load, n int) error) error {
	dir := filepath.Join(opts.scratch, "load")
	for _, l := range loads {
		l.Count = max(1, l.Count/opts.part)
		if err := l.make(dir); err != nil {
			return err
		}
		for _, n := range associations {
			if err := measure(l, n); err != nil {
				return err
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// make writes the files; their pixels are noise, so that nothing on the way can make them smaller.
func (l *load) make(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(1, uint64(l.Side)))
	pixels := make([]byte, 2*l.Side*l.Side)
	for i := range pixels {
		pixels[i] = byte(rng.Uint32())
	}
	for i := range l.Count {
		number := strconv.Itoa(i + 1)
		set := dicomwrite.New().
			Text(tag.SOPClassUID, "1.2.840.10008.5.1.4.1.1.7").Text(tag.SOPInstanceUID, "2.25.4711."+strconv.Itoa(l.Side)+"."+number).
			Text(tag.Modality, "OT").Text(tag.ConversionType, "WSD").Text(tag.PatientName, "Bench^Load").Text(tag.PatientID, "BENCH").
			Text(tag.StudyInstanceUID, "2.25.4712."+strconv.Itoa(l.Side)+"."+number).Text(tag.SeriesInstanceUID, "2.25.4713."+strconv.Itoa(l.Side)+"."+number).
			Ints(tag.SamplesPerPixel, 1).Text(tag.PhotometricInterpretation, "MONOCHROME2").Ints(tag.Rows, l.Side).Ints(tag.Columns, l.Side).
			Ints(tag.BitsAllocated, 16).Ints(tag.BitsStored, 16).Ints(tag.HighBit, 15).Ints(tag.PixelRepresentation, 0).Pixels(pixels)
		var buf bytes.Buffer
		if err := set.Write(&buf, dicomnet.ImplementationClassUID, dicomnet.ImplementationVersionName); err != nil {
			return err
		}
		l.mb += float64(buf.Len()) / 1e6
		l.files = append(l.files, filepath.Join(dir, number+".dcm"))
		if err := os.WriteFile(l.files[i], buf.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// sendAll spreads the files over n associations at once.
func sendAll(ctx context.Context, called, address string, files []string, n int) (time.Duration, error) {
	return inParts(files, n, func(mine []string) error {
		return daemon.Send(ctx, dicomnet.Client{CallingAETitle: "BENCH", CalledAETitle: called}, address, mine, nil)
	})
}

// inParts divides the files among n who work at once, and returns how long they took.
func inParts(files []string, n int, work func(mine []string) error) (time.Duration, error) {
	var wg sync.WaitGroup
	errs := make([]error, n)
	started := time.Now()
	for i := range n {
		var mine []string
		for k := i; k < len(files); k += n {
			mine = append(mine, files[k])
		}
		wg.Go(func() { errs[i] = work(mine) })
	}
	wg.Wait()
	return time.Since(started), errors.Join(errs...)
}

func sendToAppliance(ctx context.Context, opts options, files []string, n int) (took time.Duration, atRest, peak float64, err error) {
	state := filepath.Join(opts.scratch, "ours")
	defer os.RemoveAll(state)
	a, err := trial.Start(ctx, trial.Options{Program: opts.program, State: state, Log: filepath.Join(opts.scratch, "ours.log")})
	if err != nil {
		return 0, 0, 0, err
	}
	defer a.Stop()
	if atRest, err = status(a.PID(), "VmRSS"); err != nil {
		return 0, 0, 0, err
	}
	// Writing 5 to clear_refs begins the peak anew (proc(5)), so that loading the models is not counted.
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", a.PID()), []byte("5"), 0); err != nil {
		return 0, 0, 0, err
	}
	if took, err = sendAll(ctx, trial.AETitle, a.Address, files, n); err != nil {
		return 0, 0, 0, err
	}
	peak, err = status(a.PID(), "VmHWM")
	return took, atRest, peak, err
}

// status reads a memory figure of a process in MB.
func status(pid int, field string) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kb / 1024, err
		}
	}
	return 0, fmt.Errorf("no %s in the status of process %d", field, pid)
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile is the smallest value that the share q of all does not pass.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
