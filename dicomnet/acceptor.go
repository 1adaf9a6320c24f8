package dicomnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"

	"llamaxr/dicomnet/dimse"
	"llamaxr/dicomnet/part10"
	"llamaxr/dicomnet/pdu"
)

// maxSkipped is how much in bytes of an object that was refused is still read, to answer in order; real ones are smaller.
const maxSkipped = 4 << 30

// serve runs one association from its connection to its end.
func (s *Server) serve(ctx context.Context, c *conn) {
	log := s.Log.With("peer", c.RemoteAddr().String())
	defer s.gone(c)
	defer c.finish()
	defer s.ended(c)
	defer func() {
		if r := recover(); r != nil {
			log.Error("association panicked", "panic", r)
			c.abort()
		}
	}()
	if err := c.handshake(ctx); err != nil {
		log.Warn("TLS", "reason", err)
		return
	}
	_, _ = c.on(evtConnection)
	p, err := c.read(0)
	if err != nil {
		log.Info("no association", "reason", err)
		return
	}
	request, ok := p.(*pdu.Associate)
	if !ok {
		return // no other PDU leaves Sta2 without an error
	}
	log = log.With("calling", request.Calling, "called", request.Called)
	id, reject := uint64(0), s.refuse(request)
	peer, why := s.peer(request.Calling, c)
	switch {
	case reject != nil:
	case why != "":
		reject = &rejectCallingAETitle
	default:
		id, reject = s.establish(c, peer)
	}
	if reject != nil {
		log.Warn("association rejected", "reason", reject.Error(), "why", why)
		s.reject(c, reject)
		return
	}
	s.associate(ctx, c, request, id, log.With("association", id))
}

func (s *Server) reject(c *conn, r *RejectError) {
	s.mu.Lock()
	s.stats.Rejected[*r]++
	s.mu.Unlock()
	_ = c.do(evtReject, &pdu.AssociateRJ{Result: r.Result, Source: r.Source, Reason: r.Reason}) // if it is lost the peer sees it
}

// refuse checks what PS3.8 lets us reject an association for.
func (s *Server) refuse(a *pdu.Associate) *RejectError {
	switch {
	case a.ProtocolVersion&1 == 0:
		return &rejectProtocolVersion
	case a.ApplicationContext != pdu.ApplicationContext:
		return &rejectApplicationContext
	case !s.AnyCalled && a.Called != strings.TrimSpace(s.AETitle):
		return &rejectCalledAETitle
	case len(a.Contexts) == 0, a.User.MaximumLength != 0 && a.User.MaximumLength < minPDULength:
		return &rejectNoReason
	}
	return nil
}

// associate opens a session for a request that was taken and serves it to its end.
func (s *Server) associate(ctx context.Context, c *conn, request *pdu.Associate, id uint64, log *slog.Logger) {
	session, err := s.NewSession(ctx, &AssociationInfo{
		ID: id, CallingAETitle: request.Calling, CalledAETitle: request.Called, RemoteAddr: c.RemoteAddr().String(), TLS: c.tls(),
		ImplementationClassUID: request.User.ImplementationClassUID, ImplementationVersionName: request.User.ImplementationVersion,
	})
	if err != nil {
		log.Error("opening a session", "error", err)
		s.reject(c, &rejectCongestion)
		return
	}
	released := false
	defer func() { session.Close(released) }()
	c.maxWrite = min(s.MaxPDULength, DefaultMaxPDULength) // responses are small
	if limit := request.User.MaximumLength; limit != 0 {
		c.maxWrite = min(c.maxWrite, limit)
	}
	answer, contexts := s.negotiate(request)
	if err := c.do(evtAccept, answer); err != nil {
		log.Info("association lost", "reason", err)
		return
	}
	log.Debug("association accepted", "contexts", len(contexts), "of", len(request.Contexts))
	released, err = s.requests(ctx, c, session, contexts, log)
	if err != nil {
		log.Info("association ended", "released", released, "reason", err)
	}
}

// agreed is a presentation context that both sides hold.
type agreed struct{ abstractSyntax, transferSyntax string }

// Results of a presentation context (PS3.8, table 9-18).
const (
	contextAccepted         byte = 0
	contextAbstractSyntax   byte = 3
	contextTransferSyntaxes byte = 4
)

func (s *Server) negotiate(a *pdu.Associate) (*pdu.Associate, map[byte]agreed) {
	answer := &pdu.Associate{
		Accept: true, Called: a.Called, Calling: a.Calling,
		User: pdu.UserInformation{
			MaximumLength: s.MaxPDULength, ImplementationClassUID: ImplementationClassUID, ImplementationVersion: ImplementationVersionName,
			AsyncOperations: a.User.AsyncOperations,
		},
	}
	contexts := map[byte]agreed{}
	answered := map[string]bool{}
	for _, c := range a.Contexts {
		ts, ok := s.Accept(c.AbstractSyntax, c.TransferSyntaxes)
		// The transfer syntax of a context that is refused means nothing, but the item must be there (PS3.8, 9.3.3.2).
		result := pdu.Context{ID: c.ID, TransferSyntaxes: []string{ImplicitVRLittleEndian}}
		switch {
		case !ok:
			result.Result = contextAbstractSyntax
		case ts == "":
			result.Result = contextTransferSyntaxes
		default:
			result.TransferSyntaxes[0] = ts
			contexts[c.ID] = agreed{c.AbstractSyntax, ts}
		}
		answer.Contexts = append(answer.Contexts, result)
		for _, role := range a.User.Roles { // one answer for each SOP class; we only provide
			if role.SOPClassUID == c.AbstractSyntax && part10.ValidUID(role.SOPClassUID) && !answered[role.SOPClassUID] {
				answered[role.SOPClassUID] = true
				answer.User.Roles = append(answer.User.Roles, pdu.Role{SOPClassUID: role.SOPClassUID, SCU: role.SCU})
			}
		}
	}
	return answer, contexts
}

// requests answers one request after another until the peer releases or something breaks.
func (s *Server) requests(ctx context.Context, c *conn, session Session, contexts map[byte]agreed, log *slog.Logger) (released bool, err error) {
	for {
		cmd, id, other, err := c.command(s.IdleTimeout)
		if err != nil {
			return false, err
		}
		s.idle(c, false)
		if other != nil { // a release: in Sta6 no other PDU comes without an error
			return true, c.do(evtReleaseResponse, &pdu.ReleaseRP{})
		}
		agreed, ok := contexts[id]
		switch {
		case !ok:
			return false, c.invalid(reasonInvalidParam, fmt.Errorf("presentation context %d was not agreed", id))
		case cmd.Field == dimse.CancelRQ:
			continue // nothing of ours can be cancelled; C-CANCEL has no response
		case cmd.IsResponse():
			c.abort()
			return false, &protocolError{fmt.Errorf("response %#04x to no request", cmd.Field)}
		}
		response := &dimse.Command{
			Field: cmd.Field | 0x8000, RespondedTo: cmd.MessageID, DataSetType: dimse.NoDataSet,
			AffectedSOPClassUID: cmd.AffectedSOPClassUID, AffectedSOPInstanceUID: cmd.AffectedSOPInstanceUID,
		}
		if err := s.perform(ctx, c, session, cmd, id, agreed, response, log); err != nil {
			return false, err
		}
		if err := c.send(ctx, id, response, nil); err != nil {
			return false, err
		}
		s.idle(c, true)
	}
}

// perform carries out a request and fills in the response; an error means that the association is over.
func (s *Server) perform(ctx context.Context, c *conn, session Session, cmd *dimse.Command, id byte, agreed agreed, response *dimse.Command, log *slog.Logger) error {
	var data *dataSet
	if cmd.HasDataSet() {
		data = &dataSet{c: c, contextID: id, limit: c.maxObject}
	}
	err := provide(ctx, session, cmd, agreed, data)
	if data != nil {
		if why := data.tooLong(); why != nil {
			err = why // whatever the session makes of a read that fails
		}
		data.limit = math.MaxInt64
		skipped, broken := io.Copy(io.Discard, io.LimitReader(data, maxSkipped))
		switch {
		case broken != nil:
			return broken // the object was broken off: there is nobody to answer
		case skipped == maxSkipped:
			c.abort()
			return &protocolError{fmt.Errorf("an object that was answered goes on for more than %d bytes", int64(maxSkipped))}
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
		log.Error("request failed", "command", fmt.Sprintf("%#04x", cmd.Field), "error", err)
	}
	return nil
}

// provide has the session do what a request asks, if it may be asked here. A panic of the session is an error.
func provide(ctx context.Context, session Session, cmd *dimse.Command, agreed agreed, data *dataSet) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("session panicked: %v", r)
		}
	}()
	switch {
	case cmd.Field != dimse.EchoRQ && cmd.Field != dimse.StoreRQ:
		return &dimse.StatusError{Status: dimse.UnrecognisedOperation, Comment: "only C-ECHO and C-STORE are provided"}
	case cmd.AffectedSOPClassUID != agreed.abstractSyntax:
		return &dimse.StatusError{Status: dimse.SOPClassNotSupported, Comment: "SOP class is not that of the presentation context"}
	case (cmd.Field == dimse.EchoRQ) != (agreed.abstractSyntax == Verification):
		return &dimse.StatusError{Status: dimse.UnrecognisedOperation, Comment: "not an operation of the SOP class"}
	case cmd.Field == dimse.EchoRQ:
		return session.Echo(ctx)
	case data == nil:
		return &dimse.StatusError{Status: dimse.CannotUnderstand, Comment: "C-STORE without a data set"}
	case !part10.ValidUID(cmd.AffectedSOPInstanceUID):
		return &dimse.StatusError{Status: dimse.InvalidSOPInstance, Comment: "Affected SOP Instance UID is not a UID"}
	}
	return session.Store(ctx, &StoreRequest{
		SOPClassUID: cmd.AffectedSOPClassUID, SOPInstanceUID: cmd.AffectedSOPInstanceUID, TransferSyntaxUID: agreed.transferSyntax,
		Priority: cmd.Priority, MoveOriginator: cmd.MoveOriginatorAETitle, MoveOriginatorMessageID: cmd.MoveOriginatorMessageID,
	}, data)
}
