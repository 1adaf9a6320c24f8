// Package gpu asks NVIDIA's own program, nvidia-smi, how the GPUs are doing.
package gpu

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits of asking for GPUs.
const (
	timeout = 3 * time.Second  // that nvidia-smi may take
	kept    = 10 * time.Second // that an answer is good for: asking takes a moment of the GPU's driver
	maxGPUs = 64
)

// Reader asks nvidia-smi, so that the appliance needs no library of NVIDIA's. The zero value has no GPUs.
type Reader struct {
	program string

	mu    sync.Mutex
	asked time.Time
	last  []Device
}

// Device is how one GPU is doing.
type Device struct {
	Index       string
	Utilization float64 // 0 to 1
	Used, Total float64 // bytes
	Temperature float64 // degrees Celsius
}

// Find returns a reader of this machine's GPUs.
func Find() *Reader {
	path, err := exec.LookPath("nvidia-smi")
	if err != nil {
		return new(Reader)
	}
	return &Reader{program: path}
}

// Read returns what is known of the GPUs, none when they do not answer.
func (g *Reader) Read() []Device {
	if g.program == "" {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.asked) < kept {
		return g.last
	}
	g.asked, g.last = time.Now(), nil
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, g.program,
		"--query-gpu=index,utilization.gpu,memory.used,memory.total,temperature.gpu", "--format=csv,noheader,nounits").Output()
	if err == nil {
		g.last = parse(string(out))
	}
	return g.last
}

// parse reads nvidia-smi's CSV: index, percent, MiB, MiB, degrees. A GPU that does not say one of them ("[N/A]") is left out.
func parse(text string) (out []Device) {
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimSpace(line), ",")
		if len(fields) != 5 || len(out) == maxGPUs {
			continue
		}
		var values [5]float64
		whole := true
		for i, field := range fields {
			v, err := strconv.ParseFloat(strings.TrimSpace(field), 64)
			values[i], whole = v, whole && err == nil
		}
		if whole {
			out = append(out, Device{strings.TrimSpace(fields[0]), values[1] / 100, values[2] * (1 << 20), values[3] * (1 << 20), values[4]})
		}
	}
	return out
}
