package dicomnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"llamaxr/dicomnet/dimse"
)

// Query/Retrieve of the Study Root (PS3.4, annex C).
const (
	StudyRootFind = "1.2.840.10008.5.1.4.1.2.2.1"
	StudyRootMove = "1.2.840.10008.5.1.4.1.2.2.2"
	StudyRootGet  = "1.2.840.10008.5.1.4.1.2.2.3"
)

// ErrEnough is what a visitor of matches returns to have the search end well.
var ErrEnough = errors.New("dicomnet: no more matches are wanted")

// Find sends C-FIND with an identifier, a data set in the transfer syntax of the SOP class's context, and hands the identifier of each
// match to visit. When visit returns an error the search is cancelled and, once the peer has ended it, Find returns that error, or nil for
// ErrEnough. A status other than success is a *dimse.StatusError.
func (a *Association) Find(ctx context.Context, sopClass string, identifier []byte, visit func(match []byte) error) error {
	id, ok := a.context(sopClass, "")
	if !ok {
		return ErrNotAccepted
	}
	var stopped error
	err := a.converse(ctx, id, retrieval(dimse.FindRQ, sopClass), bytes.NewReader(identifier), nil, func(answer *dimse.Command, reply *dataSet) (bool, error) {
		pending := answer.Status == dimse.Pending || answer.Status == dimse.PendingWarning
		if reply != nil {
			match, err := a.identifier(reply)
			if err != nil {
				return true, err
			}
			if pending && stopped == nil {
				if stopped = visit(match); stopped != nil {
					return false, a.cancel(ctx, id)
				}
			}
		}
		if pending || stopped != nil && answer.Status == dimse.Cancelled {
			return !pending, nil
		}
		return true, statusOf(answer)
	})
	if stopped != nil && (err == nil || isStatus(err)) {
		err = stopped
	}
	if errors.Is(err, ErrEnough) {
		return nil
	}
	return err
}

// Move sends C-MOVE: the peer is to send what matches the identifier to the destination's AE title. progress is told how far it is. The
// final count is returned with a *dimse.StatusError when not all went well.
func (a *Association) Move(ctx context.Context, sopClass, destination string, identifier []byte, progress func(dimse.SubOperations)) (dimse.SubOperations, error) {
	cmd := retrieval(dimse.MoveRQ, sopClass)
	cmd.MoveDestination = destination
	return a.retrieve(ctx, cmd, identifier, nil, progress)
}

// Get sends C-GET: the peer sends what matches the identifier on this association, to session. Its Storage classes were proposed with
// Provide. What is returned is as Move's.
func (a *Association) Get(ctx context.Context, sopClass string, identifier []byte, session Session, progress func(dimse.SubOperations)) (dimse.SubOperations, error) {
	return a.retrieve(ctx, retrieval(dimse.GetRQ, sopClass), identifier, session, progress)
}

// retrieval is a query/retrieve request of medium priority.
func retrieval(field uint16, sopClass string) *dimse.Command {
	return &dimse.Command{Field: field, DataSetType: dimse.WithDataSet, AffectedSOPClassUID: sopClass}
}

func (a *Association) retrieve(ctx context.Context, cmd *dimse.Command, identifier []byte, session Session, progress func(dimse.SubOperations)) (count dimse.SubOperations, err error) {
	id, ok := a.context(cmd.AffectedSOPClassUID, "")
	if !ok {
		return count, ErrNotAccepted
	}
	err = a.converse(ctx, id, cmd, bytes.NewReader(identifier), session, func(answer *dimse.Command, reply *dataSet) (bool, error) {
		if reply != nil { // the list of those that failed
			if err := a.c.skip(reply); err != nil {
				return true, err
			}
		}
		if answer.Status != dimse.Pending {
			if answer.SubOperations != (dimse.SubOperations{}) { // some peers leave the count out of the last response
				count = answer.SubOperations
			}
			return true, statusOf(answer)
		}
		count = answer.SubOperations
		if progress != nil {
			progress(count)
		}
		return false, nil
	})
	return count, err
}

// identifier reads a data set whole, within its limit.
func (a *Association) identifier(reply *dataSet) ([]byte, error) {
	data, err := io.ReadAll(reply)
	if err != nil {
		if isStatus(err) { // longer than any identifier is: whatever else it says is of no use
			a.c.abort()
			err = &protocolError{fmt.Errorf("an identifier of more than %d bytes", int64(maxIdentifier))}
		}
		return nil, err
	}
	return data, nil
}

// cancel asks the peer to end what it does for the last request. There is no response but that request's own.
func (a *Association) cancel(ctx context.Context, id byte) error {
	return a.c.send(ctx, id, &dimse.Command{Field: dimse.CancelRQ, RespondedTo: a.message, DataSetType: dimse.NoDataSet}, nil)
}

func isStatus(err error) bool {
	var status *dimse.StatusError
	return errors.As(err, &status)
}
