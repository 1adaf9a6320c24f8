package dicomnet

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// acknowledger returns what has the system acknowledge at once what came on a connection, nil for one that has no such thing.
func acknowledger(nc net.Conn) func() {
	tcp, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	return func() {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) // without it the rest comes later
		})
	}
}
