package dicomnet

// state is one of the thirteen of PS3.8, section 9.2.1.
type state int

// event is one of the nineteen of PS3.8, section 9.2.2.
type event int

// States.
const (
	sta1  state = iota + 1 // idle
	sta2                   // transport open, waiting for A-ASSOCIATE-RQ
	sta3                   // waiting for the local answer to A-ASSOCIATE
	sta4                   // waiting for the transport to open
	sta5                   // waiting for A-ASSOCIATE-AC or -RJ
	sta6                   // established
	sta7                   // waiting for A-RELEASE-RP
	sta8                   // waiting for the local answer to A-RELEASE
	sta9                   // release collision, requestor: waiting for the local answer
	sta10                  // release collision, acceptor: waiting for A-RELEASE-RP
	sta11                  // release collision, requestor: waiting for A-RELEASE-RP
	sta12                  // release collision, acceptor: waiting for the local answer
	sta13                  // waiting for the transport to close
)

// Events.
const (
	evtAssociateRequest event = iota + 1 // 1: local A-ASSOCIATE request
	evtConnected                         // 2
	evtAssociateAC                       // 3
	evtAssociateRJ                       // 4
	evtConnection                        // 5: transport indication
	evtAssociateRQ                       // 6
	evtAccept                            // 7: local accept
	evtReject                            // 8: local reject
	evtDataRequest                       // 9: local P-DATA
	evtDataTF                            // 10
	evtReleaseRequest                    // 11: local A-RELEASE request
	evtReleaseRQ                         // 12
	evtReleaseRP                         // 13
	evtReleaseResponse                   // 14: local A-RELEASE response
	evtAbortRequest                      // 15: local A-ABORT
	evtAbort                             // 16
	evtClosed                            // 17: transport closed
	evtARTIM                             // 18: timer expired
	evtInvalid                           // 19: unrecognised or invalid PDU
)

// action is the name of what PS3.8, tables 9-6 to 9-9, has done.
type action string

type transition struct {
	action action
	next   state
}

// next is table 9-10 of PS3.8. Where the acceptor may also refuse (AE-6) the next state is that of a request that it takes; where the
// collision's side decides (AR-8) it is the requestor's. A pair that the table leaves empty has no transition: it cannot happen.
func next(s state, e event, requestor bool) (transition, bool) {
	abort := transition{"AA-8", sta13}
	between := func(low, high state) bool { return s >= low && s <= high }
	pdu := e == evtAssociateAC || e == evtAssociateRJ || e == evtDataTF || e == evtReleaseRQ || e == evtReleaseRP || e == evtInvalid
	switch {
	case e == evtAssociateRequest && s == sta1:
		return transition{"AE-1", sta4}, true
	case e == evtConnected && s == sta4:
		return transition{"AE-2", sta5}, true
	case e == evtConnection && s == sta1:
		return transition{"AE-5", sta2}, true
	case s == sta2 && pdu:
		return transition{"AA-1", sta13}, true
	case s == sta13 && (e == evtAssociateRQ || e == evtInvalid):
		return transition{"AA-7", sta13}, true
	case s == sta13 && pdu:
		return transition{"AA-6", sta13}, true
	case e == evtAssociateAC && s == sta5:
		return transition{"AE-3", sta6}, true
	case e == evtAssociateRJ && s == sta5:
		return transition{"AE-4", sta1}, true
	case e == evtAssociateRQ && s == sta2:
		return transition{"AE-6", sta3}, true
	case e == evtAccept && s == sta3:
		return transition{"AE-7", sta6}, true
	case e == evtReject && s == sta3:
		return transition{"AE-8", sta13}, true
	case e == evtDataRequest && s == sta6:
		return transition{"DT-1", sta6}, true
	case e == evtDataRequest && s == sta8:
		return transition{"AR-7", sta8}, true
	case e == evtDataTF && s == sta6:
		return transition{"DT-2", sta6}, true
	case e == evtDataTF && s == sta7:
		return transition{"AR-6", sta7}, true
	case e == evtReleaseRequest && s == sta6:
		return transition{"AR-1", sta7}, true
	case e == evtReleaseRQ && s == sta6:
		return transition{"AR-2", sta8}, true
	case e == evtReleaseRQ && s == sta7 && requestor:
		return transition{"AR-8", sta9}, true
	case e == evtReleaseRQ && s == sta7:
		return transition{"AR-8", sta10}, true
	case e == evtReleaseRP && (s == sta7 || s == sta11):
		return transition{"AR-3", sta1}, true
	case e == evtReleaseRP && s == sta10:
		return transition{"AR-10", sta12}, true
	case e == evtReleaseResponse && (s == sta8 || s == sta12):
		return transition{"AR-4", sta13}, true
	case e == evtReleaseResponse && s == sta9:
		return transition{"AR-9", sta11}, true
	case e == evtAbortRequest && s == sta4:
		return transition{"AA-2", sta1}, true
	case e == evtAbortRequest && (s == sta3 || between(sta5, sta12)):
		return transition{"AA-1", sta13}, true
	case e == evtAbort && (s == sta2 || s == sta13), e == evtARTIM && (s == sta2 || s == sta13):
		return transition{"AA-2", sta1}, true
	case e == evtAbort && (s == sta3 || between(sta5, sta12)):
		return transition{"AA-3", sta1}, true
	case e == evtClosed && s == sta2:
		return transition{"AA-5", sta1}, true
	case e == evtClosed && s == sta13:
		return transition{"AR-5", sta1}, true
	case e == evtClosed && between(sta3, sta12):
		return transition{"AA-4", sta1}, true
	case (pdu || e == evtAssociateRQ) && (s == sta3 || between(sta5, sta12)):
		return abort, true
	}
	return transition{}, false
}
