package experiment

import (
	"context"
	"fmt"
	"strings"

	"llamaxr/finetune/metrics"
	"llamaxr/inference/prompt"
	"llamaxr/reporting/guard"
	"llamaxr/study"
)

// unheaded is a text without the headings of its sections.
func unheaded(text string) string {
	return strings.Join(strings.Fields(strings.NewReplacer("FINDINGS:", " ", "IMPRESSION:", " ").Replace(text)), " ")
}

// delivered is a text as it leaves the guard.
func delivered(text string, scores study.PairScores, others guard.Others) ([]study.Sentence, string, error) {
	sentences, err := guard.CheckAgain(text, scores, nil, others)
	draft := study.Draft{Sentences: sentences}
	return sentences, draft.Text(study.SectionFindings) + " " + draft.Text(study.SectionImpression), err
}

// examples is how many test studies are shown with their texts.
const examples = 2

// judge measures what was written about the test studies.
func judge(ctx context.Context, s *Simulator, opts Options, tests []Report, written func(Report) Written) (*Result, error) {
	out := &Result{Studies: len(tests)}
	var own, left []metrics.Pair
	var counts sentences
	texts, vectors := map[string]bool{}, map[string]bool{}
	for _, t := range tests {
		w, scores := written(t), s.Scores(t)
		changedScores, _ := s.Changed(t)
		checked, text, err := delivered(w.Text, scores, w.others(0))
		if err != nil {
			return nil, err
		}
		_, changed, err := delivered(w.Changed, changedScores, w.others(1))
		if err != nil {
			return nil, err
		}
		counts.add(checked)
		texts[w.Text] = true
		vectors[prompt.Paper.Fill(scores)] = true
		out.WriteSeconds += w.Seconds
		if !w.Finished {
			out.Unfinished++
		}
		pair := metrics.Pair{ID: fmt.Sprint(t.UID), Reference: t.Plain(), Candidate: unheaded(w.Text), Scores: &scores}
		pair.Changed = &metrics.Changed{Finding: w.Finding, Candidate: unheaded(w.Changed)}
		own = append(own, pair)
		pair.Candidate, pair.Changed = text, &metrics.Changed{Finding: w.Finding, Candidate: changed}
		left = append(left, pair)
		if len(out.Example) < examples && present(scores) > 1 {
			out.Example = append(out.Example, [2]string{t.Plain(), w.Text})
		}
	}
	out.Distinct, out.Vectors = len(texts), len(vectors)
	out.Guard, out.Rewritten, out.Removed = counts.shares()
	for _, side := range []struct {
		pairs []metrics.Pair
		into  *Figures
	}{{own, &out.Own}, {left, &out.Delivered}} {
		report, err := metrics.Evaluate(ctx, side.pairs, metrics.Options{Seed: opts.Seed, Meteor: opts.Meteor})
		if err != nil {
			return nil, err
		}
		*side.into = figuresOf(report)
	}
	return out, nil
}

// sentences counts what the guard did.
type sentences struct{ left, byGuard, anew, own, removed int }

func (s *sentences) add(list []study.Sentence) {
	for _, one := range list {
		switch one.Verdict {
		case study.VerdictRemoved:
			s.removed++
			s.own++
			continue
		case study.VerdictReplaced:
			s.byGuard++
			s.own++
		case study.VerdictAdded:
			s.byGuard++
		case study.VerdictRewritten:
			s.anew++
			s.own++
		default:
			s.own++
		}
		s.left++
	}
}

func (s *sentences) shares() (byGuard, anew, removed float64) {
	left := float64(max(s.left, 1))
	return float64(s.byGuard) / left, float64(s.anew) / left, float64(s.removed) / float64(max(s.own, 1))
}
