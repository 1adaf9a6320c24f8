package llama

import (
	"context"
	"errors"
	"fmt"
)

// Texts that are written at once share passes (continuous batching, Yu et al. 2022): a weight is read and decoded once for the tokens of all. Each
// has a slot of keys and values; its prompt is computed alone, between two passes, and from the next on it is one of the texts of a pass, which
// begins when all of them have said how they go on. A token's results have the same bits whichever share its pass.

// MostTogether is how many texts a machine writes at once at most: with one token of each as many rows as the kernel multiplies together.
const MostTogether = 4

// roomTogether is the most positions that a text beside others takes, so that all take no more memory than one of maxContext: 1 GiB with 8
// billion parameters, of 256 KiB a position.
const roomTogether = maxContext / MostTogether

// slot is a place for the keys and values of one text.
type slot struct {
	kept []int // tokens whose keys and values the machine holds there
	busy bool
}

// request is how a text goes on: with its last token, and with guesses of what follows.
type request struct {
	slot, room int // at most room guesses
	text       []int
	guessed    []int
	best       []int // after the last token and each guess
	err        error
	done       chan struct{}
}

// enter waits until a text of so many tokens can be written, until leave is called: beside fewer others than there are places, or alone when it is
// long; then nothing of others is kept.
func (m *Model) enter(ctx context.Context, tokens int) (leave func(), err error) {
	select {
	case m.places <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("llama: generating: %w", ctx.Err())
	}
	m.mu.RLock()
	context, positions := m.context, m.positions()
	switch {
	case tokens > context:
		m.mu.RUnlock()
		<-m.places
		return nil, fmt.Errorf("%w: %d tokens of %d", ErrPromptTooLong, tokens, context)
	case tokens+positions-context <= roomTogether:
		return func() {
			m.mu.RUnlock()
			<-m.places
		}, nil
	}
	m.mu.RUnlock()
	m.mu.Lock()
	m.forget()
	return func() {
		m.forget()
		m.mu.Unlock()
		<-m.places
	}, nil
}

// forget is for who has the model to himself.
func (m *Model) forget() {
	clear(m.slots)
	m.machine.forget()
}

// begin computes a prompt in a free slot. It returns how many of its tokens were kept, and which is likeliest to come next.
func (m *Model) begin(ctx context.Context, ids []int) (at, kept, likeliest int, err error) {
	m.passing.Lock()
	defer m.passing.Unlock()
	if err := ctx.Err(); err != nil { // other prompts came first
		return 0, 0, 0, fmt.Errorf("llama: generating: %w", err)
	}
	at = m.place(ids)
	computed, err := m.recall(at, ids)
	if err != nil {
		return 0, 0, 0, err
	}
	from := m.keptOf(at, ids)
	if err := m.forward(part{at, ids[from:], from, 1}); err != nil {
		return 0, 0, 0, err
	}
	likeliest = m.machine.best()[0]
	m.slots[at].busy = true
	m.writing++
	return at, from - computed, likeliest, nil
}

// place chooses a free slot for a prompt: the one that holds most of its beginning.
func (m *Model) place(ids []int) int {
	at := -1
	for i := range m.slots {
		if !m.slots[i].busy && (at < 0 || m.keptOf(i, ids) > m.keptOf(at, ids)) {
			at = i
		}
	}
	return at
}

// finish frees a slot; what it keeps stays for another text that begins alike.
func (m *Model) finish(at int) {
	m.passing.Lock()
	defer m.passing.Unlock()
	m.slots[at].busy = false
	m.writing--
	m.passIfAll()
}

// goOn computes what comes after a text whose last token was not computed, and after at most room guesses that follow it.
func (m *Model) goOn(at int, text []int, room int) (guessed, best []int, err error) {
	r := &request{slot: at, text: text, room: room, done: make(chan struct{})}
	m.wait(r)
	<-r.done
	return r.guessed, r.best, r.err
}

func (m *Model) wait(r *request) {
	m.passing.Lock()
	defer m.passing.Unlock()
	m.waiting = append(m.waiting, r)
	m.passIfAll()
}

var errPass = errors.New("llama: a pass was broken off")

// passIfAll runs a pass for all texts once each waits for it.
func (m *Model) passIfAll() {
	if len(m.waiting) == 0 || len(m.waiting) < m.writing {
		return
	}
	requests := m.waiting
	m.waiting = nil
	err := errPass // of a panic, which is its caller's: the others must not wait for ever
	defer func() {
		for _, r := range requests {
			r.err = err
			close(r.done)
		}
	}()
	m.guesses.share(requests)
	parts := make([]part, len(requests))
	for i, r := range requests {
		from := len(r.text) - 1
		parts[i] = part{r.slot, append(r.text[from:from+1:from+1], r.guessed...), from, 1 + len(r.guessed)}
	}
	if err = m.forward(parts...); err != nil {
		return
	}
	best := m.machine.best()
	for _, r := range requests {
		r.best, best = best[:1+len(r.guessed)], best[1+len(r.guessed):]
	}
}

// keptOf is how many of the first tokens of a prompt need not be computed again in a slot, all but the last at most.
func (m *Model) keptOf(at int, ids []int) int {
	if !m.machine.invariant() {
		return 0
	}
	return min(commonPrefix(m.slots[at].kept, ids), len(ids)-1)
}

// forward runs a pass and remembers what the machine keeps of it.
func (m *Model) forward(parts ...part) error {
	for _, p := range parts {
		s := &m.slots[p.slot]
		if p.from > len(s.kept) {
			return fmt.Errorf("llama: a pass from position %d, %d are kept", p.from, len(s.kept))
		}
		s.kept = s.kept[:p.from]
	}
	err := m.machine.forward(parts...)
	for _, p := range parts {
		if err == nil {
			m.slots[p.slot].kept = append(m.slots[p.slot].kept, p.tokens...)
		}
	}
	return err
}

// learn lets speculation see a text.
func (m *Model) learn(text []int, start int) {
	m.passing.Lock()
	defer m.passing.Unlock()
	if m.machine.mostWanted() > 1 {
		m.guesses.learn(text, start)
	}
}
