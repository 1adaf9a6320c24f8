package pdu

import (
	"encoding/binary"
	"slices"
	"strings"
)

// Item types of A-ASSOCIATE PDUs (PS3.8 section 9.3.2, PS3.7 annex D).
const (
	itemApplicationContext = 0x10
	itemContextRQ          = 0x20
	itemContextAC          = 0x21
	itemAbstractSyntax     = 0x30
	itemTransferSyntax     = 0x40
	itemUserInformation    = 0x50
	itemMaximumLength      = 0x51
	itemImplementationUID  = 0x52
	itemAsyncOperations    = 0x53
	itemRoleSelection      = 0x54
	itemImplementationName = 0x55
)

// ApplicationContext is the only application context name (PS3.7, annex A).
const ApplicationContext = "1.2.840.10008.3.1.1.1"

// Associate is A-ASSOCIATE-RQ or A-ASSOCIATE-AC.
type Associate struct {
	Accept             bool // AC
	ProtocolVersion    uint16
	Called, Calling    string
	ApplicationContext string
	Contexts           []Context
	User               UserInformation
}

// Context is a presentation context: proposed, with its abstract syntax and transfer syntaxes, or the answer to one, with a result
// and the chosen transfer syntax.
type Context struct {
	ID               byte
	Result           byte
	AbstractSyntax   string
	TransferSyntaxes []string
}

// UserInformation is what the two sides tell of themselves (PS3.7, annex D.3.3).
type UserInformation struct {
	MaximumLength          uint32 // of a P-DATA-TF that the sender of this takes; 0 is no limit
	ImplementationClassUID string
	ImplementationVersion  string
	Roles                  []Role
	AsyncOperations        bool
}

// Role is a role selection (PS3.7, annex D.3.3.4).
type Role struct {
	SOPClassUID string
	SCU, SCP    bool
}

const (
	associateFixed = 68 // protocol version, reserved, two AE titles, reserved
	aeTitleLength  = 16
)

func decodeAssociate(kind Type, body []byte) (*Associate, error) {
	if len(body) < associateFixed {
		return nil, malformed("A-ASSOCIATE of %d bytes, at least %d are needed", len(body), associateFixed)
	}
	a := &Associate{
		Accept: kind == TypeAssociateAC, ProtocolVersion: binary.BigEndian.Uint16(body),
		Called: strings.Trim(string(body[4:20]), " \x00"), Calling: strings.Trim(string(body[20:36]), " \x00"),
	}
	err := items(body[associateFixed:], func(item byte, value []byte) error {
		switch item {
		case itemApplicationContext:
			a.ApplicationContext = uid(value)
		case itemContextRQ, itemContextAC:
			if len(a.Contexts) == MaxContexts {
				return malformed("more than %d presentation contexts", MaxContexts)
			}
			c, err := decodeContext(value)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(a.Contexts, func(other Context) bool { return other.ID == c.ID }) {
				return malformed("presentation context identifier %d twice", c.ID)
			}
			a.Contexts = append(a.Contexts, c)
		case itemUserInformation:
			a.User = UserInformation{} // there is one; of more the last holds
			return decodeUser(value, &a.User)
		}
		return nil // PS3.8 9.3.1: unknown items are passed over
	})
	return a, err
}

func decodeContext(value []byte) (Context, error) {
	if len(value) < 4 {
		return Context{}, malformed("presentation context item of %d bytes", len(value))
	}
	c := Context{ID: value[0], Result: value[2]}
	if c.ID%2 == 0 {
		return c, malformed("presentation context identifier %d is even", c.ID)
	}
	err := items(value[4:], func(item byte, value []byte) error {
		switch item {
		case itemAbstractSyntax:
			c.AbstractSyntax = uid(value)
		case itemTransferSyntax:
			if len(c.TransferSyntaxes) == MaxTransferSyntaxes {
				return malformed("more than %d transfer syntaxes in context %d", MaxTransferSyntaxes, c.ID)
			}
			c.TransferSyntaxes = append(c.TransferSyntaxes, uid(value))
		}
		return nil
	})
	return c, err
}

func decodeUser(value []byte, u *UserInformation) error {
	return items(value, func(item byte, value []byte) error {
		switch item {
		case itemMaximumLength:
			if len(value) != 4 {
				return malformed("maximum length item of %d bytes", len(value))
			}
			u.MaximumLength = binary.BigEndian.Uint32(value)
		case itemImplementationUID:
			u.ImplementationClassUID = uid(value)
		case itemImplementationName:
			u.ImplementationVersion = strings.TrimSpace(string(value))
		case itemAsyncOperations:
			u.AsyncOperations = true
		case itemRoleSelection:
			if len(value) < 4 || int(binary.BigEndian.Uint16(value)) != len(value)-4 {
				return malformed("role selection item of %d bytes", len(value))
			}
			n := len(value) - 2
			u.Roles = append(u.Roles, Role{uid(value[2:n]), value[n] == 1, value[n+1] == 1})
		}
		return nil
	})
}

// items calls visit for each item: type, reserved, two bytes of length, value.
func items(body []byte, visit func(item byte, value []byte) error) error {
	for len(body) > 0 {
		if len(body) < 4 {
			return malformed("item header of %d bytes", len(body))
		}
		length := int(binary.BigEndian.Uint16(body[2:]))
		if length > len(body)-4 {
			return malformed("item type %#02x of %d bytes with %d left", body[0], length, len(body)-4)
		}
		if err := visit(body[0], body[4:4+length]); err != nil {
			return err
		}
		body = body[4+length:]
	}
	return nil
}

func uid(value []byte) string { return strings.TrimRight(string(value), "\x00 ") }

// AppendTo implements PDU.
func (a *Associate) AppendTo(b []byte) []byte {
	kind, contextItem := TypeAssociateRQ, byte(itemContextRQ)
	if a.Accept {
		kind, contextItem = TypeAssociateAC, itemContextAC
	}
	start := len(b)
	b = appendHeader(b, kind, 0)
	b = binary.BigEndian.AppendUint16(b, 1) // protocol version
	b = append(b, 0, 0)
	b = appendAETitle(b, a.Called)
	b = appendAETitle(b, a.Calling)
	b = append(b, make([]byte, 32)...)
	b = appendItem(b, itemApplicationContext, []byte(ApplicationContext))
	for _, c := range a.Contexts {
		value := []byte{c.ID, 0, c.Result, 0}
		if !a.Accept {
			value = appendItem(value, itemAbstractSyntax, []byte(c.AbstractSyntax))
		}
		for _, ts := range c.TransferSyntaxes {
			value = appendItem(value, itemTransferSyntax, []byte(ts))
		}
		b = appendItem(b, contextItem, value)
	}
	user := appendItem(nil, itemMaximumLength, binary.BigEndian.AppendUint32(nil, a.User.MaximumLength))
	user = appendItem(user, itemImplementationUID, []byte(a.User.ImplementationClassUID))
	if a.User.AsyncOperations {
		user = appendItem(user, itemAsyncOperations, []byte{0, 1, 0, 1}) // one invoked, one performed
	}
	for _, r := range a.User.Roles {
		value := binary.BigEndian.AppendUint16(nil, uint16(len(r.SOPClassUID)))
		value = append(append(value, r.SOPClassUID...), flag(r.SCU), flag(r.SCP))
		user = appendItem(user, itemRoleSelection, value)
	}
	user = appendItem(user, itemImplementationName, []byte(a.User.ImplementationVersion))
	b = appendItem(b, itemUserInformation, user)
	binary.BigEndian.PutUint32(b[start+2:], uint32(len(b)-start-HeaderLength))
	return b
}

func flag(v bool) byte {
	if v {
		return 1
	}
	return 0
}

func appendItem(b []byte, item byte, value []byte) []byte {
	b = binary.BigEndian.AppendUint16(append(b, item, 0), uint16(len(value)))
	return append(b, value...)
}

func appendAETitle(b []byte, title string) []byte {
	if len(title) > aeTitleLength {
		title = title[:aeTitleLength]
	}
	return append(b, title+strings.Repeat(" ", aeTitleLength-len(title))...)
}
