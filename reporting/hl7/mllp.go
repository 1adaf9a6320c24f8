package hl7

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// Bytes of a frame: <VT> message <FS> <CR>.
const (
	frameStart = 0x0B
	frameEnd   = 0x1C
	frameClose = 0x0D
)

// ErrFrame is returned for bytes that are no MLLP frame.
var ErrFrame = errors.New("hl7: not an MLLP frame")

// WriteFrame sends one message.
func WriteFrame(w io.Writer, message []byte) error {
	frame := make([]byte, 0, len(message)+3)
	frame = append(frame, frameStart)
	frame = append(frame, message...)
	frame = append(frame, frameEnd, frameClose)
	_, err := w.Write(frame)
	return err
}

// ReadFrame reads one message of at most limit bytes. Line ends between frames are passed over. It returns io.EOF when the peer closed between
// two messages. begun, when not nil, is told of the first byte.
func ReadFrame(r *bufio.Reader, limit int, begun func()) ([]byte, error) {
	for {
		c, err := r.ReadByte()
		if err != nil {
			return nil, err
		}
		if c == frameStart {
			break
		}
		if c != '\r' && c != '\n' {
			return nil, fmt.Errorf("%w: it begins with byte %#02x", ErrFrame, c)
		}
	}
	if begun != nil {
		begun()
	}
	var message []byte
	for {
		c, err := r.ReadByte()
		if err != nil {
			return nil, unexpected(err)
		}
		if c != frameEnd {
			if len(message) == limit {
				return nil, fmt.Errorf("%w: longer than %d bytes", ErrFrame, limit)
			}
			message = append(message, c)
			continue
		}
		if c, err = r.ReadByte(); err != nil {
			return nil, unexpected(err)
		}
		if c != frameClose {
			return nil, fmt.Errorf("%w: byte %#02x after its end", ErrFrame, c)
		}
		return message, nil
	}
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
