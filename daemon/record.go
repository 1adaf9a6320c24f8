package daemon

import (
	"fmt"
	"path/filepath"
	"time"

	"llamaxr/daemon/access"
	"llamaxr/daemon/chain"
	"llamaxr/inference/prompt"
	"llamaxr/queue"
	"llamaxr/study"
)

// recordLog is the record of drafts in the state folder.
const recordLog = "drafts.log"

// maxRecordLine bounds a line of it: two sections of a report, each of them up to maxSection, and what JSON makes of them.
const maxRecordLine = 512 << 10

// Acts in the record of drafts.
const (
	ActDrafted   = "drafted"
	ActSigned    = "signed"
	ActRejected  = "rejected"  // by a physician
	ActWithdrawn = "withdrawn" // by the appliance
)

// DraftEntry is one line of the record of drafts: what was made of which inputs by what, and what people did with it. Lines are chained
// (package chain). A draft that was made again after a crash is there again.
type DraftEntry struct {
	Time     time.Time `json:"time"`
	Act      string    `json:"act"`
	By       string    `json:"by"` // a user, or the appliance with its version
	Study    string    `json:"study"`
	Revision int       `json:"revision"`
	Shadow   bool      `json:"shadow,omitempty"` // nothing of it leaves

	Inputs         []DraftInput      `json:"inputs,omitempty"`
	Scores         *study.PairScores `json:"scores,omitempty"`
	Models         []study.ModelCard `json:"models,omitempty"` // the adapter is one of them
	Engine         string            `json:"engine,omitempty"`
	Template       string            `json:"template,omitempty"`
	TemplateSHA256 string            `json:"template_sha256,omitempty"`
	PromptSHA256   string            `json:"prompt_sha256,omitempty"`
	Raw            string            `json:"raw,omitempty"` // as the language model wrote it

	Findings   string `json:"findings,omitempty"` // as delivered, or as signed
	Impression string `json:"impression,omitempty"`
	Reason     string `json:"reason,omitempty"`

	Previous string `json:"previous"`
}

// DraftInput is one image that a draft rests on.
type DraftInput struct {
	View           study.Projection `json:"view"`
	SOPInstanceUID string           `json:"sop_instance_uid"`
	SHA256         string           `json:"sha256"` // of the data set as received
}

// enter appends to the record of drafts; the entry is on disk when enter returns.
func (a *Appliance) enter(e DraftEntry) error {
	if e.By == "" {
		e.By = "llamaxr " + a.device.SoftwareVersion
	}
	e.Time = time.Now().UTC()
	return a.record.Append(func(previous string) any {
		e.Previous = previous
		return e
	})
}

// enterDraft records a draft before anything of it can leave.
func (a *Appliance) enterDraft(record *DraftRecord, frontal, lateral *queue.Instance) error {
	d := record.Draft
	template, err := prompt.ByName(d.Template)
	if err != nil {
		return err
	}
	e := DraftEntry{
		Act: ActDrafted, Study: d.StudyInstanceUID, Revision: d.Revision, Shadow: record.Shadow, Scores: &d.Scores, Models: d.Models, Engine: d.Engine,
		Template: d.Template, TemplateSHA256: template.Digest(), PromptSHA256: sha256Of([]byte(d.Prompt)), Raw: d.Raw,
		Findings: d.Text(study.SectionFindings), Impression: d.Text(study.SectionImpression), Reason: d.Partial,
	}
	for view, i := range map[study.Projection]*queue.Instance{study.Frontal: frontal, study.Lateral: lateral} {
		if i != nil {
			e.Inputs = append(e.Inputs, DraftInput{view, i.Header.SOPInstanceUID, i.SHA256})
		}
	}
	return a.enter(e)
}

// recordJob asks for an entry that follows from an act of a person.
func recordJob(e DraftEntry, version int) queue.Job {
	id := fmt.Sprintf("%s/%s/%s/%d", kindRecord, e.Act, e.Study, version)
	return queue.Job{ID: id, Kind: kindRecord, Study: e.Study, Payload: mustJSON(e)}
}

// enterAct performs a job of recordJob.
func (a *Appliance) enterAct(lease *queue.Lease) error {
	e, err := payloadOf[DraftEntry](lease)
	if err != nil {
		return err
	}
	if err := a.enter(e); err != nil {
		return err
	}
	return a.done(lease, nil)
}

// ReadRecord visits the lines of a state's record of drafts, oldest first, returns its head and fails where its chain is broken. A line is
// only good until visit returns.
func ReadRecord(state string, visit func(line []byte) error) (chain.Head, error) {
	if err := isState(state); err != nil {
		return chain.Head{}, err
	}
	return chain.Verify(filepath.Join(state, recordLog), maxRecordLine, visit)
}

// CheckedLog is what came of checking one chained log.
type CheckedLog struct {
	Name string
	Head chain.Head
	Err  error
}

// VerifyLogs checks the chained logs of a state. expected are heads that they had before, as text: each must still be found in one of them.
func VerifyLogs(state string, expected []string) ([]CheckedLog, error) {
	if err := isState(state); err != nil {
		return nil, err
	}
	missing := map[string]bool{}
	for _, head := range expected {
		missing[head] = true
	}
	var out []CheckedLog
	for _, l := range []struct {
		file string
		max  int
	}{{auditFile, access.MaxLine}, {recordLog, maxRecordLine}} {
		n := int64(0)
		head, err := chain.Verify(filepath.Join(state, l.file), l.max, func(line []byte) error {
			n++
			if len(missing) > 0 {
				delete(missing, chain.Head{Count: n, Last: sha256Of(line)}.String())
			}
			return nil
		})
		out = append(out, CheckedLog{l.file, head, err})
	}
	for head := range missing {
		return out, fmt.Errorf("daemon: no log holds the expected head %s: entries were taken out or written anew", head)
	}
	return out, nil
}
