package trial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"llamaxr/daemon"
	"llamaxr/dicomnet"
	"llamaxr/ingest/phantom"
	"llamaxr/queue"
	"llamaxr/study"
)

// TestName is the patient's name in a proof's study and its drafts.
const TestName = "TEST^LLAMAXR^NOT A PATIENT"

// Proof is a configuration to be proved by a test study.
type Proof struct {
	Program string // the appliance's executable
	Config  string // its configuration file
	AETitle string // that the configuration sets
	Models  string // folder of models; may be missing
	PACS    string // AET@HOST:PORT that gets the test study's drafts too; empty is nobody
}

// Run pushes a phantom study of TestName through the program on a state of its own, on loopback, until the drafts are delivered to a receiver
// of its own and to PACS. It returns the time from the last image to the first, and the models that the draft was made with. When it fails, the
// folder with the log stays, and the error names it.
func (p Proof) Run(ctx context.Context) (took time.Duration, used []study.ModelCard, err error) {
	scratch, err := os.MkdirTemp("", "llamaxr-setup-")
	if err != nil {
		return 0, nil, err
	}
	defer func() {
		if err == nil {
			os.RemoveAll(scratch)
		} else {
			err = fmt.Errorf("%w (the log is in %s)", err, scratch)
		}
	}()
	state := filepath.Join(scratch, "state")
	if err := p.borrowModels(state); err != nil {
		return 0, nil, err
	}
	receiver, err := StartReceiver(ctx)
	if err != nil {
		return 0, nil, err
	}
	defer receiver.Stop()
	opts := Options{
		Program: p.Program, State: state, Log: filepath.Join(scratch, "appliance.log"), Destination: receiver.Address,
		More: []string{"--config", p.Config, "--ae-title", p.AETitle},
	}
	if p.PACS != "" {
		opts.More = append(opts.More, "--destination", p.PACS)
	}
	appliance, err := Start(ctx, opts)
	if err != nil {
		return 0, nil, err
	}
	defer appliance.Stop()
	patient := phantom.New(uint64(time.Now().UnixNano()), study.Effusion) // another each time: a PACS may refuse what it has
	patient.Name = TestName
	images, err := patient.WriteDICOM(scratch, phantom.Habits()[0])
	if err != nil {
		return 0, nil, err
	}
	if err := daemon.Send(ctx, dicomnet.Client{CallingAETitle: "SETUP", CalledAETitle: p.AETitle}, appliance.Address, images, nil); err != nil {
		return 0, nil, err
	}
	sent := time.Now()
	if _, _, err := receiver.Wait(ctx, patient.StudyUID(), io.Discard); err != nil {
		return 0, nil, err
	}
	took = time.Since(sent)
	used, err = delivered(ctx, state, patient.StudyUID())
	return took, used, err
}

// borrowModels lets a new state folder use the models of another.
func (p Proof) borrowModels(state string) error {
	if err := os.Mkdir(state, 0o700); err != nil {
		return err
	}
	if _, err := os.Stat(p.Models); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return os.Symlink(p.Models, filepath.Join(state, daemon.ModelFolder))
}

// delivered waits until every destination has a study's drafts and returns the models that made them.
func delivered(ctx context.Context, state, uid string) ([]study.ModelCard, error) {
	deadline := time.Now().Add(waitFor)
	for {
		report, err := daemon.StudyOf(state, uid)
		if err != nil {
			return nil, err
		}
		if report.State == queue.Delivered && report.Draft != nil {
			return report.Draft.Draft.Models, nil
		}
		reason := ""
		for _, j := range report.Jobs {
			if j.LastError != "" {
				reason = ": " + j.LastError
			}
			if j.Dead {
				return nil, fmt.Errorf("the drafts are not delivered%s", reason)
			}
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return nil, errors.Join(ctx.Err(), fmt.Errorf("the drafts are not delivered%s", reason))
		}
		time.Sleep(100 * time.Millisecond)
	}
}
