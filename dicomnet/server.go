package dicomnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"llamaxr/dicomnet/dimse"
	"llamaxr/dicomnet/pdu"
)

// Defaults of a Server and a Client.
const (
	DefaultMaxPDULength    = 131072
	DefaultMaxAssociations = 64
	DefaultARTIM           = 10 * time.Second
	DefaultPDUTimeout      = 30 * time.Second
	DefaultIdleTimeout     = 60 * time.Second
	// minPDULength is the least a peer's limit may be: a command must fit in a few PDUs.
	minPDULength = 1024
)

// Session is what an association does. Its methods are called one at a time.
type Session interface {
	// Echo answers C-ECHO.
	Echo(ctx context.Context) error
	// Store receives an object; data streams its data set. nil is success, a *dimse.StatusError its status, any other error 0x0110.
	Store(ctx context.Context, req *StoreRequest, data io.Reader) error
	// Close ends the session; released says whether the peer released the association rather than broke it off.
	Close(released bool)
}

// AssociationInfo says who is at the other end.
type AssociationInfo struct {
	ID                        uint64
	CallingAETitle            string
	CalledAETitle             string
	RemoteAddr                string
	ImplementationClassUID    string
	ImplementationVersionName string
}

// StoreRequest is what C-STORE-RQ says of its object.
type StoreRequest struct {
	SOPClassUID       string
	SOPInstanceUID    string
	TransferSyntaxUID string
	Priority          uint16
	MoveOriginator    string
}

// Server is an association acceptor.
type Server struct {
	AETitle         string
	AnyCalled       bool     // take associations whatever AE title they call
	Callers         []string // calling AE titles that are taken; empty takes all
	MaxAssociations int
	MaxPDULength    uint32
	ARTIM           time.Duration // for A-ASSOCIATE-RQ to come, and for the peer to close
	PDUTimeout      time.Duration // for one PDU once begun, and between the fragments of an object
	IdleTimeout     time.Duration // between two requests
	Accept          Accept
	NewSession      func(ctx context.Context, info *AssociationInfo) (Session, error)
	Log             *slog.Logger

	mu       sync.Mutex
	open     map[*conn]bool
	lastID   uint64
	draining bool
	wg       sync.WaitGroup
}

func (s *Server) defaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&s.ARTIM, DefaultARTIM)
	set(&s.PDUTimeout, DefaultPDUTimeout)
	set(&s.IdleTimeout, DefaultIdleTimeout)
	if s.MaxAssociations == 0 {
		s.MaxAssociations = DefaultMaxAssociations
	}
	if s.MaxPDULength == 0 {
		s.MaxPDULength = DefaultMaxPDULength
	}
	if s.Accept == nil {
		s.Accept = AcceptStorage
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	s.open = map[*conn]bool{}
}

// Serve accepts associations until ctx is cancelled, then waits for those open to end, drain at most, and aborts the rest.
func (s *Server) Serve(ctx context.Context, listener net.Listener, drain time.Duration) error {
	s.defaults()
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	for {
		nc, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				break
			}
			var temporary net.Error
			if errors.As(err, &temporary) && temporary.Timeout() {
				continue
			}
			// Out of descriptors and the like: wait rather than spin or give up.
			s.Log.Warn("accepting a connection", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("dicomnet: accepting: %w", err)
			}
			continue
		}
		s.wg.Go(func() { s.serve(work, nc) })
	}
	s.shut(drain)
	return nil
}

// shut waits for open associations and aborts what is left.
func (s *Server) shut(drain time.Duration) {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.wg.Wait(); close(done) }()
	select {
	case <-done:
		return
	case <-time.After(drain):
	}
	s.mu.Lock()
	for c := range s.open {
		c.Conn.Close()
	}
	s.mu.Unlock()
	<-done
}

// serve runs one association from its connection to its end.
func (s *Server) serve(ctx context.Context, nc net.Conn) {
	if tcp, ok := nc.(*net.TCPConn); ok {
		_ = tcp.SetNoDelay(true)
	}
	c := &conn{
		Conn: nc, state: sta1, maxRead: s.MaxPDULength, maxWrite: minPDULength, timeout: s.PDUTimeout, artim: s.ARTIM,
	}
	_, _ = c.on(evtConnection)
	log := s.Log.With("peer", nc.RemoteAddr().String())
	defer func() {
		if r := recover(); r != nil {
			log.Error("association panicked", "panic", r)
			c.sendAbort(AbortServiceProvider, reasonNotSpecified)
		}
		c.linger()
		s.mu.Lock()
		delete(s.open, c)
		s.mu.Unlock()
	}()
	s.mu.Lock()
	full := len(s.open) >= s.MaxAssociations || s.draining
	s.open[c] = true
	s.lastID++
	id := s.lastID
	s.mu.Unlock()
	p, err := c.read(s.ARTIM)
	if err != nil {
		log.Info("no association", "reason", err)
		return
	}
	request := p.(*pdu.Associate) // no other PDU leaves state 2 without an error
	log = log.With("calling", request.Calling, "called", request.Called, "association", id)
	if reject := s.refuse(request, full); reject != nil {
		_, _ = c.on(evtReject)
		log.Warn("association rejected", "reason", reject.Error())
		_ = c.write(&pdu.AssociateRJ{Result: reject.Result, Source: reject.Source, Reason: reject.Reason})
		return
	}
	info := &AssociationInfo{
		ID: id, CallingAETitle: request.Calling, CalledAETitle: request.Called, RemoteAddr: nc.RemoteAddr().String(),
		ImplementationClassUID: request.User.ImplementationClassUID, ImplementationVersionName: request.User.ImplementationVersion,
	}
	session, err := s.NewSession(ctx, info)
	if err != nil {
		_, _ = c.on(evtReject)
		log.Error("opening a session", "error", err)
		_ = c.write(&pdu.AssociateRJ{Result: rejectTransient, Source: sourcePresentation, Reason: 1})
		return
	}
	released := false
	defer func() { session.Close(released) }()
	answer, contexts := s.negotiate(request)
	_, _ = c.on(evtAccept)
	if err := c.write(answer); err != nil {
		log.Info("association lost", "reason", err)
		return
	}
	if limit := request.User.MaximumLength; limit == 0 {
		c.maxWrite = DefaultMaxPDULength
	} else {
		c.maxWrite = min(max(limit, minPDULength), DefaultMaxPDULength)
	}
	log.Debug("association accepted", "contexts", len(contexts))
	if err := s.requests(ctx, c, session, contexts, log); err != nil {
		log.Info("association ended", "reason", err)
		return
	}
	released = true
}

// refuse checks what PS3.8 lets us reject an association for.
func (s *Server) refuse(a *pdu.Associate, full bool) *RejectError {
	switch {
	case a.ProtocolVersion&1 == 0:
		return &rejectProtocolVersion
	case a.ApplicationContext != pdu.ApplicationContext:
		return &rejectApplicationContext
	case !s.AnyCalled && a.Called != strings.TrimSpace(s.AETitle):
		return &rejectCalledAETitle
	case len(s.Callers) > 0 && !slices.Contains(s.Callers, a.Calling):
		return &rejectCallingAETitle
	case full:
		return &rejectLocalLimit
	case len(a.Contexts) == 0:
		return &rejectNoReason
	}
	return nil
}

// agreed is a presentation context that both sides hold.
type agreed struct{ abstractSyntax, transferSyntax string }

// Results of a presentation context (PS3.8, table 9-18).
const (
	contextAccepted           = 0
	contextAbstractSyntax     = 3
	contextTransferSyntaxes   = 4
	defaultUnusedTransferName = ImplicitVRLittleEndian
)

func (s *Server) negotiate(a *pdu.Associate) (*pdu.Associate, map[byte]agreed) {
	answer := &pdu.Associate{
		Accept: true, Called: a.Called, Calling: a.Calling,
		User: pdu.UserInformation{
			MaximumLength: s.MaxPDULength, ImplementationClassUID: ImplementationClassUID, ImplementationVersion: ImplementationVersionName,
			AsyncOperations: a.User.AsyncOperations,
		},
	}
	for _, role := range a.User.Roles {
		answer.User.Roles = append(answer.User.Roles, pdu.Role{SOPClassUID: role.SOPClassUID, SCU: role.SCU}) // we only provide
	}
	contexts := map[byte]agreed{}
	for _, c := range a.Contexts {
		ts, ok := s.Accept(c.AbstractSyntax, c.TransferSyntaxes)
		result := pdu.Context{ID: c.ID, TransferSyntaxes: []string{ts}}
		_, repeated := contexts[c.ID]
		switch {
		case !ok || repeated:
			result.Result, result.TransferSyntaxes = contextAbstractSyntax, []string{defaultUnusedTransferName}
		case ts == "":
			result.Result, result.TransferSyntaxes = contextTransferSyntaxes, []string{defaultUnusedTransferName}
		default:
			contexts[c.ID] = agreed{c.AbstractSyntax, ts}
		}
		answer.Contexts = append(answer.Contexts, result)
	}
	return answer, contexts
}

// requests answers one request after another until the peer releases (nil) or something breaks.
func (s *Server) requests(ctx context.Context, c *conn, session Session, contexts map[byte]agreed, log *slog.Logger) error {
	for {
		cmd, id, other, err := c.command(s.IdleTimeout)
		if err != nil {
			return err
		}
		if _, ok := other.(*pdu.ReleaseRQ); ok {
			if _, err := c.on(evtReleaseResponse); err != nil {
				return err
			}
			return c.write(&pdu.ReleaseRP{})
		}
		if cmd == nil {
			return fmt.Errorf("dicomnet: unexpected %T", other)
		}
		agreed, ok := contexts[id]
		if !ok {
			c.sendAbort(AbortServiceProvider, reasonInvalidParam)
			return &protocolError{reasonInvalidParam, fmt.Errorf("presentation context %d was not agreed", id)}
		}
		if cmd.Field == dimse.CancelRQ {
			continue // nothing of ours can be cancelled; C-CANCEL has no response
		}
		if cmd.IsResponse() {
			c.sendAbort(AbortServiceUser, reasonNotSpecified)
			return &protocolError{reasonUnexpectedPDU, fmt.Errorf("response %#04x to no request", cmd.Field)}
		}
		response := &dimse.Command{
			Field: cmd.Field | 0x8000, RespondedTo: cmd.MessageID, DataSetType: dimse.NoDataSet,
			AffectedSOPClassUID: cmd.AffectedSOPClassUID, AffectedSOPInstanceUID: cmd.AffectedSOPInstanceUID,
		}
		if err := s.perform(ctx, c, session, cmd, id, agreed, response, log); err != nil {
			return err
		}
		if err := c.send(ctx, id, response, nil); err != nil {
			return err
		}
	}
}

// perform carries out a request and fills in the response; an error means that the association is over.
func (s *Server) perform(ctx context.Context, c *conn, session Session, cmd *dimse.Command, id byte, agreed agreed, response *dimse.Command, log *slog.Logger) error {
	var data *dataSet
	if cmd.HasDataSet() {
		data = &dataSet{c: c, contextID: id}
	}
	var err error
	switch {
	case cmd.Field == dimse.EchoRQ:
		err = session.Echo(ctx)
	case cmd.Field != dimse.StoreRQ:
		err = &dimse.StatusError{Status: dimse.UnrecognisedOperation, Comment: "only C-ECHO and C-STORE are provided"}
	case data == nil:
		err = &dimse.StatusError{Status: dimse.CannotUnderstand, Comment: "C-STORE without a data set"}
	case cmd.AffectedSOPClassUID != agreed.abstractSyntax:
		err = &dimse.StatusError{Status: dimse.SOPClassNotSupported, Comment: "SOP class is not that of the presentation context"}
	default:
		err = protect(log, func() error {
			return session.Store(ctx, &StoreRequest{
				SOPClassUID: cmd.AffectedSOPClassUID, SOPInstanceUID: cmd.AffectedSOPInstanceUID, TransferSyntaxUID: agreed.transferSyntax,
				Priority: cmd.Priority, MoveOriginator: cmd.MoveOriginatorAETitle,
			}, data)
		})
	}
	if data != nil {
		if _, drained := io.Copy(io.Discard, data); drained != nil {
			return drained // the object was broken off: there is nobody to answer
		}
	}
	var status *dimse.StatusError
	switch {
	case err == nil:
		response.Status = dimse.Success
	case errors.As(err, &status):
		response.Status, response.ErrorComment = status.Status, status.Comment
	default:
		response.Status, response.ErrorComment = dimse.ProcessingFailure, "internal error"
		log.Error("request failed", "error", err)
	}
	return nil
}

// protect turns a panic of the session into an error.
func protect(log *slog.Logger, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			log.Error("session panicked", "panic", r)
			err = &dimse.StatusError{Status: dimse.ProcessingFailure, Comment: "internal error"}
		}
	}()
	return f()
}
