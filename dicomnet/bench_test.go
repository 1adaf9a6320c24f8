package dicomnet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"llamaxr/dicomnet/dimse"
	"llamaxr/dicomnet/pdu"
)

// sizes are those of a CR image and of a small object.
var sizes = map[string]int{"10MB": 10 << 20, "0.5MB": 512 << 10}

// BenchmarkSend is the sender alone: the other side looks at headers only and throws the rest away.
func BenchmarkSend(b *testing.B) {
	for name, size := range sizes {
		b.Run(name, func(b *testing.B) {
			a, err := Client{CallingAETitle: "X", CalledAETitle: "SINK"}.Dial(b.Context(), blindSink(b), crContexts)
			if err != nil {
				b.Fatal(err)
			}
			object := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := a.Store(b.Context(), StoreRequest{SOPClassUID: crClass, SOPInstanceUID: "1.2.3"}, bytes.NewReader(object)); err != nil {
					b.Fatal(err)
				}
			}
			a.Abort()
		})
	}
}

// blindSink accepts an association of one context, answers every object with success and reads no further than headers.
func blindSink(b *testing.B) (address string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { listener.Close() })
	go func() {
		nc, err := listener.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		if _, _, err := pdu.Read(nc, 0, nil); err != nil {
			return
		}
		_, _ = nc.Write((&pdu.Associate{
			Accept: true, Contexts: []pdu.Context{{ID: 1, TransferSyntaxes: []string{ExplicitVRLittleEndian}}},
			User: pdu.UserInformation{MaximumLength: DefaultMaxPDULength},
		}).AppendTo(nil))
		head, body := make([]byte, pdu.HeaderLength+pdu.DataHeaderLength), make([]byte, DefaultMaxPDULength)
		message := uint16(0)
		for {
			if _, err := io.ReadFull(nc, head); err != nil || pdu.Type(head[0]) != pdu.TypeDataTF {
				return
			}
			if _, err := io.ReadFull(nc, body[:binary.BigEndian.Uint32(head[2:])-pdu.DataHeaderLength]); err != nil {
				return
			}
			if head[11] == 2 { // the last fragment of a data set
				message++
				_, _ = nc.Write(command(&dimse.Command{Field: dimse.StoreRSP, RespondedTo: message, DataSetType: dimse.NoDataSet}))
			}
		}
	}()
	return listener.Addr().String()
}

// BenchmarkReceive is the receiver alone, for a sender that has all its bytes ready.
func BenchmarkReceive(b *testing.B) {
	for name, size := range sizes {
		b.Run(name, func(b *testing.B) {
			got := newSink()
			port, _ := start(b, func(s *Server) { s.AnyCalled, s.NewSession = true, got.open })
			nc, err := net.Dial("tcp", "127.0.0.1:"+port)
			if err != nil {
				b.Fatal(err)
			}
			request := &pdu.Associate{Called: "A", Calling: "B", Contexts: []pdu.Context{
				{ID: 1, AbstractSyntax: crClass, TransferSyntaxes: []string{ExplicitVRLittleEndian}},
			}}
			_, _ = nc.Write(request.AppendTo(nil))
			if _, _, err := pdu.Read(nc, 0, nil); err != nil {
				b.Fatal(err)
			}
			stream := storeCommand()
			const room = DefaultMaxPDULength - pdu.DataHeaderLength
			for left := size; left > 0; left -= room {
				n := min(left, room)
				head := make([]byte, pdu.HeaderLength+pdu.DataHeaderLength)
				pdu.PutDataHeader(head, 1, n == left, n)
				stream = append(append(stream, head...), make([]byte, n)...)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := nc.Write(stream); err != nil {
					b.Fatal(err)
				}
				if _, _, err := pdu.Read(nc, 4096, nil); err != nil {
					b.Fatal(err)
				}
			}
			nc.Close()
			if want := int64(b.N); got.objects.Load() < want {
				b.Errorf("%d objects received, %d sent", got.objects.Load(), want)
			}
		})
	}
}

// BenchmarkBoth is our sender to our receiver, on one association and on many at once.
func BenchmarkBoth(b *testing.B) {
	for name, size := range sizes {
		for _, associations := range []int{1, 8, 50} {
			b.Run(fmt.Sprintf("%s/%d", name, associations), func(b *testing.B) {
				got := newSink()
				port, _ := start(b, func(s *Server) { s.AnyCalled, s.NewSession = true, got.open })
				object, work := make([]byte, size), make(chan bool)
				var wg sync.WaitGroup
				for range associations {
					a, err := Client{CallingAETitle: "X", CalledAETitle: "Y"}.Dial(b.Context(), "127.0.0.1:"+port, crContexts)
					if err != nil {
						b.Fatal(err)
					}
					wg.Go(func() {
						for range work {
							if err := a.Store(b.Context(), StoreRequest{SOPClassUID: crClass, SOPInstanceUID: "1.2.3"}, bytes.NewReader(object)); err != nil {
								b.Error(err)
							}
						}
						_ = a.Release()
					})
				}
				b.SetBytes(int64(size))
				b.ResetTimer()
				for range b.N {
					work <- true
				}
				close(work)
				wg.Wait()
			})
		}
	}
}
