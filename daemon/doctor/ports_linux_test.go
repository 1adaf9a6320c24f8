package doctor

import (
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"llamaxr/daemon/config"
)

// TestPortThatTheUnitMayOpen: DICOM's own port is not called a failure by a user who may not open it, as the service's user by hand may not.
func TestPortThatTheUnitMayOpen(t *testing.T) {
	if first, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err != nil || strings.TrimSpace(string(first)) != "1024" {
		t.Skip("here any user may open it")
	}
	const nobody = 65534
	said := make(chan Check)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread, which alone is another user, ends with the goroutine
		_, _, _ = syscall.RawSyscall(syscall.SYS_SETRESUID, nobody, nobody, nobody)
		said <- found(t, config.Config{}, func(v *visit) { v.free("listen", "127.0.0.1:104") })
	}()
	if got := <-said; !got.is(Warn, "cannot be told as this user") {
		t.Errorf("%+v", got)
	}
}
