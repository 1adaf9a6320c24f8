package daemon

import (
	"context"
	"errors"
	"testing"
	"time"

	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/pixel"
	"llamaxr/study"
)

// TestLargePicturesTakeTurns: of two pictures of the greatest size one waits for the other, whatever larger one a header claims; usual ones are
// decoded side by side.
func TestLargePicturesTakeTurns(t *testing.T) {
	room := newPictureRoom()
	take := func(rows, columns int) (func(), error) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		return room.take(ctx, &dicomfile.File{Header: study.Header{Rows: rows, Columns: columns, BitsAllocated: 16}})
	}
	var usual []func()
	for range 8 {
		give, err := take(3000, 3000)
		if err != nil {
			t.Fatalf("usual picture %d: %v", len(usual), err)
		}
		usual = append(usual, give)
	}
	if _, err := take(16384, 8192); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a large one beside usual ones: %v", err)
	}
	for _, give := range usual {
		give()
	}
	give, err := take(65535, 65535) // pixel refuses it, but only later
	if err != nil {
		t.Fatal(err)
	}
	if _, err := take(16384, 8192); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("two large ones: %v", err)
	}
	give()
	if give, err = take(16384, 8192); err != nil || pixel.MaxBytes != 2*16384*8192 {
		t.Fatal(err)
	}
	give()
}
