package llama

import "context"

// Replay decodes as Generate does, but writes text, whatever the model would: the work of a draft, for measuring with weights that write none.
func (m *Model) Replay(ctx context.Context, prompt, text string) (*Result, error) {
	ids := m.Tokenizer.Encode(text)
	_, result, err := m.write(ctx, m.Tokenizer.Prompt(prompt), len(ids), m.ending, func(_, n int) int {
		if n < len(ids) {
			return ids[n]
		}
		return m.Tokenizer.EOS
	})
	return result, err
}

// Learn makes texts all that speculation has seen.
func (m *Model) Learn(texts []string) {
	m.passing.Lock()
	defer m.passing.Unlock()
	m.guesses = guesses{}
	for _, text := range texts {
		m.guesses.learn(append(m.Tokenizer.Encode(text), m.Tokenizer.EOS), 0)
	}
}

// Speculate turns speculation on or off; it is on at first.
func (m *Model) Speculate(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.plain = !on
}

// mostGuessed is how many tokens are guessed for a pass.
func (m *Model) mostGuessed() int {
	if m.plain {
		return 0
	}
	return m.machine.mostWanted() - 1
}
