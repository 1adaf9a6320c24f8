// Package trial runs the built program as a service, and a receiver of its own beside it, for setup, the demonstration and the benchmarks.
package trial

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"
)

// AE titles of the appliance under trial and of the receiver.
const (
	AETitle         = "LLAMAXR"
	ReceiverAETitle = "PACS"
)

// waitFor bounds the wait for the program and for its drafts.
const waitFor = 3 * time.Minute

// Appliance is the running program.
type Appliance struct {
	Address string
	cmd     *exec.Cmd
	log     *os.File
}

// Options are what an appliance under trial needs.
type Options struct {
	Program     string // the executable
	State       string // its folder
	Log         string // file that receives its log
	Destination string // host:port of the receiver PACS, may be empty
	More        []string
}

// PID is the process's number.
func (a *Appliance) PID() int { return a.cmd.Process.Pid }

// Start runs the program and waits until it listens.
func Start(ctx context.Context, opts Options) (*Appliance, error) {
	address, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(opts.Log)
	if err != nil {
		return nil, err
	}
	args := []string{"run", "--state", opts.State, "--listen", address, "--ae-title", AETitle, "--quiet-time", "5s", "--http", "127.0.0.1:0"}
	if opts.Destination != "" {
		args = append(args, "--destination", ReceiverAETitle+"@"+opts.Destination)
	}
	cmd := exec.Command(opts.Program, append(args, opts.More...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", opts.Program, err)
	}
	a := &Appliance{address, cmd, log}
	deadline := time.Now().Add(waitFor)
	for {
		if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			conn.Close()
			return a, nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			a.Stop()
			return nil, fmt.Errorf("the appliance does not listen; see %s", log.Name())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Stop lets it drain and waits for its end.
func (a *Appliance) Stop() {
	_ = a.cmd.Process.Signal(os.Interrupt)
	_ = a.cmd.Wait()
	a.log.Close()
}

// FreeAddress is a loopback address that nobody listens on.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
