package chain

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const maxTestLine = 512

type entry struct {
	What     string `json:"what"`
	Previous string `json:"previous"`
}

func add(t testing.TB, l *Log, what string) {
	t.Helper()
	if err := l.Append(func(previous string) any { return entry{what, previous} }); err != nil {
		t.Fatal(err)
	}
}

// written makes a log of n lines and returns its path.
func written(t testing.TB, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.log")
	l, err := Open(path, maxTestLine)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := range n {
		add(t, l, fmt.Sprintf("act %d", i))
	}
	return path
}

// TestChainIsWhatItSays holds a log against the digests computed here: a line's "previous" is the SHA-256 of the bytes before it.
func TestChainIsWhatItSays(t *testing.T) {
	text, err := os.ReadFile(written(t, 3))
	if err != nil {
		t.Fatal(err)
	}
	previous := ""
	for i, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		if e.What != fmt.Sprintf("act %d", i) || e.Previous != previous {
			t.Errorf("line %d: %+v, want previous %s", i, e, previous)
		}
		sum := sha256.Sum256(line)
		previous = hex.EncodeToString(sum[:])
	}
}

// TestTamperingIsFound changes a log in every way that leaves its head alone.
func TestTamperingIsFound(t *testing.T) {
	lines := func(text string) []string { return strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n") }
	for name, change := range map[string]func(text string) string{
		"a changed line":            func(text string) string { return strings.Replace(text, "act 1", "act X", 1) },
		"a changed first line":      func(text string) string { return strings.Replace(text, "act 0", "act X", 1) },
		"a changed last line":       func(text string) string { return strings.Replace(text, "act 4", "act X", 1) },
		"a line taken out":          func(text string) string { l := lines(text); return l[0] + l[1] + l[3] + l[4] + "\n" },
		"the first line taken out":  func(text string) string { return strings.Join(lines(text)[1:], "") + "\n" },
		"the last line taken out":   func(text string) string { return strings.Join(lines(text)[:4], "") },
		"half of the last line":     func(text string) string { return text[:len(text)-20] },
		"two lines that swap":       func(text string) string { l := lines(text); return l[0] + l[2] + l[1] + l[3] + l[4] + "\n" },
		"a line twice":              func(text string) string { l := lines(text); return text + l[4] + "\n" },
		"an empty file":             func(string) string { return "" },
		"a line that is no JSON":    func(text string) string { return text + "act 5\n" },
		"a line without a previous": func(text string) string { return text + `{"what":"act 5"}` + "\n" },
		"a line that is too long":   func(text string) string { return text + strings.Repeat("x", 2*maxTestLine) },
	} {
		path := written(t, 5)
		text, _ := os.ReadFile(path)
		if err := os.WriteFile(path, []byte(change(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(path, maxTestLine, nil); !errors.Is(err, ErrBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, file := range []func(string) string{func(p string) string { return p }, HeadFile} {
		path := written(t, 5)
		_ = os.Remove(file(path))
		if _, err := Verify(path, maxTestLine, nil); !errors.Is(err, ErrBroken) {
			t.Errorf("%s deleted: %v", filepath.Base(file(path)), err)
		}
	}
}

// TestTamperingStaysFound: what was cut off is missed even after the log was opened again and went on.
func TestTamperingStaysFound(t *testing.T) {
	for name, tamper := range map[string]func(path string){
		"cut":     func(path string) { _ = os.Truncate(path, 200) },
		"emptied": func(path string) { _ = os.Truncate(path, 0) },
		"deleted": func(path string) { _ = os.Remove(path) },
	} {
		path := written(t, 5)
		tamper(path)
		for range 2 {
			l, err := Open(path, maxTestLine)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			add(t, l, "later")
			l.Close()
		}
		if _, err := Verify(path, maxTestLine, nil); !errors.Is(err, ErrBroken) {
			t.Errorf("%s and gone on: %v", name, err)
		}
	}
}

// TestLinesThatWaitGoTogether: lines that come while one is written go to the disk as one group, each is there once and follows from the one
// before, and one that cannot be written is the only one that fails.
func TestLinesThatWaitGoTogether(t *testing.T) {
	path := written(t, 1)
	l, err := Open(path, maxTestLine)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const n = 50
	l.mu.Lock() // a line is being written
	errs := make(chan error, n)
	for i := range n {
		what := fmt.Sprint("together ", i)
		if i == 7 {
			what = strings.Repeat("x", maxTestLine)
		}
		go func() {
			errs <- l.Append(func(previous string) any {
				if l.head.Count != 1 {
					t.Errorf("%s follows %d lines on disk: it waited for others of its group", what, l.head.Count)
				}
				return entry{what, previous}
			})
		}()
	}
	for waiting := 0; waiting < n; time.Sleep(time.Millisecond) {
		l.waitingMu.Lock()
		waiting = len(l.waiting)
		l.waitingMu.Unlock()
	}
	l.mu.Unlock()
	failed := 0
	for range n {
		if err := <-errs; err != nil {
			failed++
		}
	}
	seen := map[string]bool{}
	head, err := Verify(path, maxTestLine, func(line []byte) error {
		var e entry
		err := json.Unmarshal(line, &e)
		seen[e.What] = true
		return err
	})
	if err != nil || failed != 1 || head != l.Head() || head.Count != n || len(seen) != n {
		t.Errorf("%d lines, %d of them different, %d failed, %v", head.Count, len(seen), failed, err)
	}
}

// TestCrash stops a write of two lines at every byte, before and after the head was written: what was acknowledged stays, of the rest each line
// is there whole or not at all, and the chain goes on.
func TestCrash(t *testing.T) {
	path := written(t, 2)
	head, _ := os.ReadFile(HeadFile(path))
	before, _ := os.ReadFile(path)
	l, err := Open(path, maxTestLine)
	if err != nil {
		t.Fatal(err)
	}
	add(t, l, "third")
	whole, _ := os.ReadFile(path)
	add(t, l, "fourth")
	l.Close()
	after, _ := os.ReadFile(path)
	for end := len(before); end <= len(after); end++ {
		_ = os.WriteFile(path, after[:end], 0o600)
		_ = os.WriteFile(HeadFile(path), head, 0o600)
		if _, err := Verify(path, maxTestLine, nil); err != nil {
			t.Fatalf("after %d bytes: %v", end-len(before), err)
		}
		l, err := Open(path, maxTestLine)
		if err != nil {
			t.Fatal(err)
		}
		add(t, l, "next")
		l.Close()
		want := int64(3)
		if end >= len(whole) {
			want++
		}
		if end == len(after) {
			want++
		}
		if got, err := Verify(path, maxTestLine, nil); err != nil || got.Count != want {
			t.Fatalf("after %d bytes of a line: %d lines, want %d; %v", end-len(before), got.Count, want, err)
		}
	}
}

// TestOlderLog: a log without a head gets one when it is opened, and a gap in it is still found.
func TestOlderLog(t *testing.T) {
	path := written(t, 3)
	_ = os.Remove(HeadFile(path))
	l, err := Open(path, maxTestLine)
	if err != nil {
		t.Fatal(err)
	}
	add(t, l, "later")
	if last, err := l.Last(2); err != nil || len(last) != 2 || !bytes.Contains(last[0], []byte("later")) || !bytes.Contains(last[1], []byte("act 2")) {
		t.Errorf("last lines %s, %v", last, err)
	}
	l.Close()
	head, err := Verify(path, maxTestLine, nil)
	if err != nil || head.Count != 4 {
		t.Errorf("%v %v", head, err)
	}
}

// TestAfter reads a log in parts, from an offset on.
func TestAfter(t *testing.T) {
	l, err := Open(written(t, 5), maxTestLine)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	all, err := l.After(0)
	if err != nil || len(all) != 5 {
		t.Fatalf("%d lines, %v", len(all), err)
	}
	rest, err := l.After(all[2].End)
	if err != nil || len(rest) != 2 || !bytes.Equal(rest[0].Data, all[3].Data) {
		t.Errorf("%v, %v", rest, err)
	}
	if none, err := l.After(all[4].End); len(none) != 0 || err != nil {
		t.Errorf("%v, %v", none, err)
	}
}

// TestCutLogGoesOn: where lines are missing at the end, those that come later are read.
func TestCutLogGoesOn(t *testing.T) {
	for _, left := range []int64{0, 1, 200, -1} {
		path := written(t, 5)
		if left < 0 { // a whole line
			text, _ := os.ReadFile(path)
			left = int64(bytes.LastIndexByte(text[:len(text)-1], '\n')) + 1
		}
		if err := os.Truncate(path, left); err != nil {
			t.Fatal(err)
		}
		for n := range 2 {
			l, err := Open(path, maxTestLine)
			if err != nil {
				t.Fatal(err)
			}
			end, later := l.End(), fmt.Sprintf("later %d", n)
			add(t, l, later)
			lines, err := l.After(end)
			if err != nil || len(lines) != 1 || !bytes.Contains(lines[0].Data, []byte(later)) {
				t.Errorf("cut to %d bytes: after %d comes %v, %v", left, end, lines, err)
			}
			if last, err := l.Last(1); err != nil || len(last) != 1 || !bytes.Contains(last[0], []byte(later)) {
				t.Errorf("cut to %d bytes: the last is %q, %v", left, last, err)
			}
			l.Close()
		}
	}
}

// TestSyncFails: what the disk did not take is not there later, and what was acknowledged is, in one chain.
func TestSyncFails(t *testing.T) {
	path := written(t, 2)
	l, err := Open(path, maxTestLine)
	if err != nil {
		t.Fatal(err)
	}
	l.sync = func() error { return errors.New("the disk is full") }
	for _, what := range []string{"refused", "refused too"} {
		if err := l.Append(func(previous string) any { return entry{what, previous} }); err == nil {
			t.Errorf("%s was acknowledged", what)
		}
	}
	l.sync = l.file.Sync
	add(t, l, "taken")
	l.Close()
	if l, err = Open(path, maxTestLine); err != nil {
		t.Fatal(err)
	}
	add(t, l, "next")
	l.Close()
	var got []string
	_, err = Verify(path, maxTestLine, func(line []byte) error {
		var e entry
		got = append(got, string(line))
		return json.Unmarshal(line, &e)
	})
	if text := strings.Join(got, ""); err != nil || len(got) != 4 || strings.Contains(text, "refused") || !strings.Contains(text, "taken") || !strings.Contains(text, "next") {
		t.Errorf("%q, %v", got, err)
	}
}

func FuzzVerify(f *testing.F) {
	good, _ := os.ReadFile(written(f, 2))
	f.Add(good, []byte(`{"count":2,"bytes":200,"last":""}`))
	f.Add([]byte("{}\n"), []byte("{}"))
	f.Fuzz(func(t *testing.T, text, head []byte) {
		path := filepath.Join(t.TempDir(), "log")
		_ = os.WriteFile(path, text, 0o600)
		_ = os.WriteFile(HeadFile(path), head, 0o600)
		got, err := Verify(path, maxTestLine, nil)
		if err == nil && got.Bytes > int64(len(text)) {
			t.Errorf("%d bytes of %d are whole", got.Bytes, len(text))
		}
		l, err := Open(path, maxTestLine)
		if err != nil {
			return
		}
		defer l.Close()
		end := l.End()
		if err := l.Append(func(previous string) any { return entry{"next", previous} }); err != nil {
			return
		}
		if lines, err := l.After(end); err != nil || len(lines) != 1 || !bytes.Contains(lines[0].Data, []byte("next")) || lines[0].End != l.End() {
			t.Errorf("behind %d: %v, %v", end, lines, err)
		}
	})
}
