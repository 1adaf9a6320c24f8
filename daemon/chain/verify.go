package chain

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrBroken is returned for a log that is not what was written.
var ErrBroken = errors.New("the log is not what was written")

// Verify reads a log from its beginning, holds every line against the one before and all against the head, and returns the head; visit, when
// not nil, is told each line while the chain holds. A log that is missing with its head has no lines. It may run while lines are appended.
func Verify(path string, maxLine int, visit func(line []byte) error) (Head, error) {
	name := filepath.Base(path)
	broken := func(format string, args ...any) error {
		return fmt.Errorf("chain: %s: %w: "+format, append([]any{name, ErrBroken}, args...)...)
	}
	head, err := readHead(path) // before the lines: they may only grow
	if err != nil {
		return Head{}, fmt.Errorf("chain: %s: %w", name, err)
	}
	file, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && (head == nil || head.Count == 0):
		return Head{}, nil
	case errors.Is(err, fs.ErrNotExist):
		return Head{}, broken("the file is gone; it had %d entries", head.Count)
	case err != nil:
		return Head{}, fmt.Errorf("chain: %w", err)
	}
	defer file.Close()
	var at Head
	lines := bufio.NewReaderSize(file, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF): // a rest without an end is being written, or was cut off by a crash: the head does not count it
			return at, complete(at, head, len(line) > 0, broken)
		case errors.Is(err, bufio.ErrBufferFull):
			return at, broken("line %d is longer than %d bytes", at.Count+1, maxLine)
		case err != nil:
			return at, fmt.Errorf("chain: %s: %w", name, err)
		}
		line = bytes.TrimSuffix(line, []byte{'\n'})
		if err := follows(line, at.Last); err != nil {
			return at, broken("line %d: %v", at.Count+1, err)
		}
		at = at.next(line)
		if head != nil && at.Count == head.Count && at != *head {
			return at, broken("line %d is not the one that the head names", at.Count)
		}
		if visit != nil {
			if err := visit(line); err != nil {
				return at, err
			}
		}
	}
}

// complete says whether all that the head counts was there.
func complete(at Head, head *Head, rest bool, broken func(string, ...any) error) error {
	switch {
	case head == nil && (at.Count > 0 || rest):
		return broken("its head is gone, or an older program wrote it and this one has not run on it: nothing says whether lines are missing at the end")
	case head != nil && at.Count < head.Count:
		return broken("%d entries are missing at the end: there are %d of %d", head.Count-at.Count, at.Count, head.Count)
	}
	return nil
}
