package dicomnet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	log = log.With("calling", dimse.Printable(request.Calling), "called", dimse.Printable(request.Called))
	id, reject := uint64(0), s.refuse(request)
	peer, why := s.peer(request.Calling, c)
	switch {
	case reject != nil:
	case why != "":
		reject = &rejectCallingAETitle
		if s.Stranger != nil {
			s.Stranger(dimse.Printable(request.Calling), c.RemoteAddr().String())
		}
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
	s.mu.Lock()
	anyCalled := s.AnyCalled
	s.mu.Unlock()
	switch {
	case a.ProtocolVersion&1 == 0:
		return &rejectProtocolVersion
	case a.ApplicationContext != pdu.ApplicationContext:
		return &rejectApplicationContext
	case !anyCalled && a.Called != strings.TrimSpace(s.AETitle):
		return &rejectCalledAETitle
	case len(a.Contexts) == 0, a.User.MaximumLength != 0 && a.User.MaximumLength < minPDULength:
		return &rejectNoReason
	}
	return nil
}

// associate opens a session for a request that was taken and serves it to its end.
func (s *Server) associate(ctx context.Context, c *conn, request *pdu.Associate, id uint64, log *slog.Logger) {
	session, err := s.NewSession(ctx, &AssociationInfo{
		ID: id, CallingAETitle: dimse.Printable(request.Calling), CalledAETitle: dimse.Printable(request.Called),
		RemoteAddr: c.RemoteAddr().String(), TLS: c.tls(),
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
		for _, role := range a.User.Roles { // one answer for each SOP class
			if role.SOPClassUID == c.AbstractSyntax && part10.ValidUID(role.SOPClassUID) && !answered[role.SOPClassUID] {
				answered[role.SOPClassUID] = true
				// We only provide, but for storage commitment: its results come from peers that provide it.
				role.SCP = role.SCP && role.SOPClassUID == StorageCommitment
				answer.User.Roles = append(answer.User.Roles, role)
			}
		}
	}
	return answer, contexts
}

// requests answers one request after another until the peer releases or something breaks.
func (s *Server) requests(ctx context.Context, c *conn, session Session, contexts map[byte]agreed, log *slog.Logger) (released bool, err error) {
	owes := &reports{c: c}
	defer owes.lost()
	for {
		if owes.due() {
			if err := owes.send(ctx); err != nil {
				return false, err
			}
		}
		cmd, id, other, err := c.command(s.idleTimeout())
		if err != nil {
			return false, err
		}
		s.busy(c)
		if other != nil { // a release: in Sta6 no other PDU comes without an error
			s.freed(c) // before the peer hears of it: it may associate again at once
			return true, c.do(evtReleaseResponse, &pdu.ReleaseRP{})
		}
		agreed, ok := contexts[id]
		switch {
		case !ok:
			return false, c.invalid(reasonInvalidParam, fmt.Errorf("presentation context %d was not agreed", id))
		case cmd.Field == dimse.CancelRQ: // nothing of ours can be cancelled; C-CANCEL has no response
		case cmd.IsResponse():
			if !owes.answered(cmd) {
				c.abort()
				return false, &protocolError{fmt.Errorf("response %#04x to no request", cmd.Field)}
			}
			if cmd.HasDataSet() { // an event reply, of which no SOP class of ours has one
				err = c.skip(&dataSet{c: c, contextID: id})
			}
		default:
			response := responseTo(cmd)
			var report *Report
			if report, err = perform(ctx, c, session, cmd, id, agreed, response, log); err == nil {
				s.rests(c, cmd.Field != dimse.EchoRQ && response.Status == dimse.Success)
				err = c.send(ctx, id, response, nil)
			}
			if report != nil {
				owes.waiting = append(owes.waiting, owed{id, report})
			}
		}
		if err != nil {
			return false, err
		}
		s.rests(c, false)
	}
}

// responseTo is the response to a request, but for its status.
func responseTo(cmd *dimse.Command) *dimse.Command {
	response := &dimse.Command{
		Field: cmd.Field | 0x8000, RespondedTo: cmd.MessageID, DataSetType: dimse.NoDataSet,
		AffectedSOPClassUID: cmd.AffectedSOPClassUID, AffectedSOPInstanceUID: cmd.AffectedSOPInstanceUID,
		EventTypeID: cmd.EventTypeID, ActionTypeID: cmd.ActionTypeID,
	}
	if cmd.Field == dimse.ActionRQ {
		response.AffectedSOPClassUID, response.AffectedSOPInstanceUID = cmd.RequestedSOPClassUID, cmd.RequestedSOPInstanceUID
	}
	return response
}

// perform carries out a request and fills in the response; an error means that the association is over.
func perform(ctx context.Context, c *conn, session Session, cmd *dimse.Command, id byte, agreed agreed, response *dimse.Command, log *slog.Logger) (*Report, error) {
	var data *dataSet
	if cmd.HasDataSet() {
		data = &dataSet{c: c, contextID: id, limit: c.maxObject}
		if cmd.Field != dimse.StoreRQ {
			data.limit = maxIdentifier
		}
	}
	report, err := provide(ctx, session, cmd, agreed, data)
	if data != nil {
		if why := data.tooLong(); why != nil {
			err = why // whatever the session makes of a read that fails
		}
		if broken := c.skip(data); broken != nil {
			return report, broken // the object was broken off: there is nobody to answer
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
	return report, nil
}

// provide has the session do what a request asks, if it may be asked here. A panic of the session is an error.
func provide(ctx context.Context, session Session, cmd *dimse.Command, agreed agreed, data *dataSet) (report *Report, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("session panicked: %v", r)
		}
	}()
	refuse := func(status uint16, comment string) (*Report, error) {
		return nil, &dimse.StatusError{Status: status, Comment: comment}
	}
	notifies := cmd.Field == dimse.ActionRQ || cmd.Field == dimse.EventReportRQ
	n := notification(cmd, agreed)
	switch {
	case cmd.Field != dimse.EchoRQ && cmd.Field != dimse.StoreRQ && !notifies:
		return refuse(dimse.UnrecognisedOperation, "operation is not provided")
	case n.SOPClassUID != agreed.abstractSyntax:
		return refuse(dimse.SOPClassNotSupported, "SOP class is not that of the presentation context")
	case notifies && data == nil:
		return refuse(dimse.InvalidArgument, "a notification without a data set")
	case notifies:
		return notify(ctx, session, n, cmd, data)
	case (cmd.Field == dimse.EchoRQ) != (agreed.abstractSyntax == Verification), storageClasses[agreed.abstractSyntax] == "" && cmd.Field == dimse.StoreRQ:
		return refuse(dimse.UnrecognisedOperation, "not an operation of the SOP class")
	case cmd.Field == dimse.EchoRQ:
		return nil, session.Echo(ctx)
	case data == nil:
		return refuse(dimse.CannotUnderstand, "C-STORE without a data set")
	case !part10.ValidUID(cmd.AffectedSOPInstanceUID):
		return refuse(dimse.InvalidSOPInstance, "Affected SOP Instance UID is not a UID")
	}
	return nil, session.Store(ctx, &StoreRequest{
		SOPClassUID: cmd.AffectedSOPClassUID, SOPInstanceUID: cmd.AffectedSOPInstanceUID, TransferSyntaxUID: agreed.transferSyntax,
		Priority: cmd.Priority, MoveOriginator: cmd.MoveOriginatorAETitle, MoveOriginatorMessageID: cmd.MoveOriginatorMessageID,
	}, data)
}
