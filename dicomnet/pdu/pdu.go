package pdu

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Type is the first byte of a PDU (PS3.8, section 9.3.1).
type Type byte

// PDU types.
const (
	TypeAssociateRQ Type = 1
	TypeAssociateAC Type = 2
	TypeAssociateRJ Type = 3
	TypeDataTF      Type = 4
	TypeReleaseRQ   Type = 5
	TypeReleaseRP   Type = 6
	TypeAbort       Type = 7
)

// Limits on what a peer may send.
const (
	// MaxAssociateLength bounds A-ASSOCIATE PDUs: 128 contexts with every transfer syntax there is need under 200 KiB.
	MaxAssociateLength = 256 << 10
	// MaxContexts is the number of odd presentation context identifiers (PS3.8, section 7.1.1.13).
	MaxContexts = 128
	// MaxTransferSyntaxes bounds those offered for one context; the standard knows under 60.
	MaxTransferSyntaxes = 128
	// HeaderLength is type, reserved byte and length.
	HeaderLength = 6
	// DataHeaderLength is a presentation data value's length, context and control header.
	DataHeaderLength = 6
)

// ErrUnrecognised marks a PDU of a type that PS3.8 does not know.
var ErrUnrecognised = errors.New("pdu: unrecognised PDU type")

// FormatError is a PDU that breaks PS3.8: what and where.
type FormatError struct{ What string }

// Error implements error.
func (e *FormatError) Error() string { return "pdu: " + e.What }

func malformed(format string, args ...any) error { return &FormatError{fmt.Sprintf(format, args...)} }

// PDU is one of the seven kinds.
type PDU interface {
	// AppendTo appends the encoded PDU.
	AppendTo(b []byte) []byte
}

// AssociateRJ is A-ASSOCIATE-RJ (section 9.3.4).
type AssociateRJ struct{ Result, Source, Reason byte }

// ReleaseRQ is A-RELEASE-RQ (section 9.3.6).
type ReleaseRQ struct{}

// ReleaseRP is A-RELEASE-RP (section 9.3.7).
type ReleaseRP struct{}

// Abort is A-ABORT (section 9.3.8).
type Abort struct{ Source, Reason byte }

// DataTF is P-DATA-TF (section 9.3.5).
type DataTF struct{ Values []DataValue }

// DataValue is a presentation data value: a fragment of a command or of a data set (PS3.8, annex E).
type DataValue struct {
	ContextID byte
	Command   bool
	Last      bool
	Data      []byte
}

// Read reads one PDU. A P-DATA-TF longer than maxData, or an A-ASSOCIATE longer than MaxAssociateLength, is refused unread. The
// fragments of a P-DATA-TF share buf, which grows to maxData at most and is returned for the next call.
func Read(r io.Reader, maxData uint32, buf []byte) (PDU, []byte, error) {
	var header [HeaderLength]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, buf, err
	}
	kind, length := Type(header[0]), binary.BigEndian.Uint32(header[2:])
	limit := uint32(4)
	switch kind {
	case TypeDataTF:
		limit = maxData
	case TypeAssociateRQ, TypeAssociateAC:
		limit = MaxAssociateLength
	case TypeAssociateRJ, TypeReleaseRQ, TypeReleaseRP, TypeAbort:
	default:
		return nil, buf, fmt.Errorf("%w %#02x", ErrUnrecognised, header[0])
	}
	if length > limit {
		return nil, buf, malformed("PDU type %d of %d bytes, at most %d are taken", kind, length, limit)
	}
	if limit == 4 && length != 4 {
		return nil, buf, malformed("PDU type %d of %d bytes, want 4", kind, length)
	}
	if uint32(cap(buf)) < length {
		buf = make([]byte, length)
	}
	body := buf[:length]
	if _, err := io.ReadFull(r, body); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, buf, err
	}
	p, err := decode(kind, body)
	return p, buf, err
}

func decode(kind Type, body []byte) (PDU, error) {
	switch kind {
	case TypeAssociateRQ, TypeAssociateAC:
		return decodeAssociate(kind, body)
	case TypeAssociateRJ:
		return &AssociateRJ{body[1], body[2], body[3]}, nil
	case TypeReleaseRQ:
		return &ReleaseRQ{}, nil
	case TypeReleaseRP:
		return &ReleaseRP{}, nil
	case TypeAbort:
		return &Abort{body[2], body[3]}, nil
	}
	return decodeData(body)
}

func decodeData(body []byte) (*DataTF, error) {
	p := new(DataTF)
	for len(body) > 0 {
		if len(body) < DataHeaderLength {
			return nil, malformed("P-DATA-TF ends inside a presentation data value's header")
		}
		length := binary.BigEndian.Uint32(body)
		if length < 2 || uint64(length) > uint64(len(body)-4) {
			return nil, malformed("presentation data value of %d bytes with %d left", length, len(body)-4)
		}
		id, control := body[4], body[5]
		if id%2 == 0 {
			return nil, malformed("presentation context identifier %d is even", id)
		}
		p.Values = append(p.Values, DataValue{id, control&1 != 0, control&2 != 0, body[DataHeaderLength : 4+length]})
		body = body[4+length:]
	}
	if len(p.Values) == 0 {
		return nil, malformed("P-DATA-TF without a presentation data value")
	}
	return p, nil
}

func appendHeader(b []byte, kind Type, length int) []byte {
	return binary.BigEndian.AppendUint32(append(b, byte(kind), 0), uint32(length))
}

// AppendTo implements PDU.
func (p *AssociateRJ) AppendTo(b []byte) []byte {
	return append(appendHeader(b, TypeAssociateRJ, 4), 0, p.Result, p.Source, p.Reason)
}

// AppendTo implements PDU.
func (p *ReleaseRQ) AppendTo(b []byte) []byte {
	return append(appendHeader(b, TypeReleaseRQ, 4), 0, 0, 0, 0)
}

// AppendTo implements PDU.
func (p *ReleaseRP) AppendTo(b []byte) []byte {
	return append(appendHeader(b, TypeReleaseRP, 4), 0, 0, 0, 0)
}

// AppendTo implements PDU.
func (p *Abort) AppendTo(b []byte) []byte {
	return append(appendHeader(b, TypeAbort, 4), 0, 0, p.Source, p.Reason)
}

// PutDataHeader writes the first bytes of b, HeaderLength and DataHeaderLength together, for a P-DATA-TF with one fragment of a data
// set of n bytes, which follow.
func PutDataHeader(b []byte, contextID byte, last bool, n int) {
	control := byte(0)
	if last {
		control = 2
	}
	b[0], b[1] = byte(TypeDataTF), 0
	binary.BigEndian.PutUint32(b[2:], uint32(DataHeaderLength+n))
	binary.BigEndian.PutUint32(b[6:], uint32(2+n))
	b[10], b[11] = contextID, control
}

// AppendTo implements PDU.
func (p *DataTF) AppendTo(b []byte) []byte {
	length := 0
	for _, v := range p.Values {
		length += DataHeaderLength + len(v.Data)
	}
	b = appendHeader(b, TypeDataTF, length)
	for _, v := range p.Values {
		b = binary.BigEndian.AppendUint32(b, uint32(2+len(v.Data)))
		control := byte(0)
		if v.Command {
			control |= 1
		}
		if v.Last {
			control |= 2
		}
		b = append(append(b, v.ContextID, control), v.Data...)
	}
	return b
}
