package main

import (
	"bytes"
	"io"
	"log/slog"
	"testing"
)

// TestJournalLines: each line begins with its level by sd-daemon(3) and has no time.
func TestJournalLines(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(newJournalHandler(&out, slog.HandlerOptions{Level: slog.LevelDebug}, func(w io.Writer, o *slog.HandlerOptions) slog.Handler {
		return slog.NewTextHandler(w, o)
	}))
	log.Error("a")
	log.With("k", 1).Warn("b")
	log.WithGroup("g").Info("c", "time", "kept")
	log.Debug("d")
	const want = "<3>level=ERROR msg=a\n<4>level=WARN msg=b k=1\n<6>level=INFO msg=c g.time=kept\n<7>level=DEBUG msg=d\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}
