package daemon

import (
	"context"
	"errors"
	"os"
	"testing"

	"llamaxr/dicomnet/part10"
	"llamaxr/ingest"
	"llamaxr/ingest/pairing/viewnet"
	"llamaxr/ingest/spool"
	"llamaxr/internal/peertest"
	"llamaxr/queue"
)

// TestAStopSaysNothingOfAPicture: a picture that is being decoded when the appliance stops is looked at by the next start, and not one that
// cannot be read for ever after.
func TestAStopSaysNothingOfAPicture(t *testing.T) {
	a := withLedger(t)
	var err error
	if a.spool, err = spool.Open(t.TempDir(), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.spool.Close() })
	if a.views, err = viewnet.Shipped(); err != nil {
		t.Fatal(err)
	}
	a.receiver, a.pictures = a.newReceiver(), newPictureRoom()
	file, err := os.Open(peertest.SharedData(t, "dicom/radiographs/RG1_JLSN.dcm"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	meta, err := part10.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Seek(meta.Length, 0); err != nil {
		t.Fatal(err)
	}
	in := ingest.Incoming{SOPClassUID: meta.SOPClassUID, SOPInstanceUID: meta.SOPInstanceUID, TransferSyntaxUID: meta.TransferSyntaxUID}
	in.Head = part10.Encode(*meta, "1.2.3", "TEST")
	if _, err := a.receiver.Receive(in, file); err != nil {
		t.Fatal(err)
	}
	stopping, stop := context.WithCancel(t.Context())
	stop()
	lease, err := a.db.Lease(t.Context(), leaseTime, kindExamine)
	if err != nil {
		t.Fatal(err)
	}
	examine := func(ctx context.Context) (*queue.Examination, error) {
		err := a.examine(ctx, lease)
		i, ledgerErr := a.instance(meta.SOPInstanceUID)
		if ledgerErr != nil || i == nil {
			t.Fatal(i, ledgerErr)
		}
		return i.Examined, err
	}
	if looked, err := examine(stopping); !errors.Is(err, context.Canceled) || looked != nil {
		t.Fatalf("while it stops: %+v, %v", looked, err)
	}
	if looked, err := examine(t.Context()); err != nil || looked == nil || looked.Reason != "" {
		t.Errorf("the next start: %+v, %v", looked, err)
	}
}
