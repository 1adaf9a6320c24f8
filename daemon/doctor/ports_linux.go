package doctor

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// stateListen is TCP_LISTEN in /proc/net/tcp.
const stateListen = "0A"

// owner names the program that listens on the port of an address, as far as this user may see.
func owner(address string) string {
	const unknown = "another program (ss -ltnp says which, as root)"
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return unknown
	}
	number, err := net.LookupPort("tcp", port)
	if err != nil {
		return unknown
	}
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		for _, inode := range listeners(table, number) {
			sockets["socket:["+inode+"]"] = true
		}
	}
	open, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, path := range open {
		if to, err := os.Readlink(path); err == nil && sockets[to] {
			pid := strings.Split(path, "/")[2]
			name, _ := os.ReadFile(filepath.Join("/proc", pid, "comm"))
			return fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), pid)
		}
	}
	return unknown
}

// listeners returns the inodes of the sockets of a table (proc(5), /proc/net/tcp) that listen on a port.
func listeners(table string, port int) (inodes []string) {
	file, err := os.Open(table)
	if err != nil {
		return nil
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		field := strings.Fields(lines.Text()) // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
		if len(field) < 10 || field[3] != stateListen {
			continue
		}
		_, hex, _ := strings.Cut(field[1], ":")
		if n, err := strconv.ParseUint(hex, 16, 16); err == nil && int(n) == port {
			inodes = append(inodes, field[9])
		}
	}
	return inodes
}
