package dicomnet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"llamaxr/dicomnet/dimse"
	"llamaxr/dicomnet/part10"
	"llamaxr/dicomnet/pdu"
)

// Client opens associations.
type Client struct {
	CallingAETitle string
	CalledAETitle  string
	MaxPDULength   uint32        // that we take and send at most
	ConnectTimeout time.Duration // for the connection, and again for the answer to A-ASSOCIATE-RQ
	PDUTimeout     time.Duration // for one PDU to be written or, once begun, read; also for the answer to A-RELEASE-RQ
	// ResponseTimeout is how long the peer may take to answer a request; storing may take it a while.
	ResponseTimeout time.Duration
	TLS             *Credentials // nil is plain TCP
	Dialer          Dialer       // opens the transport; nil is a net.Dialer
}

// Dialer is what *net.Dialer does.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// defaultResponseTimeout lets a slow archive write its object to tape.
const defaultResponseTimeout = 2 * time.Minute

// ProposedContext is an abstract syntax with the transfer syntaxes to offer for it.
type ProposedContext struct {
	AbstractSyntax   string
	TransferSyntaxes []string
	// Provide asks for the provider's role (PS3.7, annex D.3.3.4): C-GET's objects come to us, results of storage commitment go out. A
	// context for which the peer does not grant it counts as not accepted.
	Provide bool
}

// Association is an open association. It is for one goroutine at a time.
type Association struct {
	c        *conn
	contexts []accepted
	response time.Duration
	message  uint16
}

// accepted is a presentation context that the peer accepted.
type accepted struct {
	id byte
	agreed
}

func (cl *Client) defaults() {
	cl.ConnectTimeout = cmp.Or(cl.ConnectTimeout, DefaultARTIM)
	cl.PDUTimeout = cmp.Or(cl.PDUTimeout, DefaultPDUTimeout)
	cl.ResponseTimeout = cmp.Or(cl.ResponseTimeout, defaultResponseTimeout)
	cl.MaxPDULength = cmp.Or(cl.MaxPDULength, DefaultMaxPDULength)
	if cl.Dialer == nil {
		cl.Dialer = &net.Dialer{}
	}
}

// Dial opens an association. A rejection is a *RejectError.
func (cl Client) Dial(ctx context.Context, address string, contexts []ProposedContext) (*Association, error) {
	cl.defaults()
	request, err := cl.propose(contexts)
	if err != nil {
		return nil, err
	}
	connecting, cancel := context.WithTimeout(ctx, cl.ConnectTimeout)
	defer cancel()
	nc, err := cl.Dialer.DialContext(connecting, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("dicomnet: connecting: %w", err)
	}
	acknowledge := acknowledger(nc)
	if cl.TLS != nil {
		if nc, err = cl.TLS.secure(connecting, nc, address); err != nil {
			return nil, err
		}
	}
	// A requestor's ARTIM runs after its own abort only, and nobody should wait for that.
	c := &conn{
		Conn: nc, acknowledge: acknowledge, state: sta4, requestor: true, maxRead: cl.MaxPDULength, maxWrite: cl.MaxPDULength, maxObject: DefaultMaxObjectLength, timeout: cl.PDUTimeout, artim: abortTimeout,
	}
	a := &Association{c: c, response: cl.ResponseTimeout}
	answer, err := a.associate(ctx, request, cl.ConnectTimeout)
	if err == nil {
		err = a.agree(answer, contexts)
	}
	if err != nil {
		c.finish()
		return nil, during(ctx, "associating", err)
	}
	return a, nil
}

// propose makes the A-ASSOCIATE-RQ.
func (cl *Client) propose(contexts []ProposedContext) (*pdu.Associate, error) {
	if len(contexts) == 0 || len(contexts) > pdu.MaxContexts {
		return nil, fmt.Errorf("dicomnet: %d presentation contexts, 1 to %d can be proposed", len(contexts), pdu.MaxContexts)
	}
	for _, title := range []string{cl.CalledAETitle, cl.CallingAETitle} {
		if err := checkAETitle(title); err != nil {
			return nil, err
		}
	}
	request := &pdu.Associate{
		Called: cl.CalledAETitle, Calling: cl.CallingAETitle,
		User: pdu.UserInformation{
			MaximumLength: cl.MaxPDULength, ImplementationClassUID: ImplementationClassUID, ImplementationVersion: ImplementationVersionName,
		},
	}
	roles := map[string]bool{}
	for i, p := range contexts {
		if p.Provide && !roles[p.AbstractSyntax] {
			roles[p.AbstractSyntax] = true
			request.User.Roles = append(request.User.Roles, pdu.Role{SOPClassUID: p.AbstractSyntax, SCP: true})
		}
		if len(p.TransferSyntaxes) == 0 || len(p.TransferSyntaxes) > pdu.MaxTransferSyntaxes {
			return nil, fmt.Errorf("dicomnet: %d transfer syntaxes for %s, 1 to %d can be proposed", len(p.TransferSyntaxes), p.AbstractSyntax, pdu.MaxTransferSyntaxes)
		}
		for _, uid := range append([]string{p.AbstractSyntax}, p.TransferSyntaxes...) {
			if !part10.ValidUID(uid) {
				return nil, fmt.Errorf("dicomnet: proposing %q, not a UID", uid)
			}
		}
		request.Contexts = append(request.Contexts, pdu.Context{
			ID: byte(2*i + 1), AbstractSyntax: p.AbstractSyntax, TransferSyntaxes: p.TransferSyntaxes,
		})
	}
	return request, nil
}

// checkAETitle holds a title to VR AE: 1 to 16 printable characters without backslash, not all spaces.
func checkAETitle(title string) error {
	if title == "" || len(title) > 16 || strings.TrimSpace(title) == "" || dimse.Printable(title) != title {
		return fmt.Errorf("dicomnet: %q is no AE title: 1 to 16 printable characters", title)
	}
	return nil
}

// associate sends A-ASSOCIATE-RQ and waits for its answer.
func (a *Association) associate(ctx context.Context, request *pdu.Associate, wait time.Duration) (*pdu.Associate, error) {
	defer context.AfterFunc(ctx, a.c.interrupt)()
	if err := a.c.do(evtConnected, request); err != nil {
		return nil, err
	}
	p, err := a.c.read(wait)
	if err != nil {
		return nil, err
	}
	switch p := p.(type) {
	case *pdu.Associate:
		return p, nil
	case *pdu.AssociateRJ:
		return nil, &RejectError{p.Result, p.Source, p.Reason}
	}
	return nil, fmt.Errorf("dicomnet: %T in answer to A-ASSOCIATE-RQ", p) // no other PDU leaves Sta5 without an error
}

// agree takes from the answer the contexts that were proposed as they were accepted, and the peer's limit.
func (a *Association) agree(answer *pdu.Associate, contexts []ProposedContext) error {
	if limit := answer.User.MaximumLength; limit != 0 {
		if limit < minPDULength {
			a.c.abort()
			return fmt.Errorf("dicomnet: the peer takes PDUs of %d bytes at most, %d are needed", limit, minPDULength)
		}
		a.c.maxWrite = min(a.c.maxWrite, limit)
	}
	for _, got := range answer.Contexts {
		i := int(got.ID) / 2 // identifiers are odd
		if got.Result != contextAccepted || i >= len(contexts) {
			continue
		}
		if len(got.TransferSyntaxes) != 1 || !slices.Contains(contexts[i].TransferSyntaxes, got.TransferSyntaxes[0]) {
			return a.c.invalid(reasonInvalidParam, fmt.Errorf("context %d accepted in %q, which was not offered", got.ID, got.TransferSyntaxes))
		}
		granted := func(r pdu.Role) bool { return r.SOPClassUID == contexts[i].AbstractSyntax && r.SCP }
		if contexts[i].Provide && !slices.ContainsFunc(answer.User.Roles, granted) {
			continue
		}
		a.contexts = append(a.contexts, accepted{got.ID, agreed{contexts[i].AbstractSyntax, got.TransferSyntaxes[0]}})
	}
	return nil
}

// Accepted reports whether the peer takes objects of that SOP class in that transfer syntax.
func (a *Association) Accepted(sopClass, transferSyntax string) bool {
	_, ok := a.context(sopClass, transferSyntax)
	return ok
}

// context finds the presentation context of a SOP class; an empty transfer syntax takes any.
func (a *Association) context(sopClass, transferSyntax string) (byte, bool) {
	for _, c := range a.contexts {
		if c.abstractSyntax == sopClass && (transferSyntax == "" || c.transferSyntax == transferSyntax) {
			return c.id, true
		}
	}
	return 0, false
}

// Echo sends C-ECHO. A status other than success is a *dimse.StatusError.
func (a *Association) Echo(ctx context.Context) error {
	id, ok := a.context(Verification, "")
	if !ok {
		return ErrNotAccepted
	}
	return a.request(ctx, id, &dimse.Command{Field: dimse.EchoRQ, DataSetType: dimse.NoDataSet, AffectedSOPClassUID: Verification}, nil)
}

// Store sends C-STORE with the data set that data streams, as it is: it must be in the transfer syntax that req names. A status other
// than success is a *dimse.StatusError, warnings too. After any other error but ErrNotAccepted the association is over.
func (a *Association) Store(ctx context.Context, req StoreRequest, data io.Reader) error {
	id, ok := a.context(req.SOPClassUID, req.TransferSyntaxUID)
	if !ok {
		return fmt.Errorf("%w (%s, %s)", ErrNotAccepted, req.SOPClassUID, req.TransferSyntaxUID)
	}
	return a.request(ctx, id, &dimse.Command{
		Field: dimse.StoreRQ, Priority: req.Priority, DataSetType: dimse.WithDataSet, AffectedSOPClassUID: req.SOPClassUID,
		AffectedSOPInstanceUID: req.SOPInstanceUID, MoveOriginatorAETitle: req.MoveOriginator, MoveOriginatorMessageID: req.MoveOriginatorMessageID,
	}, data)
}

// request sends a command and waits for its response.
func (a *Association) request(ctx context.Context, id byte, cmd *dimse.Command, data io.Reader) error {
	return a.converse(ctx, id, cmd, data, nil, func(answer *dimse.Command, reply *dataSet) (bool, error) {
		if reply != nil {
			if err := a.c.skip(reply); err != nil {
				return true, err
			}
		}
		return true, statusOf(answer)
	})
}

// converse sends a request and hands each response to take until take says that it was the last. Meanwhile session, unless it is nil,
// answers what the peer asks. A *dimse.StatusError of take leaves the association as it is; any other error ends it.
func (a *Association) converse(ctx context.Context, id byte, cmd *dimse.Command, data io.Reader, session Session, take func(*dimse.Command, *dataSet) (last bool, err error)) error {
	defer context.AfterFunc(ctx, a.c.interrupt)()
	a.message++
	cmd.MessageID = a.message
	err := a.c.send(ctx, id, cmd, data)
	for last := false; err == nil && !last; {
		last, err = a.answer(ctx, cmd, session, take)
	}
	var status *dimse.StatusError
	if err == nil || errors.As(err, &status) {
		return err
	}
	a.c.finish()
	return during(ctx, "sending a request", err)
}

// answer takes one response to cmd, or answers one request of the peer.
func (a *Association) answer(ctx context.Context, cmd *dimse.Command, session Session, take func(*dimse.Command, *dataSet) (bool, error)) (last bool, err error) {
	got, contextID, other, err := a.c.command(a.response)
	switch {
	case err != nil:
		return false, err
	case other != nil: // a requestor may ask for the release only when it is done, an acceptor should not at all
		a.c.abort()
		return false, &protocolError{fmt.Errorf("%T in answer to a request", other)}
	case session != nil && !got.IsResponse():
		return false, a.perform(ctx, session, got, contextID)
	case got.Field != cmd.Field|0x8000 || got.RespondedTo != cmd.MessageID:
		a.c.abort()
		return false, &protocolError{fmt.Errorf("command %#04x to message %d in answer to %#04x, message %d", got.Field, got.RespondedTo, cmd.Field, cmd.MessageID)}
	case !got.HasDataSet():
		return take(got, nil)
	case cmd.Field == dimse.EchoRQ || cmd.Field == dimse.StoreRQ:
		a.c.abort()
		return false, &protocolError{fmt.Errorf("response %#04x with a data set", got.Field)}
	}
	return take(got, &dataSet{c: a.c, contextID: contextID, limit: maxIdentifier})
}

// Release ends the association in order and closes the connection.
func (a *Association) Release() error {
	defer a.c.finish()
	if err := a.c.do(evtReleaseRequest, &pdu.ReleaseRQ{}); err != nil {
		return err
	}
	for until := time.Now().Add(a.c.timeout); ; {
		p, err := a.c.read(time.Until(until))
		if err != nil {
			return fmt.Errorf("dicomnet: releasing: %w", err)
		}
		switch p.(type) {
		case *pdu.ReleaseRP:
			return nil
		case *pdu.ReleaseRQ: // both asked at once: the requestor answers first and goes on waiting (PS3.8, AR-8 and AR-9)
			if err := a.c.do(evtReleaseResponse, &pdu.ReleaseRP{}); err != nil {
				return err
			}
		}
	}
}

// Abort breaks the association off.
func (a *Association) Abort() {
	a.c.abort()
	a.c.finish()
}

// during says what was being done, and that it was the context that ended it if it was.
func during(ctx context.Context, what string, err error) error {
	if errors.Is(err, errInterrupted) && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("dicomnet: %s: %w", what, err)
}
