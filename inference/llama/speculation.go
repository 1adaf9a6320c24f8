package llama

// Speculation without loss (Leviathan et al. 2023, with a table in the place of the small model): reports repeat one another, so a table of
// what followed the last few tokens in texts written before guesses the next ones. One pass over the weights checks them all, and only
// what the model itself would have written is kept: the text is the same to the last token.

const (
	// mostDrafted is how many tokens are guessed at once: with the one before them as many rows as the kernel multiplies together.
	mostDrafted = 3
	// worthwhile is how many tokens a pass of guesses must promise besides its first: one of four rows costs about 2.4 of one row.
	worthwhile = 1.5
	// longestContext and shortestContext are how many tokens a guess hangs on; what followed the longest wins.
	longestContext, shortestContext = 6, 2
	// mostTimes is up to where it is counted how often the same token followed.
	mostTimes = 4
	// mostContexts bounds the table, about 100 MB; a full one begins anew.
	mostContexts = 1 << 20
)

// guesses remembers which token followed which, and how often guesses of each kind were right.
type guesses struct {
	next map[[longestContext]int32]follower
	luck [longestContext + 1][mostTimes + 1]luck
}

// follower is what came after a context, times times in a row.
type follower struct{ token, times int32 }

// guess is a token and what kind of guess it is: by a context of so many tokens, which the token followed so many times.
type guess struct{ token, context, times int }

// luck counts guesses of one kind.
type luck struct{ right, all float64 }

// fading is what is left of old counts with each new one, so that a new adapter's texts soon count.
const fading = 0.98

// chance is the share that was right; before there were any it is taken to be even.
func (l luck) chance() float64 { return (l.right + 1) / (l.all + 2) }

// context is the last n of the tokens, as a key; tokens are stored above zero so that a shorter context is another key.
func contextOf(tokens []int, n int) (key [longestContext]int32) {
	for i, id := range tokens[len(tokens)-n:] {
		key[i] = int32(id) + 1
	}
	return key
}

// learn adds a text, of which the first start tokens are a prompt. What the table would have guessed in it is counted first.
func (g *guesses) learn(tokens []int, start int) {
	if g.next == nil || len(g.next) > mostContexts {
		g.next = map[[longestContext]int32]follower{}
	}
	for at := max(start, shortestContext); at < len(tokens); at++ {
		if guess, ok := g.guess(tokens[:at]); ok {
			l := &g.luck[guess.context][guess.times]
			l.right, l.all = l.right*fading, l.all*fading+1
			if guess.token == tokens[at] {
				l.right++
			}
		}
		for n := shortestContext; n <= min(longestContext, at); n++ {
			key := contextOf(tokens[:at], n)
			f := g.next[key]
			if f.token != int32(tokens[at]) {
				f = follower{token: int32(tokens[at])}
			}
			f.times = min(f.times+1, mostTimes)
			g.next[key] = f
		}
	}
}

// guess says what follows tokens.
func (g *guesses) guess(tokens []int) (guess, bool) {
	for n := min(longestContext, len(tokens)); n >= shortestContext; n-- {
		if f, ok := g.next[contextOf(tokens, n)]; ok {
			return guess{int(f.token), n, int(f.times)}, true
		}
	}
	return guess{}, false
}

// draft guesses at most n tokens that follow, none where that does not promise to save time.
func (g *guesses) draft(tokens []int, n int) (out []int) {
	all := append([]int(nil), tokens[max(0, len(tokens)-longestContext):]...)
	promised, chance := 0.0, 1.0
	for len(out) < n {
		guess, ok := g.guess(all)
		if !ok {
			break
		}
		chance *= g.luck[guess.context][guess.times].chance()
		promised += chance
		out, all = append(out, guess.token), append(all, guess.token)
	}
	if promised < worthwhile {
		return nil
	}
	return out
}
