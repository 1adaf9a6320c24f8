package dicomnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"llamaxr/dicomnet/dimse"
	"llamaxr/dicomnet/pdu"
)

// Client opens associations.
type Client struct {
	CallingAETitle string
	CalledAETitle  string
	MaxPDULength   uint32        // that we take and send at most
	ConnectTimeout time.Duration // also for the answer to A-ASSOCIATE-RQ
	PDUTimeout     time.Duration
	// ResponseTimeout is how long the peer may take to answer a request; storing may take it a while.
	ResponseTimeout time.Duration
}

// defaultResponseTimeout lets a slow archive write its object to tape.
const defaultResponseTimeout = 2 * time.Minute

// ProposedContext is an abstract syntax with the transfer syntaxes to offer for it.
type ProposedContext struct {
	AbstractSyntax   string
	TransferSyntaxes []string
}

// Association is an open association. It is for one goroutine at a time.
type Association struct {
	c        *conn
	contexts map[byte]agreed
	response time.Duration
	message  uint16
}

// Dial opens an association. A rejection is a *RejectError.
func (cl Client) Dial(ctx context.Context, address string, contexts []ProposedContext) (*Association, error) {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&cl.ConnectTimeout, DefaultARTIM)
	set(&cl.PDUTimeout, DefaultPDUTimeout)
	set(&cl.ResponseTimeout, defaultResponseTimeout)
	if cl.MaxPDULength == 0 {
		cl.MaxPDULength = DefaultMaxPDULength
	}
	if len(contexts) == 0 || len(contexts) > pdu.MaxContexts {
		return nil, fmt.Errorf("dicomnet: %d presentation contexts, 1 to %d can be proposed", len(contexts), pdu.MaxContexts)
	}
	dialer := net.Dialer{Timeout: cl.ConnectTimeout}
	nc, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("dicomnet: connecting: %w", err)
	}
	c := &conn{
		Conn: nc, state: sta4, requestor: true, maxRead: cl.MaxPDULength, maxWrite: cl.MaxPDULength, timeout: cl.PDUTimeout, artim: cl.ConnectTimeout,
	}
	_, _ = c.on(evtConnected)
	request := &pdu.Associate{
		Called: cl.CalledAETitle, Calling: cl.CallingAETitle,
		User: pdu.UserInformation{
			MaximumLength: cl.MaxPDULength, ImplementationClassUID: ImplementationClassUID, ImplementationVersion: ImplementationVersionName,
		},
	}
	for i, p := range contexts {
		request.Contexts = append(request.Contexts, pdu.Context{
			ID: byte(2*i + 1), AbstractSyntax: p.AbstractSyntax, TransferSyntaxes: p.TransferSyntaxes,
		})
	}
	if err := c.write(request); err != nil {
		return nil, err
	}
	p, err := c.read(cl.ConnectTimeout)
	if err != nil {
		c.Close()
		return nil, err
	}
	answer, ok := p.(*pdu.Associate)
	if !ok {
		c.Close()
		if r, ok := p.(*pdu.AssociateRJ); ok {
			return nil, &RejectError{r.Result, r.Source, r.Reason}
		}
		return nil, fmt.Errorf("dicomnet: %T in answer to A-ASSOCIATE-RQ", p)
	}
	if limit := answer.User.MaximumLength; limit != 0 {
		c.maxWrite = min(c.maxWrite, max(limit, minPDULength))
	}
	a := &Association{c: c, contexts: map[byte]agreed{}, response: cl.ResponseTimeout}
	for _, got := range answer.Contexts {
		i := int(got.ID-1) / 2
		if got.Result == contextAccepted && i < len(contexts) && len(got.TransferSyntaxes) == 1 {
			a.contexts[got.ID] = agreed{contexts[i].AbstractSyntax, got.TransferSyntaxes[0]}
		}
	}
	return a, nil
}

// Accepted reports whether the peer takes objects of that SOP class in that transfer syntax.
func (a *Association) Accepted(sopClass, transferSyntax string) bool {
	_, ok := a.context(sopClass, transferSyntax)
	return ok
}

func (a *Association) context(sopClass, transferSyntax string) (byte, bool) {
	for id, c := range a.contexts {
		if c.abstractSyntax == sopClass && (transferSyntax == "" || c.transferSyntax == transferSyntax) {
			return id, true
		}
	}
	return 0, false
}

// ErrNotAccepted is returned for an object whose presentation context the peer did not accept.
var ErrNotAccepted = errors.New("dicomnet: the peer does not accept this SOP class in this transfer syntax")

// Echo sends C-ECHO. A status other than success is a *dimse.StatusError.
func (a *Association) Echo(ctx context.Context) error {
	id, ok := a.context(Verification, "")
	if !ok {
		return ErrNotAccepted
	}
	return a.request(ctx, id, &dimse.Command{Field: dimse.EchoRQ, DataSetType: dimse.NoDataSet, AffectedSOPClassUID: Verification}, nil)
}

// Store sends C-STORE with the data set that data streams. A status other than success is a *dimse.StatusError, warnings too.
func (a *Association) Store(ctx context.Context, req StoreRequest, data io.Reader) error {
	id, ok := a.context(req.SOPClassUID, req.TransferSyntaxUID)
	if !ok {
		return fmt.Errorf("%w (%s, %s)", ErrNotAccepted, req.SOPClassUID, req.TransferSyntaxUID)
	}
	return a.request(ctx, id, &dimse.Command{
		Field: dimse.StoreRQ, Priority: req.Priority, DataSetType: 1, AffectedSOPClassUID: req.SOPClassUID,
		AffectedSOPInstanceUID: req.SOPInstanceUID,
	}, data)
}

func (a *Association) request(ctx context.Context, id byte, cmd *dimse.Command, data io.Reader) error {
	stop := context.AfterFunc(ctx, func() { a.c.Close() })
	defer stop()
	a.message++
	cmd.MessageID = a.message
	if err := a.c.send(ctx, id, cmd, data); err != nil {
		return err
	}
	answer, _, other, err := a.c.command(a.response)
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("dicomnet: waiting for a response: %w", ctx.Err())
		}
		return err
	}
	if answer == nil || answer.Field != cmd.Field|0x8000 || answer.RespondedTo != cmd.MessageID {
		a.Abort()
		return fmt.Errorf("dicomnet: %T, %+v in answer to message %d", other, answer, cmd.MessageID)
	}
	if answer.Status != dimse.Success {
		return &dimse.StatusError{Status: answer.Status, Comment: answer.ErrorComment}
	}
	return nil
}

// Release ends the association in order and closes the connection.
func (a *Association) Release() error {
	defer a.c.Close()
	if _, err := a.c.on(evtReleaseRequest); err != nil {
		return err
	}
	if err := a.c.write(&pdu.ReleaseRQ{}); err != nil {
		return err
	}
	for {
		p, err := a.c.read(a.c.timeout)
		if err != nil {
			return err
		}
		switch p.(type) {
		case *pdu.ReleaseRP:
			return nil
		case *pdu.ReleaseRQ: // both asked at once: we answer first and go on waiting (PS3.8, AR-8 and AR-9)
			if _, err := a.c.on(evtReleaseResponse); err != nil {
				return err
			}
			if err := a.c.write(&pdu.ReleaseRP{}); err != nil {
				return err
			}
		}
	}
}

// Abort breaks the association off.
func (a *Association) Abort() {
	a.c.sendAbort(AbortServiceUser, reasonNotSpecified)
	a.c.Close()
}
