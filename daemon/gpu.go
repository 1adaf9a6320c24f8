package daemon

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
	gpuTime = 3 * time.Second  // that nvidia-smi may take
	gpuKept = 10 * time.Second // that an answer is good for: asking takes a moment of the GPU's driver
	maxGPUs = 64
)

// gpus asks NVIDIA's own program, so that the appliance needs no library of it. The zero value has none.
type gpus struct {
	program string

	mu    sync.Mutex
	asked time.Time
	last  []gpu
}

// gpu is how one GPU is doing.
type gpu struct {
	index       string
	utilization float64 // 0 to 1
	used, total float64 // bytes
	temperature float64 // degrees Celsius
}

// findNvidiaSMI is the path of nvidia-smi, empty where there is none.
func findNvidiaSMI() string {
	path, err := exec.LookPath("nvidia-smi")
	if err != nil {
		return ""
	}
	return path
}

// read returns what is known of the GPUs, none when they do not answer.
func (g *gpus) read() []gpu {
	if g.program == "" {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.asked) < gpuKept {
		return g.last
	}
	g.asked, g.last = time.Now(), nil
	ctx, cancel := context.WithTimeout(context.Background(), gpuTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, g.program,
		"--query-gpu=index,utilization.gpu,memory.used,memory.total,temperature.gpu", "--format=csv,noheader,nounits").Output()
	if err == nil {
		g.last = parseGPUs(string(out))
	}
	return g.last
}

// parseGPUs reads nvidia-smi's CSV: index, percent, MiB, MiB, degrees. A GPU that does not say one of them ("[N/A]") is left out.
func parseGPUs(text string) (out []gpu) {
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
			out = append(out, gpu{strings.TrimSpace(fields[0]), values[1] / 100, values[2] * (1 << 20), values[3] * (1 << 20), values[4]})
		}
	}
	return out
}
