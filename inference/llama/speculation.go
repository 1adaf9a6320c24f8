package llama

import (
	"cmp"
	"slices"
)

// Speculation without loss (Leviathan et al. 2023, with a table in the place of the small model): reports repeat one another, so a table of
// what followed the last few tokens in texts written before guesses the next ones. One pass over the weights checks them all, and only
// what the model itself would have written is kept: the text is the same to the last token.

const (
	// mostDrafted is how many tokens are guessed at once: with the one before them as many rows as the kernel multiplies together.
	mostDrafted = 3
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

// draft guesses at most n tokens that follow; chances are that a pass comes to each of them.
func (g *guesses) draft(tokens []int, n int) (out []int, chances []float64) {
	all := append([]int(nil), tokens[max(0, len(tokens)-longestContext):]...)
	chance := 1.0
	for len(out) < n {
		guess, ok := g.guess(all)
		if !ok {
			break
		}
		chance *= g.luck[guess.context][guess.times].chance()
		out, chances, all = append(out, guess.token), append(chances, chance), append(all, guess.token)
	}
	return out, chances
}

// cost is what a pass of so many rows takes, in about the time of one: the kernel multiplies four together.
func cost(rows int) float64 {
	const one, four, first = 0.96, 1.7, 0.7
	c := one * float64(rows%4)
	if rows >= 4 {
		c += first + four*float64(rows/4)
	}
	return c
}

// share guesses what follows the texts of a pass: of all guesses the likeliest, as many as promise the most tokens for the pass's time.
func (g *guesses) share(requests []*request) {
	type row struct {
		of     *request
		chance float64
	}
	var rows []row
	for _, s := range requests {
		var chances []float64
		s.guessed, chances = g.draft(s.text, s.room)
		for _, chance := range chances {
			rows = append(rows, row{s, chance})
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(b.chance, a.chance) })
	taken, promised := 0, float64(len(requests))
	most := promised / cost(len(requests))
	for i, r := range rows {
		promised += r.chance
		if value := promised / cost(len(requests)+i+1); value > most {
			taken, most = i+1, value
		}
	}
	count := map[*request]int{}
	for _, r := range rows[:taken] {
		count[r.of]++
	}
	for _, s := range requests {
		s.guessed = s.guessed[:count[s]]
	}
}
