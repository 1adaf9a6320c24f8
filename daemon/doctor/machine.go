package doctor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"llamaxr/daemon"
	"llamaxr/inference/engine"
	"llamaxr/inference/models"
	"llamaxr/ingest/spool"
)

const (
	// toolTime bounds a program that is asked.
	toolTime = 10 * time.Second
	// baseMemory is what the appliance needs beside its models, in bytes: images being read, the database, XLA's arena.
	baseMemory = 2 << 30
	// Measuring the disk: small synced writes, as receiving makes them, then one long one.
	syncs, syncSize = 16, 4 << 10
	longWrite       = 32 << 20
	slowSync        = 50 * time.Millisecond
	slowWrite       = 20e6 // bytes a second: a study takes over a second below it
	// nvidiaVendor and displayClass mark an NVIDIA GPU on the PCI bus.
	nvidiaVendor, displayClass = "0x10de", "0x03"
)

// gpu looks for an NVIDIA GPU and its driver.
func (v *visit) gpu(ctx context.Context) {
	driver := ""
	if text, err := os.ReadFile("/proc/driver/nvidia/version"); err == nil {
		driver, _, _ = strings.Cut(string(text), "\n")
	}
	ctx, cancel := context.WithTimeout(ctx, toolTime)
	defer cancel()
	named, err := exec.CommandContext(ctx, "nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader").Output()
	wanted := strings.Contains(v.Config.Engine, "cuda")
	switch {
	case err == nil && len(named) > 0:
		v.ok("gpu", "%s", strings.ReplaceAll(strings.TrimSpace(string(named)), "\n", "; "))
	case driver != "":
		v.warn("gpu", "run nvidia-smi and follow what it says; restart the machine after a driver's update", "the driver is loaded (%s), but no GPU answers", driver)
	case onBus():
		v.warn("gpu", "install NVIDIA's driver; without it the CPU does the work", "an NVIDIA GPU is there without a driver")
	case wanted:
		v.fail("gpu", "set engine to auto, or put a GPU in", "the configuration wants one, and there is none")
	default:
		v.ok("gpu", "none; the CPU does the work")
	}
}

// onBus reports whether an NVIDIA display or compute device is on the PCI bus.
func onBus() bool {
	devices, _ := filepath.Glob("/sys/bus/pci/devices/*")
	return slices.ContainsFunc(devices, func(device string) bool {
		vendor, _ := os.ReadFile(filepath.Join(device, "vendor"))
		class, _ := os.ReadFile(filepath.Join(device, "class"))
		return strings.TrimSpace(string(vendor)) == nvidiaVendor && strings.HasPrefix(string(class), displayClass)
	})
}

func (v *visit) engine(context.Context) {
	if v.daemon != nil {
		v.ok("engine", "the daemon computes with %s", v.daemon.Engine)
		return
	}
	eng, err := engine.Open(v.Config.Engine)
	if err == nil {
		_, err = eng.Backend()
	}
	if err != nil {
		v.fail("engine", "set engine to auto, or install the plugin in /usr/lib/llamaxr", "%v", err)
		return
	}
	v.ok("engine", "%s (%s)", eng.Name, eng.Why)
}

// memory holds the machine's memory against what the models in use need.
func (v *visit) memory(context.Context) {
	total, available, err := meminfo("/proc/meminfo")
	if err != nil {
		return // not Linux
	}
	need := int64(baseMemory)
	store := models.OpenStore(filepath.Join(v.Config.State, daemon.ModelFolder))
	for _, role := range models.Roles {
		if m, err := store.InUse(role); err == nil && m != nil {
			need += m.Size()
		}
	}
	const remedy = "add memory, or choose a smaller model (`llamaxr models use`)"
	gib := func(n int64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }
	switch {
	case total < need:
		v.fail("memory", remedy, "%s in all; the models in use need %s", gib(total), gib(need))
	case v.daemon == nil && available < need:
		v.warn("memory", "end other programs, or "+remedy, "%s of %s available; the models in use need %s", gib(available), gib(total), gib(need))
	default:
		v.ok("memory", "%s of %s available; the models in use need %s", gib(available), gib(total), gib(need))
	}
}

// meminfo reads the machine's memory in bytes (proc(5)).
func meminfo(path string) (total, available int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		field := strings.Fields(lines.Text())
		if len(field) < 2 {
			continue
		}
		kib, _ := strconv.ParseInt(field[1], 10, 64)
		switch field[0] {
		case "MemTotal:":
			total = kib << 10
		case "MemAvailable:":
			available = kib << 10
		}
	}
	if total == 0 {
		err = errors.New("doctor: no MemTotal")
	}
	return total, available, errors.Join(err, lines.Err())
}

// space looks at the free space of the disk under the state.
func (v *visit) space(context.Context) {
	free, err := spool.OS{}.Free(v.Config.State)
	if errors.Is(err, fs.ErrNotExist) {
		return // told by file modes
	}
	least := v.Config.FreeSpace
	gb := func(n int64) string { return fmt.Sprintf("%.1f GB", float64(n)/1e9) }
	const remedy = "make room on the disk, or give the state a larger one"
	switch {
	case err != nil:
		v.fail("disk space", "run doctor as the service's user or as root", "cannot be told: %v", err)
	case free < least:
		v.fail("disk space", remedy, "%s free under %s, less than minimum_free_bytes (%s): images are refused", gb(free), v.Config.State, gb(least))
	case free < 4*least:
		v.warn("disk space", remedy, "%s free under %s; at %s images are refused", gb(free), v.Config.State, gb(least))
	default:
		v.ok("disk space", "%s free under %s", gb(free), v.Config.State)
	}
}

// speed measures how long the disk takes to keep something: every image waits for that before it is acknowledged.
func (v *visit) speed(context.Context) {
	const remedy = "put the state on a local disk with a write cache that survives power cuts; look at the disk (smartctl -a)"
	latency, rate, err := measure(v.Config.State)
	switch {
	case errors.Is(err, fs.ErrNotExist): // told by file modes
	case err != nil:
		v.fail("disk speed", "see that the disk is mounted for writing and that doctor runs as the service's user", "nothing can be written: %v", err)
	case latency > slowSync || rate < slowWrite:
		v.warn("disk speed", remedy, "a small write takes %s to be safe, a long one runs at %.0f MB/s", latency.Round(10*time.Microsecond), rate/1e6)
	default:
		v.ok("disk speed", "a small write takes %s to be safe, a long one runs at %.0f MB/s", latency.Round(10*time.Microsecond), rate/1e6)
	}
}

// measure returns the median time of a small synced write and the rate of a long one in bytes a second.
func measure(folder string) (latency time.Duration, rate float64, err error) {
	file, err := os.CreateTemp(folder, ".doctor-*")
	if err != nil {
		return 0, 0, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	write := func(size int) (time.Duration, error) {
		started := time.Now()
		if _, err := file.Write(make([]byte, size)); err != nil {
			return 0, err
		}
		err := file.Sync()
		return time.Since(started), err
	}
	var took []time.Duration
	for range syncs {
		t, err := write(syncSize)
		if err != nil {
			return 0, 0, err
		}
		took = append(took, t)
	}
	slices.Sort(took)
	long, err := write(longWrite)
	return took[syncs/2], longWrite / long.Seconds(), err
}

// coreDumps looks whether the daemon could leave patients' images in a core file.
func (v *visit) coreDumps(context.Context) {
	if v.daemon == nil {
		return // the limit is the running process's
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", v.daemon.PID))
	if err != nil {
		return
	}
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(line, "Max core file size")
		if !ok {
			continue
		}
		if soft := strings.Fields(rest); len(soft) > 0 && soft[0] != "0" {
			v.warn("core dumps", "set LimitCORE=0 in the unit", "a crash would write the daemon's memory, with patients' images, to disk")
			return
		}
		v.ok("core dumps", "the daemon writes none")
	}
}
