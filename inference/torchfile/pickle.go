package torchfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
)

// Limits of a pickle. A whole DenseNet121 has 70,000 instructions in 200 kB, and 1.5 MB where its classes' source text lies in it.
const (
	maxPickle = 16 << 20
	maxSteps  = 1 << 20 // bounds the stack, the memo and everything that is made as well
	maxName   = 128     // of a module or class
)

// Instructions that are done, of protocols 2 to 4 (Lib/pickletools.py).
const (
	opMark           = '('
	opStop           = '.'
	opPop            = '0'
	opPopMark        = '1'
	opBinFloat       = 'G'
	opBinInt         = 'J'
	opBinInt1        = 'K'
	opBinInt2        = 'M'
	opNone           = 'N'
	opBinPersID      = 'Q'
	opReduce         = 'R'
	opBinUnicode     = 'X'
	opAppend         = 'a'
	opBuild          = 'b'
	opGlobal         = 'c'
	opAppends        = 'e'
	opBinGet         = 'h'
	opLongBinGet     = 'j'
	opBinPut         = 'q'
	opLongBinPut     = 'r'
	opSetItem        = 's'
	opTuple          = 't'
	opSetItems       = 'u'
	opEmptyTuple     = ')'
	opEmptyList      = ']'
	opEmptyDict      = '}'
	opProto          = 0x80
	opNewObj         = 0x81
	opTuple1         = 0x85
	opTuple2         = 0x86
	opTuple3         = 0x87
	opNewTrue        = 0x88
	opNewFalse       = 0x89
	opLong1          = 0x8a
	opBinBytes       = 'B'
	opShortBinBytes  = 'C'
	opShortUnicode   = 0x8c
	opEmptySet       = 0x8f
	opAddItems       = 0x90
	opStackGlobal    = 0x93
	opMemoize        = 0x94
	opFrame          = 0x95
	newestProtocol   = 4
	maxLong          = 16 // bytes of an integer; torch's magic number has ten
	bytesOfLongShift = 8
)

// refusals names what is not done, so that an error can.
var refusals = map[byte]string{
	'i': "INST", 'o': "OBJ", 'P': "PERSID", 'p': "PUT", 'g': "GET", 'I': "INT", 'L': "LONG", 'F': "FLOAT", 'S': "STRING", 'T': "BINSTRING",
	'U': "SHORT_BINSTRING", 'V': "UNICODE", '2': "DUP", 'd': "DICT", 'l': "LIST", 0x82: "EXT1", 0x83: "EXT2", 0x84: "EXT4", 0x8b: "LONG4",
	0x8d: "BINUNICODE8", 0x8e: "BINBYTES8", 0x91: "FROZENSET", 0x92: "NEWOBJ_EX", 0x96: "BYTEARRAY8", 0x97: "NEXT_BUFFER",
	0x98: "READONLY_BUFFER",
}

// mark stands on the stack where a tuple, list or dict begins.
type mark struct{}

// machine takes one pickle apart.
type machine struct {
	in    []byte
	at    int
	steps int // instructions done, and what functions copied
	stack []any
	memo  map[int64]any
	// persistent finds what the pickle only refers to: a storage.
	persistent func(id tuple) (any, error)
}

// unpickle reads the pickle at the beginning of in and returns how long it is.
func unpickle(in []byte, persistent func(tuple) (any, error)) (value any, length int, err error) {
	m := &machine{in: in, memo: map[int64]any{}, persistent: persistent}
	for ; m.steps < maxSteps; m.steps++ {
		begins := m.at
		op, err := m.bytes(1)
		if err != nil {
			return nil, 0, err
		}
		if op[0] == opStop {
			value, err := m.pop()
			if err == nil && len(m.stack) > 0 {
				err = errors.New("more than one value is left at the end")
			}
			return value, m.at, err
		}
		if err := m.step(op[0]); err != nil {
			return nil, 0, fmt.Errorf("pickle, byte %d: %w", begins, err)
		}
	}
	return nil, 0, fmt.Errorf("pickle: more than %d instructions", maxSteps)
}

// step does one instruction.
func (m *machine) step(op byte) error {
	switch op {
	case opProto:
		version, err := m.number(1)
		if err == nil && (version < 2 || version > newestProtocol) {
			err = fmt.Errorf("protocol %d, want 2 to %d", version, newestProtocol)
		}
		return err
	case opFrame:
		_, err := m.bytes(8)
		return err
	case opMark:
		return m.push(mark{}, nil)
	case opPop:
		_, err := m.pop()
		return err
	case opPopMark:
		_, err := m.sinceMark()
		return err
	case opGlobal, opStackGlobal:
		return m.push(m.global(op))
	case opReduce, opNewObj:
		return m.push(m.reduce(op))
	case opBuild:
		return m.build()
	case opBinPersID:
		return m.push(m.load())
	case opAppend, opAppends, opAddItems:
		return m.extend(op)
	case opSetItem, opSetItems:
		return m.assign(op)
	case opBinGet, opLongBinGet, opBinPut, opLongBinPut, opMemoize:
		return m.remember(op)
	}
	return m.push(m.literal(op))
}

// literal returns the value that an instruction writes down.
func (m *machine) literal(op byte) (any, error) {
	switch op {
	case opNone:
		return nil, nil
	case opNewTrue, opNewFalse:
		return op == opNewTrue, nil
	case opEmptyTuple:
		return tuple{}, nil
	case opEmptyList, opEmptySet:
		return &list{}, nil
	case opEmptyDict:
		return &dict{}, nil
	case opTuple:
		return m.sinceMark()
	case opTuple1, opTuple2, opTuple3:
		return m.popN(int(op-opTuple1) + 1)
	case opBinInt1:
		return m.number(1)
	case opBinInt2:
		return m.number(2)
	case opBinInt:
		v, err := m.number(4)
		return int64(int32(v)), err
	case opBinFloat:
		raw, err := m.bytes(8)
		if err != nil {
			return nil, err
		}
		return math.Float64frombits(binary.BigEndian.Uint64(raw)), nil
	case opLong1:
		return m.long()
	case opBinUnicode, opShortUnicode:
		raw, err := m.counted(op == opShortUnicode)
		return string(raw), err
	case opBinBytes, opShortBinBytes:
		raw, err := m.counted(op == opShortBinBytes)
		return raw, err
	}
	if name, ok := refusals[op]; ok {
		return nil, fmt.Errorf("instruction %s is refused: no saved model needs it", name)
	}
	return nil, fmt.Errorf("instruction %#02x is unknown", op)
}

func (m *machine) push(value any, err error) error {
	if err == nil {
		m.stack = append(m.stack, value)
	}
	return err
}

func (m *machine) pop() (any, error) {
	values, err := m.popN(1)
	if err != nil {
		return nil, err
	}
	return values[0], nil
}

// popN takes the last n values, none of which may be a mark.
func (m *machine) popN(n int) (tuple, error) {
	if n > len(m.stack) {
		return nil, errors.New("takes a value that is not there")
	}
	from := len(m.stack) - n
	values := append(tuple{}, m.stack[from:]...)
	for _, v := range values {
		if _, ok := v.(mark); ok {
			return nil, errors.New("takes a value that is not there")
		}
	}
	m.stack = m.stack[:from]
	return values, nil
}

func (m *machine) sinceMark() (tuple, error) {
	for i := len(m.stack) - 1; i >= 0; i-- {
		if _, ok := m.stack[i].(mark); ok {
			values := append(tuple{}, m.stack[i+1:]...)
			m.stack = m.stack[:i]
			return values, nil
		}
	}
	return nil, errors.New("takes values from a mark that is not there")
}

// top is the value that an instruction changes.
func (m *machine) top() any {
	if len(m.stack) == 0 {
		return nil
	}
	return m.stack[len(m.stack)-1]
}

// global takes a name of the list; nothing is looked up anywhere else.
func (m *machine) global(op byte) (any, error) {
	var g global
	if op == opStackGlobal {
		parts, err := m.popN(2)
		if err != nil {
			return nil, err
		}
		module, ok1 := parts[0].(string)
		name, ok2 := parts[1].(string)
		if !ok1 || !ok2 {
			return nil, errors.New("a class whose name is no text")
		}
		g = global{module, name}
	} else {
		for _, part := range []*string{&g.module, &g.name} {
			end := strings.IndexByte(string(m.in[m.at:min(m.at+maxName+1, len(m.in))]), '\n')
			if end < 0 {
				return nil, errors.New("a class's name without an end")
			}
			*part = string(m.in[m.at : m.at+end])
			m.at += end + 1
		}
	}
	if known[g] == 0 {
		return nil, fmt.Errorf("%.128q is refused: it is not among what the saved models known here are made of", g.String())
	}
	return g, nil
}

func (m *machine) reduce(op byte) (any, error) {
	parts, err := m.popN(2)
	if err != nil {
		return nil, err
	}
	args, ok := parts[1].(tuple)
	if !ok {
		return nil, fmt.Errorf("arguments are %T, want a tuple", parts[1])
	}
	if g, ok := parts[0].(global); op == opNewObj && (!ok || known[g] != class && known[g] != inert) {
		return nil, fmt.Errorf("makes an instance of %T %s, which is no module", parts[0], g)
	}
	if len(args) > 0 { // or a short pickle makes a dictionary of one long list over and over
		copied, _ := items(args[0])
		m.steps += len(copied)
	}
	return call(parts[0], args)
}

// build gives an object its state. What a dict carries beside its entries (a state dict's versions) is of no use.
func (m *machine) build() error {
	state, err := m.pop()
	if err != nil {
		return err
	}
	switch target := m.top().(type) {
	case *object:
		target.state = state
	case *dict:
	default:
		return fmt.Errorf("gives a state to %T", target)
	}
	return nil
}

func (m *machine) load() (any, error) {
	id, err := m.pop()
	if err != nil {
		return nil, err
	}
	parts, ok := id.(tuple)
	if !ok || m.persistent == nil {
		return nil, fmt.Errorf("refers to %T outside the pickle", id)
	}
	return m.persistent(parts)
}

func (m *machine) extend(op byte) error {
	var values tuple
	var err error
	if op == opAppend {
		values, err = m.popN(1)
	} else {
		values, err = m.sinceMark()
	}
	if err != nil {
		return err
	}
	target, ok := m.top().(*list)
	if !ok {
		return fmt.Errorf("appends to %T", m.top())
	}
	target.items = append(target.items, values...)
	return nil
}

func (m *machine) assign(op byte) error {
	var values tuple
	var err error
	if op == opSetItem {
		values, err = m.popN(2)
	} else {
		values, err = m.sinceMark()
	}
	if err != nil {
		return err
	}
	target, ok := m.top().(*dict)
	if !ok || len(values)%2 != 0 {
		return fmt.Errorf("sets entries of %T", m.top())
	}
	for i := 0; i < len(values); i += 2 {
		target.set(values[i], values[i+1])
	}
	return nil
}

// remember puts the top into the memo, or takes a value out of it.
func (m *machine) remember(op byte) error {
	if len(m.stack) == 0 && op != opBinGet && op != opLongBinGet {
		return errors.New("remembers a value that is not there")
	}
	if op == opMemoize {
		m.memo[int64(len(m.memo))] = m.top()
		return nil
	}
	width := 1
	if op == opLongBinGet || op == opLongBinPut {
		width = 4
	}
	key, err := m.number(width)
	if err != nil {
		return err
	}
	if op == opBinPut || op == opLongBinPut {
		m.memo[key] = m.top()
		return nil
	}
	value, ok := m.memo[key]
	if !ok {
		return fmt.Errorf("recalls value %d, which was not remembered", key)
	}
	return m.push(value, nil)
}

func (m *machine) bytes(n int) ([]byte, error) {
	if n < 0 || n > len(m.in)-m.at {
		return nil, fmt.Errorf("pickle ends at byte %d, inside an instruction", len(m.in))
	}
	m.at += n
	return m.in[m.at-n : m.at], nil
}

// number reads an unsigned little-endian number of up to 4 bytes.
func (m *machine) number(width int) (int64, error) {
	raw, err := m.bytes(width)
	v := int64(0)
	for i, b := range raw {
		v |= int64(b) << (bytesOfLongShift * i)
	}
	return v, err
}

// counted reads bytes after their number.
func (m *machine) counted(short bool) ([]byte, error) {
	width := 4
	if short {
		width = 1
	}
	n, err := m.number(width)
	if err != nil {
		return nil, err
	}
	return m.bytes(int(n))
}

// long reads an integer in two's complement; one that does not fit 64 bits is returned as its bytes.
func (m *machine) long() (any, error) {
	raw, err := m.counted(true)
	if err != nil {
		return nil, err
	}
	if len(raw) > maxLong {
		return nil, fmt.Errorf("an integer of %d bytes", len(raw))
	}
	if len(raw) > 8 {
		return raw, nil
	}
	v := uint64(0)
	for i, b := range raw {
		v |= uint64(b) << (bytesOfLongShift * i)
	}
	unused := 64 - bytesOfLongShift*len(raw)
	return int64(v<<unused) >> unused, nil
}
