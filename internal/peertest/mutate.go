package peertest

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"testing"
	"time"
)

// Seed is a fuzz target's kept input of one byte slice.
func Seed(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	line := bytes.Split(data, []byte("\n"))[1]
	text, err := strconv.Unquote(string(bytes.TrimSuffix(bytes.TrimPrefix(line, []byte("[]byte(")), []byte(")"))))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(text)
}

// Mutate makes a stream of a seed that is wrong in one to four places.
func Mutate(random *rand.Rand, seeds [][]byte) []byte {
	b := bytes.Clone(seeds[random.IntN(len(seeds))])
	for range 1 + random.IntN(4) {
		at := random.IntN(len(b))
		to := min(len(b), at+1+random.IntN(64))
		switch random.IntN(6) {
		case 0:
			b[at] ^= 1 << random.IntN(8)
		case 1:
			b[at] = byte(random.Uint32())
		case 2:
			b = b[:at+1]
		case 3: // once more
			b = append(b[:to:to], b[at:]...)
		case 4: // not at all
			b = append(b[:at:at], b[to:]...)
		case 5: // the lengths are in the heads: most of the trouble is there
			b[random.IntN(min(len(b), 300))] = []byte{0, 1, 0x7f, 0x80, 0xff}[random.IntN(5)]
		}
		if len(b) == 0 {
			return []byte{0}
		}
	}
	return b
}

// longestAnswer is how long a server may take to end a connection that says no more.
const longestAnswer = 10 * time.Second

// Throw sends bytes to a server on a connection of their own and waits for its end. It reports whether the server could be reached.
func Throw(t testing.TB, address string, data []byte) bool {
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return false
	}
	defer nc.Close()
	_, _ = nc.Write(data)
	_ = nc.(*net.TCPConn).CloseWrite()
	_ = nc.SetReadDeadline(time.Now().Add(longestAnswer))
	if _, err := io.Copy(io.Discard, nc); os.IsTimeout(err) {
		t.Error("a connection did not end")
	}
	return true
}
