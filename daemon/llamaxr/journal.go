package main

import (
	"context"
	"io"
	"log/slog"
	"sync"
)

// journalHandler begins each line with its level as the journal reads it, <3> for an error (sd-daemon(3)), so that `journalctl -p err` finds
// it. The time is left out: the journal has its own.
type journalHandler struct {
	slog.Handler
	out *journalLines
}

// newJournalHandler wraps the handler that make builds, which must write each record by one Write.
func newJournalHandler(w io.Writer, options slog.HandlerOptions, build func(io.Writer, *slog.HandlerOptions) slog.Handler) slog.Handler {
	options.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	out := &journalLines{w: w}
	return journalHandler{build(out, &options), out}
}

// Handle implements slog.Handler.
func (h journalHandler) Handle(ctx context.Context, r slog.Record) error {
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	switch {
	case r.Level >= slog.LevelError:
		h.out.level = "<3>"
	case r.Level >= slog.LevelWarn:
		h.out.level = "<4>"
	case r.Level >= slog.LevelInfo:
		h.out.level = "<6>"
	default:
		h.out.level = "<7>"
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return journalHandler{h.Handler.WithAttrs(attrs), h.out}
}

// WithGroup implements slog.Handler.
func (h journalHandler) WithGroup(name string) slog.Handler {
	return journalHandler{h.Handler.WithGroup(name), h.out}
}

// journalLines writes lines with a level before them.
type journalLines struct {
	mu    sync.Mutex // held by who sets level until his line is written
	level string
	w     io.Writer
}

// Write implements io.Writer.
func (l *journalLines) Write(line []byte) (int, error) {
	if _, err := l.w.Write(append([]byte(l.level), line...)); err != nil {
		return 0, err
	}
	return len(line), nil
}
