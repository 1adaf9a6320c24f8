package daemon

import (
	"errors"
	"fmt"

	"llamaxr/daemon/config"
	"llamaxr/queue"
)

// ErrShadow is returned to a reader who would change a report of which nothing may leave.
var ErrShadow = errors.New("daemon: the study is in shadow mode: its draft is for comparison, nothing of it leaves and it cannot be signed")

// modeOf is what is done with a study: the most careful of what its senders' modes say, with the sender that says so. Images of a partner
// study count, as the draft reads them.
func (a *Appliance) modeOf(uid string, p paired) (mode, source string, err error) {
	mode = config.ModeDraft
	err = a.db.View(func(tx *queue.Tx) error {
		for _, of := range []string{uid, p.partner} {
			if of == "" {
				continue
			}
			s, err := tx.Study(of)
			if err != nil || s == nil {
				return err
			}
			for _, sop := range s.Instances {
				i, err := tx.Instance(sop)
				if err != nil {
					return err
				}
				if i == nil {
					continue
				}
				if theirs := a.cfg().Mode(i.Calling); config.MoreCareful(theirs, mode) {
					mode, source = theirs, i.Calling
				}
			}
		}
		return nil
	})
	return mode, source, err
}

// sentMode is a mode as the ledger has it: empty where drafts are sent.
func sentMode(mode string) string {
	if mode == config.ModeDraft {
		return ""
	}
	return mode
}

// storeOnly is the refusal of a study that a source's switch keeps from being drafted.
func storeOnly(source string) string {
	return fmt.Sprintf("what %s sends is stored and not drafted (sources)", source)
}
