package doctor

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"time"

	"llamaxr/daemon"
	"llamaxr/ingest/spool"
	"llamaxr/queue"
)

// JobCount is how many jobs of a kind are in a state.
type JobCount struct {
	Kind  string `json:"kind"`
	State string `json:"state"` // waits, under way or dead letter
	Jobs  int    `json:"jobs"`
}

// machine is what the bundle says of where the appliance runs, sizes in bytes; what cannot be told is left out.
type machine struct {
	OS              string `json:"os"`
	Architecture    string `json:"architecture"`
	CPUs            int    `json:"cpus"`
	Memory          int64  `json:"memory,omitempty"`
	MemoryAvailable int64  `json:"memory_available,omitempty"`
	DiskFree        int64  `json:"disk_free,omitempty"`
}

// WriteBundle writes what a supporter needs as a tar file packed by gzip: version, configuration in force, checks, counts of jobs, the
// machine. It is made of what is known to hold nothing of a patient, not of logs or records: no identifier of a study, no text of a job, no
// secret, and of files only those in folders that every installation has.
func WriteBundle(w io.Writer, s Subject, checks []Check, now time.Time) error {
	if running, err := daemon.ConditionOf(s.Config.State); err == nil && running != nil {
		s.Config = running.Config
	}
	jobs, err := daemon.Jobs(s.Config.State)
	counts := map[string]any{"jobs": countJobs(jobs)}
	if err != nil {
		counts = map[string]any{"error": clean(err.Error(), s)}
	}
	cleaned := make([]Check, len(checks))
	for i, c := range checks {
		if c.Name == "configuration" && s.Fault != nil {
			c.What = "the file is wrong" // what is wrong quotes it
		}
		cleaned[i] = Check{c.Name, c.Verdict, clean(c.What, s), clean(c.Remedy, s)}
	}
	packed := gzip.NewWriter(w)
	archive := tar.NewWriter(packed)
	for _, part := range []struct {
		name  string
		value any
	}{
		{"version.json", map[string]string{"version": s.Version, "go": runtime.Version(), "written": now.UTC().Format(time.RFC3339)}},
		{"configuration.json", redacted(s.Config)},
		{"checks.json", cleaned},
		{"queue.json", counts},
		{"machine.json", thisMachine(s.Config.State)},
	} {
		text, err := json.MarshalIndent(part.value, "", "  ")
		if err != nil {
			return fmt.Errorf("doctor: bundle: %s: %w", part.name, err)
		}
		header := &tar.Header{Name: "llamaxr-support/" + part.name, Mode: 0o600, Size: int64(len(text)), ModTime: now}
		if err := archive.WriteHeader(header); err != nil {
			return fmt.Errorf("doctor: bundle: %w", err)
		}
		if _, err := archive.Write(text); err != nil {
			return fmt.Errorf("doctor: bundle: %w", err)
		}
	}
	if err := errors.Join(archive.Close(), packed.Close()); err != nil {
		return fmt.Errorf("doctor: bundle: %w", err)
	}
	return nil
}

// countJobs counts jobs by kind and state, in the order of their first.
func countJobs(jobs []*queue.Job) []JobCount {
	out := []JobCount{}
	at := map[JobCount]int{}
	for _, j := range jobs {
		key := JobCount{Kind: j.Kind, State: "waits"}
		switch {
		case j.Dead:
			key.State = "dead letter"
		case !j.Leased.IsZero():
			key.State = "under way"
		}
		i, known := at[key]
		if !known {
			i = len(out)
			at[key], out = i, append(out, key)
		}
		out[i].Jobs++
	}
	return out
}

func thisMachine(state string) machine {
	m := machine{OS: runtime.GOOS, Architecture: runtime.GOARCH, CPUs: runtime.NumCPU()}
	if total, available, err := meminfo(filepath.FromSlash("/proc/meminfo")); err == nil {
		m.Memory, m.MemoryAvailable = total, available
	}
	if free, err := (spool.OS{}).Free(state); err == nil {
		m.DiskFree = free
	}
	return m
}
