package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"llamaxr/daemon/trial"
	"llamaxr/dicomnet"
	"llamaxr/internal/figures"
)

// sendLoads are what is sent to a sink; more would only be the page cache's business.
var sendLoads = []load{
	{Name: "10 MB", Side: 2236, Count: 100},
	{Name: "0.5 MB", Side: 500, Count: 1000},
}

var sendAssociations = []int{1, 8}

// sinks take objects and keep none of them. What they cost is theirs: the sender's own time stands beside.
var sinks = []receiver{
	{"our server without a disk", "nothing", trial.ReceiverAETitle, startSink},
	{"storescp --ignore", "nothing", trial.ReceiverAETitle, startIgnoring},
}

func startSink(ctx context.Context, _ options, _, address string) (*exec.Cmd, error) {
	program, err := os.Executable()
	return exec.CommandContext(ctx, program, "-sink", address), err
}

func startIgnoring(ctx context.Context, _ options, _, address string) (*exec.Cmd, error) {
	_, port, _ := net.SplitHostPort(address)
	return exec.CommandContext(ctx, "storescp", "--fork", "--ignore", "--max-pdu", "131072", "-aet", trial.ReceiverAETitle, port), nil
}

// discarding is a session that reads every object to its end and keeps nothing.
type discarding struct{}

// Echo implements dicomnet.Session.
func (discarding) Echo(context.Context) error { return nil }

// Store implements dicomnet.Session.
func (discarding) Store(_ context.Context, _ *dicomnet.StoreRequest, data io.Reader) error {
	_, err := io.Copy(io.Discard, data)
	return err
}

// Close implements dicomnet.Session.
func (discarding) Close(bool) {}

// serveSink is the program as a sink, until standard input ends or it is killed.
func serveSink(ctx context.Context, address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &dicomnet.Server{AETitle: trial.ReceiverAETitle, AnyCalled: true, NewSession: func(context.Context, *dicomnet.AssociationInfo) (dicomnet.Session, error) {
		return discarding{}, nil
	}}
	return server.Serve(ctx, listener, time.Second)
}

// sent is what the sender did with one load over some associations.
type sent struct {
	Sink         string  `json:"sink"`
	Load         string  `json:"load"`
	Associations int     `json:"associations"`
	MB           float64 `json:"mb_per_s"`
	// SenderCPU and SinkCPU are seconds of processor time for a GB.
	SenderCPU float64 `json:"sender_cpu_s_per_gb"`
	SinkCPU   float64 `json:"sink_cpu_s_per_gb"`
	Busy      float64 `json:"load_average"`
}

// sending sends the same files to every sink in turn, round by round.
func sending(ctx context.Context, opts options) (table []sent, err error) {
	err = each(sendLoads, sendAssociations, opts, func(l load, n int) error {
		gigabytes := l.mb / 1000
		for _, s := range sinks {
			var times, own, theirs []float64
			for round := range opts.rounds {
				say("sending %d objects of %s to %s over %d associations, round %d of %d", l.Count, l.Name, s.Name, n, round+1, opts.rounds)
				took, ours, sink, err := s.swallow(ctx, opts, l.files, n)
				if err != nil {
					return fmt.Errorf("%s: %w", s.Name, err)
				}
				times, own, theirs = append(times, took.Seconds()), append(own, ours.Seconds()), append(theirs, sink.Seconds())
			}
			row := sent{s.Name, l.Name, n, l.mb / median(times), median(own) / gigabytes, median(theirs) / gigabytes, loadAverage()}
			say("  %.0f MB/s, %.2f s of processor time a GB", row.MB, row.SenderCPU)
			table = append(table, row)
		}
		return nil
	})
	return table, err
}

// swallow starts the sink and sends; it returns how long that took, and the processor time of both sides.
func (r receiver) swallow(ctx context.Context, opts options, files []string, n int) (took, own, theirs time.Duration, err error) {
	cmd, address, err := r.begin(ctx, opts, opts.scratch)
	if err != nil {
		return 0, 0, 0, err
	}
	before := figures.ProcessorTime()
	took, err = sendAll(ctx, r.title, address, files, n)
	own = figures.ProcessorTime() - before
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = cmd.Wait()
	return took, own, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), err
}

func sendSection(table []sent, opts options) *figures.Section {
	s := figures.Begin("Sending (`make bench-send`)")
	s.Line("%s. Medians of %d rounds; files in the page cache, read and sent by the appliance's sender to a sink on loopback that reads all, answers and keeps nothing;", machine(), opts.rounds)
	s.Line("PDUs of 128 KiB. Processor time is what a GB takes whatever else runs; storescp's is that of its processes that ended.")
	s.Line("\n| objects | associations | sink | MB/s | sender's processor time, s a GB | sink's | load average of the machine |")
	s.Line("| --- | ---: | --- | ---: | ---: | ---: | ---: |")
	for _, r := range table {
		s.Line("| %s | %d | %s | **%.0f** | %.2f | %.2f | %.1f |", r.Load, r.Associations, r.Sink, r.MB, r.SenderCPU, r.SinkCPU, r.Busy)
	}
	return s
}
