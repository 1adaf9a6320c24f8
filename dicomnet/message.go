package dicomnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"llamaxr/dicomnet/dimse"
	"llamaxr/dicomnet/pdu"
)

// value returns the next presentation data value, or the PDU that came instead of one.
func (c *conn) value(wait time.Duration) (pdu.DataValue, pdu.PDU, error) {
	for len(c.queue) == 0 {
		p, err := c.read(wait)
		if err != nil {
			return pdu.DataValue{}, nil, err
		}
		data, ok := p.(*pdu.DataTF)
		if !ok {
			return pdu.DataValue{}, p, nil
		}
		c.queue = data.Values
	}
	v := c.queue[0]
	c.queue = c.queue[1:]
	return v, nil, nil
}

// command reads a whole command set; other is a PDU that came instead, which is a release.
func (c *conn) command(wait time.Duration) (cmd *dimse.Command, contextID byte, other pdu.PDU, err error) {
	var data []byte
	var until time.Time // for the whole command, from its first fragment
	for first := true; ; first = false {
		if !first {
			wait = time.Until(until)
		}
		v, other, err := c.value(wait)
		if err != nil || other != nil {
			return nil, 0, other, err
		}
		switch {
		case !v.Command:
			return nil, 0, nil, c.invalid(reasonUnexpectedParam, errors.New("a data set fragment where a command was due"))
		case !first && v.ContextID != contextID:
			return nil, 0, nil, c.invalid(reasonUnexpectedParam, errors.New("a command set over two presentation contexts"))
		case len(data)+len(v.Data) > dimse.MaxCommandLength:
			return nil, 0, nil, c.invalid(reasonInvalidParam, fmt.Errorf("a command set of more than %d bytes", dimse.MaxCommandLength))
		}
		contextID = v.ContextID
		data = append(data, v.Data...)
		if v.Last {
			break
		}
		if first {
			until = time.Now().Add(c.timeout)
		}
	}
	cmd, err = dimse.Decode(data)
	if err != nil {
		c.abort() // the PDU was sound: it is the service user that cannot go on
		return nil, 0, nil, &protocolError{err}
	}
	return cmd, contextID, nil, nil
}

// dataSet streams the fragments of a data set.
type dataSet struct {
	c         *conn
	contextID byte
	rest      []byte
	last      bool
	err       error
	received  int64
	limit     int64         // of received; beyond it reading fails, though the association goes on
	waited    time.Duration // for the peer; what the session does with the data is not the peer's time
}

// fill makes rest hold something, or returns why there is nothing more.
func (d *dataSet) fill() error {
	if d.received > d.limit {
		return d.tooLong()
	}
	for len(d.rest) == 0 {
		if d.err != nil {
			return d.err
		}
		if d.last {
			return io.EOF
		}
		begun := time.Now()
		v, other, err := d.c.value(d.c.timeout)
		d.waited += time.Since(begun)
		d.received += int64(len(v.Data))
		d.c.keepPace(len(v.Data))
		switch {
		case err != nil:
			d.err = err
		case d.waited > d.c.timeout+time.Duration(d.received/minRate)*time.Second:
			d.c.abort()
			d.err = ErrSilent
		case other != nil || v.Command || v.ContextID != d.contextID:
			d.err = d.c.invalid(reasonUnexpectedParam, errors.New("the data set was broken off by something else"))
		default:
			d.rest, d.last = v.Data, v.Last
			if d.received > d.limit {
				return d.tooLong()
			}
		}
	}
	return nil
}

// tooLong is the status of an object over the limit, nil for others.
func (d *dataSet) tooLong() error {
	if d.received <= d.limit {
		return nil
	}
	return &dimse.StatusError{Status: dimse.OutOfResources, Comment: fmt.Sprintf("object of more than %d bytes", d.limit)}
}

// Read implements io.Reader.
func (d *dataSet) Read(b []byte) (int, error) {
	if err := d.fill(); err != nil {
		return 0, err
	}
	n := copy(b, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// WriteTo implements io.WriterTo: fragments go out as they came, uncopied.
func (d *dataSet) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		if err := d.fill(); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return total, err
		}
		n, err := w.Write(d.rest)
		total += int64(n)
		d.rest = d.rest[n:]
		if err != nil {
			return total, err
		}
	}
}

// send writes a command and, when data is not nil, its data set, in fragments that fit the peer's P-DATA-TF.
func (c *conn) send(ctx context.Context, contextID byte, cmd *dimse.Command, data io.Reader) error {
	room := (int(c.maxWrite) - pdu.DataHeaderLength) &^ 1 // fragments are even (PS3.8, annex E.2)
	command := cmd.Encode()
	for len(command) > 0 {
		n := min(len(command), room)
		v := pdu.DataValue{ContextID: contextID, Command: true, Last: n == len(command), Data: command[:n]}
		if err := c.do(evtDataRequest, &pdu.DataTF{Values: []pdu.DataValue{v}}); err != nil {
			return err
		}
		command = command[n:]
	}
	if data == nil {
		return nil
	}
	return c.sendData(ctx, contextID, data, room)
}

// sendData writes a data set. One fragment is read ahead, so that the last is known when it is sent; the reader fills the PDU in place.
func (c *conn) sendData(ctx context.Context, contextID byte, data io.Reader, room int) error {
	const head = pdu.HeaderLength + pdu.DataHeaderLength
	if c.fragments[0] == nil {
		c.fragments = [2][]byte{make([]byte, head+room), make([]byte, head+room)}
	}
	current, ahead := c.fragments[0], c.fragments[1]
	n, err := readFragment(data, current[head:])
	for err == nil {
		var next int
		last := n < room
		if !last {
			if next, err = readFragment(data, ahead[head:]); err != nil {
				break
			}
			last = next == 0
		}
		if ctx.Err() != nil {
			c.abort()
			return fmt.Errorf("sending a data set: %w", context.Cause(ctx))
		}
		if _, err := c.on(evtDataRequest); err != nil {
			return err
		}
		pdu.PutDataHeader(current, contextID, last, n)
		if err := c.write(current[:head+n]); err != nil {
			return err
		}
		if last {
			return nil
		}
		current, ahead, n = ahead, current, next
	}
	c.abort() // half an object is none
	return fmt.Errorf("reading a data set to send: %w", err)
}

// readFragment fills b; it reads less at the end only. Not io.ReadFull: a reader whose own source is cut short says
// io.ErrUnexpectedEOF, and that is no end.
func readFragment(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = r.Read(b[n:])
		n += m
	}
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}
