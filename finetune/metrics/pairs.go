package metrics

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"llamaxr/study"
)

// Bounds of what is read: a real report has under 10 KiB, and the figures of a pair take about 1 KiB.
const (
	maxLine  = 1 << 20
	maxText  = 64 << 10
	maxPairs = 200_000
)

// Pair is a written report beside the one it should be like.
type Pair struct {
	ID                   string
	Reference, Candidate string
	// Scores are those that the candidate was written from, nil when not given.
	Scores *study.PairScores
	// Changed is what the model writes when one finding's scores change sides, nil when not given.
	Changed *Changed
}

// Changed is a report written again after a change of one finding's scores.
type Changed struct {
	Finding   study.Finding `json:"finding"`
	Candidate string        `json:"candidate"`
}

// ReadPairs reads JSONL: {"id", "reference", "candidate"}, with optional "scores" ({"frontal": {...}, "lateral": {...} or null}) and
// "changed" ({"finding", "candidate"}). Without an id a pair is called by its line number. An id stands for one pair.
func ReadPairs(in io.Reader) ([]Pair, error) {
	var pairs []Pair
	lineOf := map[string]int{}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	n := 0
	for lines.Scan() {
		n++
		if len(lines.Bytes()) == 0 {
			continue
		}
		p, err := parsePair(lines.Bytes(), n)
		if err != nil {
			return nil, fmt.Errorf("pairs, line %d: %w", n, err)
		}
		if first, ok := lineOf[p.ID]; ok {
			return nil, fmt.Errorf("pairs, line %d: id %q was given on line %d", n, p.ID, first)
		}
		if lineOf[p.ID] = n; len(pairs) == maxPairs {
			return nil, fmt.Errorf("pairs, line %d: more than %d pairs", n, maxPairs)
		}
		pairs = append(pairs, p)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("pairs, line %d: %w", n+1, err)
	}
	if len(pairs) == 0 {
		return nil, errors.New("pairs: there are none")
	}
	return pairs, nil
}

func parsePair(line []byte, n int) (Pair, error) {
	var raw struct {
		ID                   any
		Reference, Candidate *string
		Scores               *study.PairScores
		Changed              *Changed
	}
	if err := json.Unmarshal(line, &raw); err != nil {
		return Pair{}, err
	}
	if raw.Reference == nil || raw.Candidate == nil {
		return Pair{}, errors.New(`"reference" and "candidate" must be there`)
	}
	if len(*raw.Reference) > maxText || len(*raw.Candidate) > maxText {
		return Pair{}, fmt.Errorf("a text of more than %d bytes", maxText)
	}
	if raw.Changed != nil && raw.Scores == nil {
		return Pair{}, errors.New(`"changed" needs "scores"`)
	}
	p := Pair{Reference: *raw.Reference, Candidate: *raw.Candidate, Scores: raw.Scores, Changed: raw.Changed}
	switch id := raw.ID.(type) {
	case nil:
		p.ID = fmt.Sprint(n)
	case string:
		p.ID = id
	case float64:
		p.ID = fmt.Sprintf("%.15g", id)
	default:
		return Pair{}, errors.New(`"id" is neither text nor number`)
	}
	return p, nil
}
