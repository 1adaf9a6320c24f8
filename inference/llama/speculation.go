package llama

// Speculation without loss (Leviathan et al. 2023, with a table in the place of the small model): reports repeat one another, so a table of
// what followed the last few tokens in texts written before guesses the next ones. One pass over the weights checks them all, and only
// what the model itself would have written is kept: the text is the same to the last token.

const (
	// mostDrafted is how many tokens are guessed at once: with the one before them as many rows as the kernel multiplies together. A pass of
	// four rows costs about 1.6 of one.
	mostDrafted = 3
	// longestContext and shortestContext are how many tokens a guess hangs on; what followed the longest wins.
	longestContext, shortestContext = 6, 2
	// mostContexts bounds the table, about 100 MB; a full one begins anew.
	mostContexts = 1 << 20
)

// guesses remembers which token followed which.
type guesses struct {
	next map[[longestContext]int32]int32
}

// context is the last n of the tokens, as a key; tokens are stored above zero so that a shorter context is another key.
func contextOf(tokens []int, n int) (key [longestContext]int32) {
	for i, id := range tokens[len(tokens)-n:] {
		key[i] = int32(id) + 1
	}
	return key
}

// learn adds a text, of which the first start tokens are a prompt.
func (g *guesses) learn(tokens []int, start int) {
	if g.next == nil || len(g.next) > mostContexts {
		g.next = map[[longestContext]int32]int32{}
	}
	for at := max(start, shortestContext); at < len(tokens); at++ {
		for n := shortestContext; n <= min(longestContext, at); n++ {
			g.next[contextOf(tokens[:at], n)] = int32(tokens[at])
		}
	}
}

// draft guesses at most n tokens that follow.
func (g *guesses) draft(tokens []int, n int) (out []int) {
	all := append([]int(nil), tokens[max(0, len(tokens)-longestContext):]...)
	for len(out) < n {
		id, found := int32(0), false
		for k := min(longestContext, len(all)); k >= shortestContext && !found; k-- {
			id, found = g.next[contextOf(all, k)]
		}
		if !found {
			break
		}
		out, all = append(out, int(id)), append(all, int(id))
	}
	return out
}
