package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"llamaxr/daemon"
	"llamaxr/daemon/config"
	"llamaxr/inference"
	"llamaxr/inference/engine"
	"llamaxr/inference/models"
	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/pairing"
	"llamaxr/ingest/pairing/viewnet"
	"llamaxr/ingest/pixel"
	"llamaxr/study"

	"github.com/spf13/cobra"
)

// maxScores bounds the scores read from a file or standard input.
const maxScores = 1 << 20

// openReader loads the models chosen in a state folder, the starter's without one.
func openReader(want, state string) (*inference.Reader, error) {
	eng, err := engine.Open(want)
	if err != nil {
		return nil, err
	}
	if state == "" {
		return inference.OpenStarter(eng)
	}
	return inference.Open(eng, models.OpenStore(filepath.Join(state, daemon.ModelFolder)))
}

func newInspect() *cobra.Command {
	var asJSON bool
	var pixels, want, state string
	cmd := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Say what the appliance makes of one object",
		Args:  exactly(1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if pixels != "" {
				return writePixels(cmd.Context(), args[0], pixels)
			}
			return inspect(cmd, args[0], want, state, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	cmd.Flags().StringVar(&pixels, "pixels", "", "write the first frame's raw values to this file, little endian")
	cmd.Flags().StringVar(&want, "engine", engine.Auto, "engine: auto, xla:cpu, xla:cuda or go")
	stateOption(cmd, &state, "state folder whose classifier scores; without it the starter's")
	return cmd
}

// inspection is what `llamaxr inspect` says.
type inspection struct {
	SOPClassUID    string        `json:"sop_class_uid"`
	TransferSyntax string        `json:"transfer_syntax_uid"`
	Usable         bool          `json:"usable"`
	Reason         string        `json:"reason,omitempty"`
	View           study.Choice  `json:"view"`
	GreyLevels     []string      `json:"grey_levels,omitempty"`
	Inverted       bool          `json:"looks_inverted,omitempty"`
	Doubt          string        `json:"doubt,omitempty"`
	Scores         *study.Scores `json:"scores,omitempty"`
	Warning        string        `json:"warning,omitempty"`
}

func inspect(cmd *cobra.Command, path, want, state string, asJSON bool) error {
	views, err := viewnet.Shipped()
	if err != nil {
		return err
	}
	seen := daemon.Examine(cmd.Context(), views, dicomfile.Open, path)
	if seen.Header.SOPClassUID == "" {
		return errors.New(seen.Reason)
	}
	pair := pairing.Decide([]pairing.Candidate{seen.Candidate()}, pairing.Config{MinimumAge: config.Default().MinimumAge})
	result := inspection{SOPClassUID: seen.Header.SOPClassUID, TransferSyntax: seen.Header.TransferSyntaxUID, Reason: pair.Refusal, View: pair.Choices[0]}
	result.Usable, result.Doubt = pair.Refusal == "", pair.Doubt
	if seen.Image != nil {
		result.GreyLevels, result.Inverted = seen.Image.Steps, seen.Inverted()
	}
	if result.Usable {
		reader, err := openReader(want, state)
		if err != nil {
			return err
		}
		normalised := pixel.NormaliseTo(seen.Image, reader.InputSize())
		scores, _, err := reader.Score(cmd.Context(), &normalised, nil)
		if err != nil {
			return err
		}
		result.Scores = scores.Frontal
		if classifier := reader.Cards()[0]; classifier.Starter {
			result.Warning = study.StarterWarning
		}
	}
	out := cmd.OutOrStdout()
	if asJSON {
		return json.NewEncoder(out).Encode(result)
	}
	fmt.Fprintf(out, "SOP Class        %s\nTransfer Syntax  %s\n", result.SOPClassUID, result.TransferSyntax)
	if result.Usable {
		fmt.Fprintf(out, "Usable           yes, as %s view\n", result.View.Projection)
	} else {
		fmt.Fprintf(out, "Usable           no: %s\n", result.Reason)
	}
	for _, why := range result.View.Why {
		fmt.Fprintf(out, "  %s\n", why)
	}
	if result.Doubt != "" {
		fmt.Fprintf(out, "Doubt            %s\n", result.Doubt)
	}
	for _, step := range result.GreyLevels {
		fmt.Fprintf(out, "Grey levels      %s\n", step)
	}
	if result.Scores != nil {
		if result.Warning != "" {
			fmt.Fprintln(out, result.Warning)
		}
		for _, f := range study.Findings() {
			if !result.Scores.Scored(f) {
				fmt.Fprintf(out, "  %-27s not scored\n", f)
				continue
			}
			fmt.Fprintf(out, "  %-27s %.3f\n", f, result.Scores[f])
		}
	}
	return nil
}

// writePixels writes the first frame's stored values in their own width, little endian.
func writePixels(ctx context.Context, path, to string) error {
	file, err := dicomfile.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	frame, err := pixel.Decode(ctx, file)
	if err != nil {
		return err
	}
	return os.WriteFile(to, frame.Data, 0o600)
}

func newDraft() *cobra.Command {
	var asJSON bool
	var scoresFile, want, state string
	var paths []string
	cmd := &cobra.Command{
		Use:   "draft --study PATH... | --scores FILE|-",
		Short: "Draft a report without the network, from images or from scores",
		Args:  func(_ *cobra.Command, args []string) error { return nil },
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(paths) > 0 {
				paths = append(paths, args...)
			}
			if (len(paths) > 0) == (scoresFile != "") {
				return usageError{errors.New("llamaxr draft takes either --study or --scores")}
			}
			draft, err := draftOf(cmd, paths, scoresFile, want, state)
			if err != nil {
				return err
			}
			if !asJSON {
				printDraft(cmd.OutOrStdout(), *draft)
				return nil
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(struct {
				Text string `json:"text"`
				*study.Draft
			}{"FINDINGS: " + draft.Text(study.SectionFindings) + "\nIMPRESSION: " + draft.Text(study.SectionImpression), draft})
		},
	}
	cmd.Flags().StringArrayVar(&paths, "study", nil, "files or folders of one study")
	cmd.Flags().StringVar(&scoresFile, "scores", "", `file with {"frontal": {...}, "lateral": {...} or null}; - is standard input`)
	cmd.Flags().StringVar(&want, "engine", engine.Auto, "engine: auto, xla:cpu, xla:cuda or go")
	stateOption(cmd, &state, "state folder whose models are used; without it the starter's")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func draftOf(cmd *cobra.Command, paths []string, scoresFile, want, state string) (*study.Draft, error) {
	if scoresFile != "" {
		scores, err := readScores(cmd, scoresFile)
		if err != nil {
			return nil, err
		}
		reader, err := openReader(want, state)
		if err != nil {
			return nil, err
		}
		return daemon.WriteDraft(cmd.Context(), reader.Engine, reader.Write, *scores, nil)
	}
	files, err := walk(paths)
	if err != nil {
		return nil, err
	}
	views, err := viewnet.Shipped()
	if err != nil {
		return nil, err
	}
	var candidates []pairing.Candidate
	byUID := map[string]string{}
	for _, path := range files {
		seen := daemon.Examine(cmd.Context(), views, dicomfile.Open, path)
		if seen.Header.SOPInstanceUID == "" {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", path, seen.Reason)
			continue
		}
		candidates, byUID[seen.Header.SOPInstanceUID] = append(candidates, seen.Candidate()), path
	}
	pair := pairing.Decide(candidates, pairing.Config{MinimumAge: config.Default().MinimumAge})
	if pair.Refusal != "" {
		return nil, fmt.Errorf("no draft: %s", pair.Refusal)
	}
	reader, err := openReader(want, state)
	if err != nil {
		return nil, err
	}
	record, err := daemon.MakeDraft(cmd.Context(), reader, reader.Write, pair, dicomfile.Open, byUID[pair.Frontal], byUID[pair.Lateral])
	if err != nil {
		return nil, err
	}
	return &record.Draft, nil
}

func readScores(cmd *cobra.Command, name string) (*study.PairScores, error) {
	in, err := input(cmd, name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, maxScores))
	if err != nil {
		return nil, fmt.Errorf("scores: %w", err)
	}
	scores := new(study.PairScores)
	if err := json.Unmarshal(data, scores); err != nil {
		return nil, fmt.Errorf("scores: %w", err)
	}
	if scores.Frontal == nil && scores.Lateral == nil {
		return nil, errors.New("scores: neither a frontal nor a lateral view is given")
	}
	return scores, nil
}
