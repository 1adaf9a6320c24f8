package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"llamaxr/finetune/tune"
	"llamaxr/study"
)

// scheduleInterval is how often it is asked whether a run should begin.
const scheduleInterval = time.Minute

// scheduleTuning begins runs by themselves as the configuration says, until ctx is cancelled.
func (a *Appliance) scheduleTuning(ctx context.Context) {
	for pause(ctx, scheduleInterval) {
		if err := a.tuneWhenDue(time.Now()); err != nil {
			a.log.Error("fine-tuning by schedule", "error", err)
		}
	}
}

// tuneWhenDue begins a run when it is time for one and enough is new. What a run began with is not new for the next, however
// it ended.
func (a *Appliance) tuneWhenDue(at time.Time) error {
	learning := a.cfg().Learning
	if !learning.Due(at, maxCorrections) { // cheap: nothing is read at other hours
		return nil
	}
	list, err := ledger{a.db, a.drafts}.corrections()
	if err != nil {
		return err
	}
	learnt, err := lastLearnt(a.tuneRoot())
	if err != nil {
		return err
	}
	fresh := 0
	due := func(teach []*study.Correction) bool {
		fresh = 0
		for _, c := range teach {
			if !learnt[c.ID] {
				fresh++
			}
		}
		return len(teach) >= tune.LeastCorrections && learning.Due(at, fresh)
	}
	teach := list.teachable()
	if !due(teach) {
		return nil
	}
	if teach, err = a.standing(teach); err != nil || !due(teach) { // which reads their drafts
		return err
	}
	id, err := a.StartTuning("")
	if errors.Is(err, errTuning) {
		return nil
	}
	if err == nil {
		a.log.Info("fine-tuning by schedule", "run", id, "new_corrections", fresh)
	}
	return err
}

// maxCorrections is more than any site has.
const maxCorrections = 1 << 30

// lastLearnt are the corrections that the newest run began with.
func lastLearnt(root string) (map[string]bool, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("daemon: %w", err)
	}
	for _, e := range slices.Backward(entries) { // names are times
		data, err := os.ReadFile(filepath.Join(root, e.Name(), correctionsFile))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var ids []string
		if err == nil {
			err = json.Unmarshal(data, &ids)
		}
		if err != nil {
			return nil, fmt.Errorf("daemon: run %s: %w", e.Name(), err)
		}
		learnt := map[string]bool{}
		for _, id := range ids {
			learnt[id] = true
		}
		return learnt, nil
	}
	return nil, nil
}
