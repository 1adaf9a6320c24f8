package dicomnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"time"

	"llamaxr/dicomnet/dimse"
)

// Storage Commitment Push Model (PS3.4, annex J): its SOP class and the one instance that everybody means.
const (
	StorageCommitment         = "1.2.840.10008.1.20.1"
	StorageCommitmentInstance = "1.2.840.10008.1.20.1.1"
)

// maxIdentifier bounds in bytes a data set that is held whole: an identifier, a commitment request or its result. A reference to an
// instance takes about 150 bytes.
const maxIdentifier = 4 << 20

// reportPause is how long the peer must say nothing before it is told the outcome of its N-ACTION on the same association: one that
// wants to release asks for that at once.
const reportPause = time.Second

// Notification is what N-ACTION and N-EVENT-REPORT have in common: a type, as the SOP class numbers them, about an instance.
type Notification struct {
	SOPClassUID       string
	SOPInstanceUID    string
	Type              uint16 // Action Type ID or Event Type ID
	TransferSyntaxUID string // of the data set that goes with it
}

// Report is an N-EVENT-REPORT to be sent.
type Report struct {
	Notification
	Data []byte
	// Prepare, unless it is nil, sets Type and Data just before an acceptor sends the report: to find out what it says may take long.
	Prepare func(ctx context.Context, r *Report) error
	// Done is told what became of it: nil when the peer took it, a *dimse.StatusError when it answered otherwise.
	Done func(error)
}

// ActionSession is a Session that takes N-ACTION. The report that it returns, if any, is sent on the same association unless the peer
// ends it first; Done is called in either case.
type ActionSession interface {
	Session
	Action(ctx context.Context, action *Notification, data io.Reader) (*Report, error)
}

// EventSession is a Session that takes N-EVENT-REPORT.
type EventSession interface {
	Session
	Event(ctx context.Context, event *Notification, data io.Reader) error
}

// reports are the N-EVENT-REPORTs that an acceptor owes its peer: one at a time is on its way (PS3.7, annex D.3.3.3).
type reports struct {
	c       *conn
	waiting []owed
	sent    *owed
	message uint16
}

type owed struct {
	contextID byte
	report    *Report
}

// due reports whether it is time for the next: none is unanswered, and the peer has been quiet.
func (r *reports) due() bool {
	return len(r.waiting) > 0 && r.sent == nil && !r.c.arrives(reportPause)
}

// send sends the next.
func (r *reports) send(ctx context.Context) error {
	next := r.waiting[0]
	r.waiting, r.sent = r.waiting[1:], &next
	if next.report.Prepare != nil {
		if err := next.report.Prepare(ctx, next.report); err != nil {
			r.sent = nil
			next.report.Done(err)
			return nil
		}
	}
	r.message++
	return r.c.send(ctx, next.contextID, next.report.command(r.message), bytes.NewReader(next.report.Data))
}

// answered takes the response to the one that is on its way; it reports false for any other response.
func (r *reports) answered(cmd *dimse.Command) bool {
	if r.sent == nil || cmd.Field != dimse.EventReportRSP || cmd.RespondedTo != r.message {
		return false
	}
	r.sent.report.Done(statusOf(cmd))
	r.sent = nil
	return true
}

// lost tells those that were not answered.
func (r *reports) lost() {
	if r.sent != nil {
		r.waiting = append(r.waiting, *r.sent)
	}
	for _, o := range r.waiting {
		o.report.Done(ErrEnded)
	}
}

// command is the request that carries the report.
func (r *Report) command(message uint16) *dimse.Command {
	return &dimse.Command{
		Field: dimse.EventReportRQ, MessageID: message, DataSetType: dimse.WithDataSet, AffectedSOPClassUID: r.SOPClassUID,
		AffectedSOPInstanceUID: r.SOPInstanceUID, EventTypeID: r.Type,
	}
}

// statusOf is nil for success.
func statusOf(cmd *dimse.Command) error {
	if cmd.Status == dimse.Success {
		return nil
	}
	return &dimse.StatusError{Status: cmd.Status, Comment: cmd.ErrorComment}
}

// arrives reports whether the peer says anything within wait, its end too; nothing of it is taken.
func (c *conn) arrives(wait time.Duration) bool {
	if len(c.queue) > 0 || c.peeked {
		return true
	}
	c.readBy(time.Now().Add(wait))
	n, err := c.Conn.Read(c.first[:])
	c.peeked = n > 0
	return c.peeked || c.interrupted.Load() || !errors.Is(err, os.ErrDeadlineExceeded)
}

// skip reads what is left of a data set that nobody wants.
func (c *conn) skip(data *dataSet) error {
	data.limit = math.MaxInt64
	skipped, broken := io.Copy(io.Discard, io.LimitReader(data, maxSkipped))
	switch {
	case broken != nil:
		return broken
	case skipped == maxSkipped:
		c.abort()
		return &protocolError{fmt.Errorf("an object that was answered goes on for more than %d bytes", int64(maxSkipped))}
	}
	return nil
}

// notification is what an N-service request says of itself.
func notification(cmd *dimse.Command, agreed agreed) *Notification {
	if cmd.Field == dimse.ActionRQ {
		return &Notification{cmd.RequestedSOPClassUID, cmd.RequestedSOPInstanceUID, cmd.ActionTypeID, agreed.transferSyntax}
	}
	return &Notification{cmd.AffectedSOPClassUID, cmd.AffectedSOPInstanceUID, cmd.EventTypeID, agreed.transferSyntax}
}

// notify has the session take an N-ACTION or N-EVENT-REPORT.
func notify(ctx context.Context, session Session, n *Notification, cmd *dimse.Command, data io.Reader) (*Report, error) {
	if n.SOPClassUID == Verification || storageClasses[n.SOPClassUID] != "" {
		return nil, &dimse.StatusError{Status: dimse.UnrecognisedOperation, Comment: "not an operation of the SOP class"}
	}
	switch cmd.Field {
	case dimse.ActionRQ:
		if s, ok := session.(ActionSession); ok {
			return s.Action(ctx, n, data)
		}
	case dimse.EventReportRQ:
		if s, ok := session.(EventSession); ok {
			return nil, s.Event(ctx, n, data)
		}
	}
	return nil, &dimse.StatusError{Status: dimse.UnrecognisedOperation, Comment: "operation is not provided"}
}

// Action sends N-ACTION. A status other than success is a *dimse.StatusError.
func (a *Association) Action(ctx context.Context, action Notification, data []byte) error {
	id, ok := a.context(action.SOPClassUID, action.TransferSyntaxUID)
	if !ok {
		return ErrNotAccepted
	}
	return a.request(ctx, id, &dimse.Command{
		Field: dimse.ActionRQ, DataSetType: dimse.WithDataSet, RequestedSOPClassUID: action.SOPClassUID,
		RequestedSOPInstanceUID: action.SOPInstanceUID, ActionTypeID: action.Type,
	}, bytes.NewReader(data))
}

// Report sends N-EVENT-REPORT, as the provider of a SOP class that was proposed with Provide. Done is not called.
func (a *Association) Report(ctx context.Context, report Report) error {
	id, ok := a.context(report.SOPClassUID, report.TransferSyntaxUID)
	if !ok {
		return ErrNotAccepted
	}
	return a.request(ctx, id, report.command(0), bytes.NewReader(report.Data))
}

// TransferSyntax is the one that the peer chose for a SOP class, empty when it did not accept the class.
func (a *Association) TransferSyntax(sopClass string) string {
	for _, c := range a.contexts {
		if c.abstractSyntax == sopClass {
			return c.transferSyntax
		}
	}
	return ""
}

// Serve has session answer what the peer asks on this association, until it is quiet for wait or until done says that enough was heard.
// After an error the association is over.
func (a *Association) Serve(ctx context.Context, session Session, wait time.Duration, done func() bool) error {
	defer context.AfterFunc(ctx, a.c.interrupt)()
	for !done() && a.c.arrives(wait) {
		cmd, id, other, err := a.c.command(a.c.timeout)
		switch {
		case err != nil:
		case other != nil:
			a.c.abort()
			err = &protocolError{fmt.Errorf("%T from an acceptor", other)}
		default:
			err = a.perform(ctx, session, cmd, id)
		}
		if err != nil {
			a.c.finish()
			return during(ctx, "answering the peer", err)
		}
	}
	return nil
}

// perform answers one request of the peer.
func (a *Association) perform(ctx context.Context, session Session, cmd *dimse.Command, id byte) error {
	agreed, ok := agreed{}, false
	for _, c := range a.contexts {
		if c.id == id {
			agreed, ok = c.agreed, true
		}
	}
	switch {
	case !ok:
		return a.c.invalid(reasonInvalidParam, fmt.Errorf("presentation context %d was not agreed", id))
	case cmd.IsResponse():
		a.c.abort()
		return &protocolError{fmt.Errorf("response %#04x to no request", cmd.Field)}
	}
	response := responseTo(cmd)
	report, err := perform(ctx, a.c, session, cmd, id, agreed, response, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if report != nil { // a requestor has nothing to report to
		report.Done(ErrEnded)
	}
	return a.c.send(ctx, id, response, nil)
}
