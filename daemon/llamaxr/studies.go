package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"llamaxr/daemon"
	"llamaxr/queue"
	"llamaxr/study"

	"github.com/spf13/cobra"
)

func newStudies() *cobra.Command {
	var state string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "studies --state DIR",
		Short: "List the studies and where each stands",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			studies, err := daemon.Studies(state)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return printList(out, studies)
			}
			table := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
			fmt.Fprintln(table, "STUDY\tSTATE\tREVISION\tOBJECTS\tLAST RECEIVED\tREASON")
			for _, s := range studies {
				fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%s\t%s\n", s.UID, s.State, s.Revision, len(s.Instances), s.Last.Format("2006-01-02 15:04:05"), s.Reason)
			}
			return table.Flush()
		},
	}
	stateFlags(cmd, &state, &asJSON)
	return cmd
}

func newShow() *cobra.Command {
	var state string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show UID --state DIR",
		Short: "Say where a study stands and why: images, view, scores, text, deliveries",
		Args:  exactly(1, "one Study Instance UID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			report, err := daemon.StudyOf(state, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(report)
			}
			printStudy(cmd.OutOrStdout(), report)
			return nil
		},
	}
	stateFlags(cmd, &state, &asJSON)
	return cmd
}

func printStudy(out io.Writer, r *daemon.StudyReport) {
	fmt.Fprintf(out, "Study %s: %s, revision %d\n", r.UID, r.State, r.Revision)
	if r.Reason != "" {
		fmt.Fprintf(out, "Reason: %s\n", r.Reason)
	}
	printKeeping(out, r)
	printAlerts(out, r)
	if r.Mode != "" {
		fmt.Fprintf(out, "Mode: %s, nothing is sent\n", r.Mode)
	}
	if f := r.Fetch; f != nil && f.Result != "" {
		fmt.Fprintf(out, "Missing %s view: %s %s\n", f.View, f.Result, f.Error)
	}
	if r.Pair != nil {
		fmt.Fprintln(out, "\nImages:")
		printPair(out, *r.Pair)
	}
	if r.Draft != nil {
		fmt.Fprintln(out)
		printDraft(out, r.Draft.Draft)
	}
	fmt.Fprintln(out, "\nDeliveries:")
	for to, d := range r.Deliveries {
		switch {
		case !d.Sent.IsZero():
			fmt.Fprintf(out, "  %s: revision %d at %s%s\n", to, d.Revision, d.Sent.Format(time.DateTime), committed(d.Commitment))
		default:
			fmt.Fprintf(out, "  %s: waiting %s\n", to, d.Error)
		}
	}
	printRejections(out, r)
	fmt.Fprintln(out, "\nHistory:")
	for _, e := range r.Events {
		fmt.Fprintf(out, "  %s  %s\n", e.Time.Format("15:04:05.000"), e.What)
	}
}

// committed says whether a destination has committed to what it was sent.
func committed(c *queue.Commitment) string {
	switch {
	case c == nil:
		return ""
	case !c.Committed.IsZero():
		return ", committed at " + c.Committed.Format(time.DateTime)
	case c.Error != "":
		return ", not committed: " + c.Error
	case !c.Asked.IsZero():
		return ", asked to commit at " + c.Asked.Format(time.DateTime)
	}
	return ", commitment is asked for"
}

// printKeeping says what is kept until when and what is gone.
func printKeeping(out io.Writer, r *daemon.StudyReport) {
	if !r.Removed.IsZero() {
		fmt.Fprintf(out, "Files removed by retention at %s\n", r.Removed.Format(time.DateTime))
	}
	for _, o := range r.Objects {
		switch {
		case o.Gone != "":
			fmt.Fprintf(out, "Object %s is gone: %s\n", o.Header.SOPInstanceUID, o.Gone)
		case o.PromisedUntil.Equal(queue.Forever):
			fmt.Fprintf(out, "Object %s is kept for ever: we committed to it\n", o.Header.SOPInstanceUID)
		case !o.PromisedUntil.IsZero():
			fmt.Fprintf(out, "Object %s is kept until %s: we committed to it\n", o.Header.SOPInstanceUID, o.PromisedUntil.Format(time.DateOnly))
		}
	}
}

// printAlerts says of which critical findings somebody had to take note, and who did.
func printAlerts(out io.Writer, r *daemon.StudyReport) {
	for _, alert := range r.Alerts {
		fmt.Fprintf(out, "Critical, revision %d, since %s:", alert.Revision, alert.Raised.Format(time.DateTime))
		for _, f := range alert.Findings {
			fmt.Fprintf(out, " %s %s;", f.Finding, study.ShownScore(f.Score))
		}
		switch {
		case alert.Open():
			fmt.Fprintf(out, " not acknowledged, others were told %d times\n", len(alert.Escalated))
		case alert.By != "":
			fmt.Fprintf(out, " %s %s at %s\n", alert.By, alert.How, alert.Acknowledged.Format(time.DateTime))
		default:
			fmt.Fprintf(out, " not acknowledged: %s\n", alert.Over)
		}
	}
}

// printRejections says what was taken back: images by others, drafts by us.
func printRejections(out io.Writer, r *daemon.StudyReport) {
	if len(r.Rejected) > 0 {
		fmt.Fprintln(out, "\nRejected:")
	}
	for _, o := range r.Rejected {
		fmt.Fprintf(out, "  %s: %s (%s, note %s)\n", o.Object.SOPInstanceUID, o.Title.Reason(), o.Title, o.Note)
	}
	if len(r.Withdrawn) > 0 {
		fmt.Fprintln(out, "\nWithdrawn:")
	}
	for _, w := range r.Withdrawn {
		fmt.Fprintf(out, "  revision %d: %s\n", w.Revision, w.Reason)
		for to, d := range w.Deliveries {
			if d.Sent.IsZero() {
				fmt.Fprintf(out, "    %s: waiting %s\n", to, d.Error)
			} else {
				fmt.Fprintf(out, "    %s: told at %s\n", to, d.Sent.Format("2006-01-02 15:04:05"))
			}
		}
	}
}

func printPair(out io.Writer, pair study.Pair) {
	for _, c := range pair.Choices {
		fmt.Fprintf(out, "  %s: %s\n", c.SOPInstanceUID, c.Projection)
		for _, why := range c.Why {
			fmt.Fprintf(out, "    %s\n", why)
		}
	}
}

func printDraft(out io.Writer, d study.Draft) {
	if d.Starter() {
		fmt.Fprintln(out, study.StarterWarning)
	}
	fmt.Fprintln(out, study.DraftWarning)
	if d.Partial != "" {
		fmt.Fprintf(out, "Not complete: %s\n", d.Partial)
	}
	for _, section := range []study.Section{study.SectionFindings, study.SectionImpression} {
		fmt.Fprintf(out, "%s:\n", strings.ToUpper(string(section)))
		for _, s := range d.Sentences {
			if s.Section != section {
				continue
			}
			mark := ""
			if s.Verdict != study.VerdictKept {
				mark = fmt.Sprintf("   [%s: %s]", s.Verdict, s.Reason)
			}
			fmt.Fprintf(out, "  %s%s\n", s.Text, mark)
		}
	}
	fmt.Fprintln(out, "SCORES (frontal, lateral):")
	for _, f := range study.Findings() {
		fmt.Fprintf(out, "  %-27s %s %s\n", f, score(d.Scores.Frontal, f), score(d.Scores.Lateral, f))
	}
}

func score(s *study.Scores, f study.Finding) string {
	if !s.Scored(f) {
		return " n/a"
	}
	return study.ShownScore(s[f])
}
