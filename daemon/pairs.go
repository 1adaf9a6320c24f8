package daemon

import (
	"fmt"
	"slices"

	"llamaxr/ingest/pairing"
	"llamaxr/queue"
	"llamaxr/study"
)

// paired is how the images of a study are read.
type paired struct {
	looked bool // every image was examined, or that was given up; only then the rest is final
	pair   study.Pair
	// unseen are the study's own images of which looking at them was given up.
	unseen []string
	// home and partner are the studies of the frontal and the lateral view where a reader gave each cassette a study of its own; empty when
	// the study stands alone. The draft belongs to home.
	home, partner string
}

// pairOf pairs a study as it stands.
func (a *Appliance) pairOf(uid string) (p paired, err error) {
	err = a.db.View(func(tx *queue.Tx) error {
		own, err := a.ownPair(tx, uid)
		if err != nil {
			return err
		}
		p = own
		if !single(own.pair) {
			return nil
		}
		partners, err := a.partners(tx, uid, own.pair)
		if err != nil || len(partners) != 1 {
			return err // with several it is a guess which one belongs to it
		}
		for other, theirs := range partners {
			p.looked = own.looked && theirs.looked
			p.pair, p.home, p.partner = joined(own.pair, theirs.pair), uid, other
			if own.pair.Frontal == "" {
				p.home, p.partner = other, uid
			}
		}
		return nil
	})
	return p, err
}

// single reports whether a pair is one view beyond doubt.
func single(p study.Pair) bool {
	return p.Refusal == "" && p.ViewsCertain() && (p.Frontal == "") != (p.Lateral == "")
}

func joined(a, b study.Pair) study.Pair {
	return study.Pair{
		Frontal: a.Frontal + b.Frontal, Lateral: a.Lateral + b.Lateral, Choices: append(a.Choices, b.Choices...), Doubt: study.Together(a.Doubt, b.Doubt),
	}
}

// ownPair pairs a study's own images.
func (a *Appliance) ownPair(tx *queue.Tx, uid string) (paired, error) {
	p := paired{looked: true}
	s, err := tx.Study(uid)
	if err != nil || s == nil {
		return p, err
	}
	var candidates []pairing.Candidate
	for _, sop := range s.Instances {
		i, err := tx.Instance(sop)
		if err != nil {
			return p, err
		}
		if i == nil {
			return p, fmt.Errorf("daemon: instance %s of study %s is lost: %w", sop, uid, queue.ErrDamaged)
		}
		c := candidateOf(i)
		if i.Examined == nil && i.Gone == "" {
			j, err := tx.Job(examineJob(i).ID)
			if err != nil {
				return p, err
			}
			if j != nil && j.Dead {
				p.unseen, c.NoImage = append(p.unseen, sop), "looking at it was given up"
			} else {
				p.looked = false
			}
		}
		r, err := tx.Rejection(uid, sop)
		if err != nil {
			return p, err
		}
		if r != nil {
			c.Rejected = r.Title.Reason()
		}
		candidates = append(candidates, c)
	}
	p.pair = pairing.Decide(candidates, a.pairing())
	return p, nil
}

// mostOfAccession is how many studies one accession number can have and still be one: modalities without a worklist write the same word on every
// study, and each study would be held against all that ever came.
const mostOfAccession = 32

// ofAccession are the studies of an accession number, none where it does not tell examinations apart.
func ofAccession(tx *queue.Tx, number string) ([]string, error) {
	uids, err := tx.StudiesOfAccession(number)
	if len(uids) > mostOfAccession {
		return nil, err
	}
	return uids, err
}

// partners are the studies of the same examination that hold just the view that this one lacks.
func (a *Appliance) partners(tx *queue.Tx, uid string, own study.Pair) (map[string]paired, error) {
	mine, err := tx.Instance(own.Frontal + own.Lateral)
	if err != nil || mine == nil {
		return nil, err
	}
	others, err := ofAccession(tx, mine.Header.AccessionNumber)
	if err != nil {
		return nil, err
	}
	found := map[string]paired{}
	for _, other := range others {
		if other == uid {
			continue
		}
		theirs, err := a.ownPair(tx, other)
		if err != nil {
			return nil, err
		}
		if !single(theirs.pair) || (theirs.pair.Frontal == "") == (own.Frontal == "") {
			continue
		}
		i, err := tx.Instance(theirs.pair.Frontal + theirs.pair.Lateral)
		if err != nil || i == nil {
			return nil, err
		}
		if same, _ := pairing.SameExamination(mine.Header, i.Header); same {
			found[other] = theirs
		}
	}
	return found, nil
}

// elsewhere ends the draft of a study whose lateral view is read with the frontal one of another study; that one is drafted again if its
// draft was made without.
func (a *Appliance) elsewhere(tx *queue.Tx, p paired, uid string, revision int) error {
	home, err := tx.Study(p.home)
	if err != nil || home == nil {
		return err
	}
	waiting, err := tx.Job(draftJob(home).ID)
	if err != nil {
		return err
	}
	if home.State != queue.Receiving && waiting == nil && (home.Pair == nil || home.Pair.Lateral != p.pair.Lateral) {
		home.Note(tx.Now(), "the lateral view came as a study of its own with the same accession number")
		home.State, home.Reason = queue.Receiving, ""
		if err := tx.Postpone(completionJob(p.home, tx.Now(), true)); err != nil {
			return err
		}
		if err := tx.PutStudy(home); err != nil {
			return err
		}
	}
	return a.setState(tx, uid, revision, queue.Refused, readWith(p.home), func(s *queue.Study) { s.ReadWith, s.Pair = p.home, &p.pair })
}

// readHere notes on the partner study where its lateral view is read.
func readHere(tx *queue.Tx, p paired) error {
	if p.partner == "" {
		return nil
	}
	s, err := tx.Study(p.partner)
	if err != nil || s == nil || s.ReadWith == p.home {
		return err
	}
	s.ReadWith = p.home
	s.Note(tx.Now(), readWith(p.home))
	return tx.PutStudy(s)
}

func readWith(home string) string {
	return "its lateral view is read with study " + home + ", which has the same accession number"
}

// lent reports whether a study has no draft of its own since its lateral view is read with another study.
func lent(s *queue.Study) bool {
	return s.ReadWith != "" && s.Pair != nil && s.Pair.Frontal != "" && !slices.Contains(s.Instances, s.Pair.Frontal)
}

// stageJob is one by which a revision comes about: its draft, or the documents of that.
func stageJob(kind, uid string, revision int) queue.Job {
	return queue.Job{ID: fmt.Sprintf("%s/%s/%d", kind, uid, revision), Kind: kind, Study: uid, Payload: mustJSON(revision)}
}

// draftJob drafts a study's newest revision.
func draftJob(s *queue.Study) queue.Job { return stageJob(kindDraft, s.UID, s.Revision) }

// readElsewhere reports whether a draft that is just being written may still read the lateral view of a study that is read for itself now.
func (a *Appliance) readElsewhere(uid string, p paired) (reads bool, err error) {
	err = a.db.View(func(tx *queue.Tx) error {
		s, err := tx.Study(uid)
		if err != nil || s == nil || s.ReadWith == "" || p.partner != "" {
			return err
		}
		home, err := tx.Study(s.ReadWith)
		if err != nil || home == nil {
			return err
		}
		j, err := tx.Job(draftJob(home).ID)
		reads = j != nil && j.Leased.After(tx.Now())
		return err
	})
	return reads, err
}

// apart ends what two studies were to each other that are read together no more, as when the patient of one was corrected: pair is how this one is read
// now. A lateral view that its draft loses is asked about in its own study, and a study that loses its lateral view to this one is drafted again.
func (a *Appliance) apart(tx *queue.Tx, uid string, p paired) error {
	s, err := tx.Study(uid)
	if err != nil || s == nil {
		return err
	}
	if s.Pair != nil && s.Pair.Lateral != p.pair.Lateral {
		if err := a.release(tx, s); err != nil {
			return err
		}
	}
	if s.ReadWith == "" || p.partner != "" {
		return nil
	}
	home, err := tx.Study(s.ReadWith)
	if err != nil {
		return err
	}
	s.ReadWith = ""
	if err := tx.PutStudy(s); err != nil {
		return err
	}
	if home == nil || home.State == queue.Receiving || home.Pair == nil || !slices.Contains(s.Instances, home.Pair.Lateral) {
		return nil
	}
	if waiting, err := tx.Job(draftJob(home).ID); err != nil || waiting != nil {
		return err // it sees for itself
	}
	home.Note(tx.Now(), "the lateral view that came as a study of its own is read with it no more")
	home.State, home.Reason = queue.Receiving, ""
	if err := tx.Postpone(completionJob(home.UID, tx.Now(), true)); err != nil {
		return err
	}
	return tx.PutStudy(home)
}
