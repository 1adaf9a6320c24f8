package dicomnet

// state is one of the thirteen of PS3.8, section 9.2.1.
type state int

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

// event is one of the nineteen of PS3.8, section 9.2.2.
type event int

// Events.
const (
	evtAssociateRequest event = iota + 1 // local A-ASSOCIATE request
	evtConnected                         // the transport that we asked for is open
	evtAssociateAC                       // A-ASSOCIATE-AC received
	evtAssociateRJ                       // A-ASSOCIATE-RJ received
	evtConnection                        // somebody opened a transport to us
	evtAssociateRQ                       // A-ASSOCIATE-RQ received
	evtAccept                            // local answer to A-ASSOCIATE: accept
	evtReject                            // local answer to A-ASSOCIATE: reject
	evtDataRequest                       // local P-DATA request
	evtDataTF                            // P-DATA-TF received
	evtReleaseRequest                    // local A-RELEASE request
	evtReleaseRQ                         // A-RELEASE-RQ received
	evtReleaseRP                         // A-RELEASE-RP received
	evtReleaseResponse                   // local answer to A-RELEASE
	evtAbortRequest                      // local A-ABORT request
	evtAbort                             // A-ABORT received
	evtClosed                            // transport closed
	evtARTIM                             // ARTIM timer expired
	evtInvalid                           // unrecognised or invalid PDU received
)

// action is what PS3.8, tables 9-6 to 9-9, has done. Those that only tell the local user something are carried out by whoever called.
type action string

// Actions.
const (
	ae1  action = "AE-1"  // open the transport
	ae2  action = "AE-2"  // send A-ASSOCIATE-RQ
	ae3  action = "AE-3"  // tell of the acceptance
	ae4  action = "AE-4"  // tell of the rejection, close
	ae5  action = "AE-5"  // start ARTIM
	ae6  action = "AE-6"  // stop ARTIM, tell of the request or reject it
	ae7  action = "AE-7"  // send A-ASSOCIATE-AC
	ae8  action = "AE-8"  // send A-ASSOCIATE-RJ, start ARTIM
	dt1  action = "DT-1"  // send P-DATA-TF
	dt2  action = "DT-2"  // hand over P-DATA
	ar1  action = "AR-1"  // send A-RELEASE-RQ
	ar2  action = "AR-2"  // tell of the release
	ar3  action = "AR-3"  // confirm the release, close
	ar4  action = "AR-4"  // send A-RELEASE-RP, start ARTIM
	ar5  action = "AR-5"  // stop ARTIM
	ar6  action = "AR-6"  // hand over P-DATA
	ar7  action = "AR-7"  // send P-DATA-TF
	ar8  action = "AR-8"  // tell of the release: collision
	ar9  action = "AR-9"  // send A-RELEASE-RP
	ar10 action = "AR-10" // confirm the release
	aa1  action = "AA-1"  // send A-ABORT as service user, start ARTIM
	aa2  action = "AA-2"  // stop ARTIM, close
	aa3  action = "AA-3"  // tell of the abort, close
	aa4  action = "AA-4"  // tell that the transport is gone
	aa5  action = "AA-5"  // stop ARTIM
	aa6  action = "AA-6"  // ignore the PDU
	aa7  action = "AA-7"  // send A-ABORT
	aa8  action = "AA-8"  // send A-ABORT as service provider, tell of it, start ARTIM
)

type transition struct {
	action action
	next   state
}

// transitions is table 9-10 of PS3.8: a row an event, a column a state; what the table leaves empty cannot happen. AE-6 goes to Sta3:
// a request that is refused goes on by the local rejection. AR-8 goes to Sta9, which is the requestor's; next knows the acceptor's.
var transitions = [19][13]transition{
	evtAssociateRequest - 1: {sta1 - 1: {ae1, sta4}},
	evtConnected - 1:        {sta4 - 1: {ae2, sta5}},
	evtAssociateAC - 1:      received(transition{ae3, sta6}, sta5),
	evtAssociateRJ - 1:      received(transition{ae4, sta1}, sta5),
	evtConnection - 1:       {sta1 - 1: {ae5, sta2}},
	evtAssociateRQ - 1: {
		sta2 - 1: {ae6, sta3}, sta3 - 1: {aa8, sta13}, sta5 - 1: {aa8, sta13}, sta6 - 1: {aa8, sta13}, sta7 - 1: {aa8, sta13},
		sta8 - 1: {aa8, sta13}, sta9 - 1: {aa8, sta13}, sta10 - 1: {aa8, sta13}, sta11 - 1: {aa8, sta13}, sta12 - 1: {aa8, sta13},
		sta13 - 1: {aa7, sta13},
	},
	evtAccept - 1:          {sta3 - 1: {ae7, sta6}},
	evtReject - 1:          {sta3 - 1: {ae8, sta13}},
	evtDataRequest - 1:     {sta6 - 1: {dt1, sta6}, sta8 - 1: {ar7, sta8}},
	evtDataTF - 1:          received(transition{dt2, sta6}, sta6, at{sta7, transition{ar6, sta7}}),
	evtReleaseRequest - 1:  {sta6 - 1: {ar1, sta7}},
	evtReleaseRQ - 1:       received(transition{ar2, sta8}, sta6, at{sta7, transition{ar8, sta9}}),
	evtReleaseRP - 1:       received(transition{ar3, sta1}, sta7, at{sta10, transition{ar10, sta12}}, at{sta11, transition{ar3, sta1}}),
	evtReleaseResponse - 1: {sta8 - 1: {ar4, sta13}, sta9 - 1: {ar9, sta11}, sta12 - 1: {ar4, sta13}},
	evtAbortRequest - 1: {
		sta3 - 1: {aa1, sta13}, sta4 - 1: {aa2, sta1}, sta5 - 1: {aa1, sta13}, sta6 - 1: {aa1, sta13}, sta7 - 1: {aa1, sta13},
		sta8 - 1: {aa1, sta13}, sta9 - 1: {aa1, sta13}, sta10 - 1: {aa1, sta13}, sta11 - 1: {aa1, sta13}, sta12 - 1: {aa1, sta13},
	},
	evtAbort - 1: {
		sta2 - 1: {aa2, sta1}, sta3 - 1: {aa3, sta1}, sta5 - 1: {aa3, sta1}, sta6 - 1: {aa3, sta1}, sta7 - 1: {aa3, sta1},
		sta8 - 1: {aa3, sta1}, sta9 - 1: {aa3, sta1}, sta10 - 1: {aa3, sta1}, sta11 - 1: {aa3, sta1}, sta12 - 1: {aa3, sta1},
		sta13 - 1: {aa2, sta1},
	},
	evtClosed - 1: {
		sta2 - 1: {aa5, sta1}, sta3 - 1: {aa4, sta1}, sta4 - 1: {aa4, sta1}, sta5 - 1: {aa4, sta1}, sta6 - 1: {aa4, sta1},
		sta7 - 1: {aa4, sta1}, sta8 - 1: {aa4, sta1}, sta9 - 1: {aa4, sta1}, sta10 - 1: {aa4, sta1}, sta11 - 1: {aa4, sta1},
		sta12 - 1: {aa4, sta1}, sta13 - 1: {ar5, sta1},
	},
	evtARTIM - 1: {sta2 - 1: {aa2, sta1}, sta13 - 1: {aa2, sta1}},
	evtInvalid - 1: {
		sta2 - 1: {aa1, sta13}, sta3 - 1: {aa8, sta13}, sta5 - 1: {aa8, sta13}, sta6 - 1: {aa8, sta13}, sta7 - 1: {aa8, sta13},
		sta8 - 1: {aa8, sta13}, sta9 - 1: {aa8, sta13}, sta10 - 1: {aa8, sta13}, sta11 - 1: {aa8, sta13}, sta12 - 1: {aa8, sta13},
		sta13 - 1: {aa7, sta13},
	},
}

// at is a state in which a received PDU is expected, and what then happens.
type at struct {
	state state
	transition
}

// received is the row of a PDU other than A-ASSOCIATE-RQ and A-ABORT: a few states expect it, the others abort or, closing, ignore it.
func received(then transition, in state, more ...at) (row [13]transition) {
	for s := sta3; s <= sta12; s++ {
		row[s-1] = transition{aa8, sta13}
	}
	row[sta4-1] = transition{} // no PDU comes over a transport that is not open yet
	row[sta2-1], row[sta13-1] = transition{aa1, sta13}, transition{aa6, sta13}
	row[in-1] = then
	for _, m := range more {
		row[m.state-1] = m.transition
	}
	return row
}

// next looks an event up; it reports false for one that cannot happen in that state.
func next(s state, e event, requestor bool) (transition, bool) {
	t := transitions[e-1][s-1]
	if t.action == ar8 && !requestor {
		t.next = sta10
	}
	return t, t.next != 0
}
