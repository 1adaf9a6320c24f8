package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"llamaxr/finetune/corrections"
	"llamaxr/ingest/report"
	"llamaxr/queue"
	"llamaxr/reporting/hl7"
	"llamaxr/study"
)

// Sources of corrections, as they are kept.
const (
	sourceHL7 = "HL7"
	sourceSR  = "verified SR"
)

// kindReadReport is the kind of job that reads an SR document which was stored here.
const kindReadReport = "read report"

// hl7MessageTime is how long a message, once begun, may take to be whole.
const hl7MessageTime = 30 * time.Second

// hl7Listener takes results; nil is none.
type hl7Listener struct {
	server   *hl7.Server
	listener net.Listener
}

// listenResults opens the listener for HL7 results where one is configured.
func (a *Appliance) listenResults() error {
	c := a.cfg().HL7
	if c.Listen == "" {
		return nil
	}
	server := &hl7.Server{
		Peers: c.Prefixes(), MaxConnections: c.Connections, MaxMessage: hl7.MaxMessage, IdleTime: c.IdleTime, MessageTime: hl7MessageTime,
		Handle: a.takeResults, Log: a.log,
	}
	if credentials := c.TLS.Credentials(); credentials != nil {
		credentials.Log = a.log
		var err error
		if server.TLS, err = credentials.ServerConfig(); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("daemon: listening for HL7: %w", err)
	}
	a.log.Info("HL7 results are taken", "listen", l.Addr().String(), "tls", server.TLS != nil, "peers", len(c.Peers))
	a.results = &hl7Listener{server, l}
	return nil
}

func (l *hl7Listener) serve(ctx context.Context, log *slog.Logger) {
	if l == nil {
		return
	}
	if err := l.server.Serve(ctx, l.listener); err != nil {
		log.Error("taking HL7 results", "error", err)
	}
}

func (l *hl7Listener) close() {
	if l != nil {
		l.listener.Close()
	}
}

// takeResults records the final and corrected reports of a message, and forgets those that are withdrawn. It is accepted when all of them are durable, as corrections or kept aside.
func (a *Appliance) takeResults(ctx context.Context, m *hl7.Message) hl7.Reply {
	results, err := hl7.Results(m)
	if err != nil {
		return hl7.Reject("101", "the report is too long")
	}
	var warnings []string
	for _, r := range results {
		if r.Withdrawn {
			reason, err := a.forgetReport(CorrectionInput{StudyInstanceUID: r.StudyInstanceUID, OrderNumbers: r.Numbers, PatientIDs: r.PatientIDs, Conflict: r.Conflict})
			switch {
			case errors.Is(err, errUnsettled):
				return hl7.Fail("the study is still being drafted; send the withdrawal again")
			case err != nil:
				a.log.Error("withdrawing an HL7 result", "error", err)
				return hl7.Fail("the withdrawal could not be recorded; send it again")
			case reason != "":
				warnings = append(warnings, "nothing was withdrawn: "+reason)
			}
		}
		if !r.Final {
			continue
		}
		if r.Report == "" {
			warnings = append(warnings, "no text of a final report")
			continue
		}
		err := a.takeReport(ctx, CorrectionInput{
			StudyInstanceUID: r.StudyInstanceUID, OrderNumbers: r.Numbers, PatientIDs: r.PatientIDs, Report: r.Report, Role: "radiologist", Source: sourceHL7, Time: r.Time,
			Identifiers: append(append([]string{}, r.Names...), append(r.Numbers, r.PatientIDs...)...), Conflict: r.Conflict,
		})
		var mismatch *MismatchError
		switch {
		case errors.As(err, &mismatch):
			warnings = append(warnings, "kept aside: "+mismatch.Reason)
		case errors.Is(err, errUnsettled):
			return hl7.Fail("the study is still being drafted; send the result again")
		case err != nil:
			a.log.Error("recording an HL7 result", "error", err)
			return hl7.Fail("the result could not be recorded; send it again")
		}
	}
	return hl7.Accept(strings.Join(warnings, "; "))
}

// forgetReport drops the corrections that HL7 results of a study became, whatever became of its drafts since: a report that was withdrawn trains nobody. What
// fits no study, or is of a patient that it never had, drops nothing; reason says why. While the study is still being drafted it fails with errUnsettled.
func (a *Appliance) forgetReport(in CorrectionInput) (reason string, err error) {
	if in.Conflict != "" {
		return in.Conflict, nil
	}
	err = a.db.Update(func(tx *queue.Tx) error {
		var s *queue.Study
		var err error
		if s, reason, err = studyOfCorrection(tx, in); err != nil || reason != "" {
			return err
		}
		if settling(s) {
			return errUnsettled
		}
		if reason, err = everOfPatient(a.drafts, s, in.PatientIDs); err != nil || reason != "" {
			return err
		}
		var withdrawn []string
		err = tx.EachCorrection(func(c *study.Correction) error {
			if c.StudyInstanceUID == s.UID && c.Source == sourceHL7 {
				withdrawn = append(withdrawn, c.ID)
			}
			return nil
		})
		for _, id := range withdrawn {
			err = errors.Join(err, tx.DropCorrection(id))
		}
		if err != nil || len(withdrawn) == 0 {
			return err
		}
		s.Note(tx.Now(), "a report received by HL7 was withdrawn: it is no correction any more")
		return tx.PutStudy(s)
	})
	return reason, err
}

// takeReport records a final report of another system as a correction. While the study is still being drafted it fails with errUnsettled.
func (a *Appliance) takeReport(ctx context.Context, in CorrectionInput) error {
	err := a.db.View(func(tx *queue.Tx) error {
		s, _, err := studyOfCorrection(tx, in)
		if err == nil && settling(s) {
			err = errUnsettled
		}
		return err
	})
	if err != nil {
		return err
	}
	return a.keepCorrection(ctx, in)
}

// keepCorrection is AddCorrection for a report that nobody is there to mend: one in which no findings and impression are found is kept aside too. It must hold
// up neither its signature nor the system that sent it.
func (a *Appliance) keepCorrection(ctx context.Context, in CorrectionInput) error {
	_, err := a.AddCorrection(ctx, in)
	if errors.Is(err, corrections.ErrNoSections) || errors.Is(err, corrections.ErrTooLong) {
		in.Conflict = err.Error()
		_, err = a.AddCorrection(ctx, in)
	}
	return err
}

// noteReport has a stored SR document read; it runs in the transaction that makes the document known.
func (a *Appliance) noteReport(tx *queue.Tx, i *queue.Instance) error {
	sop := i.Header.SOPInstanceUID
	id := fmt.Sprintf("%s/%s/%.12s", kindReadReport, sop, i.SHA256)
	return tx.Enqueue(queue.Job{ID: id, Kind: kindReadReport, Study: i.Header.StudyInstanceUID, Payload: mustJSON(sop)})
}

// readReport records a verified report as a correction. Our own documents coming back, and what nobody verified, are none.
func (a *Appliance) readReport(ctx context.Context, lease *queue.Lease) error {
	sop, err := payloadOf[string](lease)
	if err != nil {
		return err
	}
	what, err := a.learnFrom(ctx, sop)
	var mismatch *MismatchError
	switch {
	case errors.Is(err, errUnsettled):
		return lease.PutOff(time.Now().Add(a.cfg().QuietTime))
	case errors.As(err, &mismatch):
		what = "a verified report was kept aside: " + mismatch.Reason
	case err != nil:
		return err
	}
	return a.done(lease, func(tx *queue.Tx) error {
		s, err := tx.Study(lease.Job.Study)
		if err != nil || s == nil || what == "" {
			return err
		}
		s.Note(tx.Now(), what)
		return tx.PutStudy(s)
	})
}

// learnFrom reads a stored document; it returns why the document is no correction, empty when it became one.
func (a *Appliance) learnFrom(ctx context.Context, sop string) (string, error) {
	i, err := a.instance(sop)
	if err != nil || i == nil {
		return "", err
	}
	if i.Gone != "" {
		return "a report was not read: " + i.Gone, nil
	}
	r, err := report.Read(a.object, a.spool.Path(i.Path))
	if machineFault(err) {
		return "", err
	}
	if err != nil {
		return fmt.Sprintf("a report could not be read: %v", err), nil
	}
	switch {
	case r == nil:
		return "", nil
	case !r.Final():
		return fmt.Sprintf("a report was not taken as a correction: it is %s and %s", strings.ToLower(r.Completion), strings.ToLower(r.Verification)), nil
	}
	in := CorrectionInput{
		StudyInstanceUID: r.StudyInstanceUID, OrderNumbers: r.AccessionNumbers, Replaces: r.Predecessors, Report: r.Text(), Role: "radiologist", Source: sourceSR,
		Time: r.Time, Identifiers: append(nameParts(r.Names), append(r.AccessionNumbers, r.PatientID)...),
	}
	if r.PatientID != "" {
		in.PatientIDs = []string{r.PatientID}
	}
	own := false
	err = a.db.View(func(tx *queue.Tx) error {
		in.StudyInstanceUID, err = knownStudy(tx, in, r.PredecessorStudies)
		if err != nil {
			return err
		}
		own, err = signedHere(tx, in.StudyInstanceUID, sop)
		return err
	})
	switch {
	case err != nil:
		return "", err
	case own:
		return "our signed report came back", nil
	case strings.TrimSpace(in.Report) == "":
		return "a verified report holds no text", nil
	}
	return "", a.takeReport(ctx, in)
}

// knownStudy is the study that a document belongs to: the one it stands in, or where no images of that came, the one whose document it
// replaces. Where neither is known the accession number must do.
func knownStudy(tx *queue.Tx, in CorrectionInput, predecessors []string) (string, error) {
	for _, uid := range append([]string{in.StudyInstanceUID}, predecessors...) {
		s, err := tx.Study(uid)
		if err != nil {
			return "", err
		}
		if s != nil && len(s.Instances) > 0 {
			return uid, nil
		}
	}
	if len(in.OrderNumbers) > 0 {
		return "", nil
	}
	return in.StudyInstanceUID, nil
}

// signedHere reports whether a document is one that was signed in the reading room.
func signedHere(tx *queue.Tx, uid, sop string) (bool, error) {
	reading, err := tx.Reading(uid)
	if err != nil || reading == nil {
		return false, err
	}
	for _, s := range reading.Signatures {
		if s.SOPInstanceUID == sop {
			return true, nil
		}
	}
	return false, nil
}

// nameParts splits DICOM person names.
func nameParts(names []string) (out []string) {
	for _, n := range names {
		out = append(out, strings.FieldsFunc(n, func(r rune) bool { return strings.ContainsRune("^= ,.", r) })...)
	}
	return out
}
