package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"llamaxr/daemon"
	"llamaxr/inference/llama"
	"llamaxr/inference/models"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func newModels() *cobra.Command {
	cmd := &cobra.Command{Use: "models", Short: "Import, list, verify and choose models"}
	cmd.AddCommand(newModelsImport(), newModelsPull(), newModelsList(), newModelsVerify(), newModelsUse(), newModelsRemove())
	return cmd
}

// store returns the registry in a state folder.
func store(state string) *models.Store {
	return models.OpenStore(filepath.Join(state, daemon.ModelFolder))
}

// modelRow is a model as it is printed.
type modelRow struct {
	*models.Model
	Digest string `json:"digest"`
	Bytes  int64  `json:"bytes"`
	InUse  bool   `json:"in_use"`
}

func rows(s *models.Store) ([]modelRow, error) {
	all, fault := s.List() // the whole ones are shown beside what is damaged
	used := map[string]bool{}
	for _, role := range models.Roles {
		m, err := s.InUse(role)
		if err != nil {
			fault = errors.Join(fault, err)
		}
		if m != nil {
			used[m.Name+m.Digest()] = true
		}
	}
	out := []modelRow{}
	for _, m := range all {
		out = append(out, modelRow{m, m.Digest(), m.Size(), used[m.Name+m.Digest()]})
	}
	return out, fault
}

// importFlags are what import and pull share.
func importFlags(cmd *cobra.Command, what *models.Import, state *string, precision *string, asJSON *bool) {
	cmd.Flags().StringVar(&what.Name, "name", "", "the model's name here; from the source's name when not given")
	cmd.Flags().StringVar(precision, "precision", string(llama.NF4), "nf4: linear layers in 4 bits; full: values as they are")
	cmd.Flags().StringVar(&what.Template, "template", "", "prompt template when no adapter is used: grounded/1 (the default), grounded/2 or paper/1")
	cmd.Flags().StringVar(&what.AcceptLicence, "accept-licence", "", "name of the model's licence, which you have read and accept")
	cmd.Flags().StringVar(&what.LicenceFile, "licence-file", "", "the licence's text, where it does not lie beside the model")
	stateFlags(cmd, state, asJSON)
}

func newModelsImport() *cobra.Command {
	var state, precision string
	var asJSON bool
	var what models.Import
	cmd := &cobra.Command{
		Use:   "import FOLDER|FILE.gguf|FILE.pt|FILE.safetensors --state DIR --accept-licence NAME",
		Short: "Import a language model (a Hugging Face folder, a GGUF file) or a classifier (.pt, .safetensors)",
		Long: "Imports a language model from a Hugging Face folder or a GGUF file, or a classifier from one file of torch.save or of safetensors.\n" +
			"What a classifier's outputs mean is taken from the saved module, from the name of torchxrayvision's file, from --weights or from --card.",
		Args: exactly(1, "one folder or file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			what.From, what.Now, what.Precision = args[0], time.Now(), llama.Precision(precision)
			progress, done := bar(cmd.ErrOrStderr())
			what.Progress = progress
			m, err := store(state).Import(cmd.Context(), what)
			done()
			return imported(cmd, m, asJSON, err)
		},
	}
	importFlags(cmd, &what, &state, &precision, &asJSON)
	cmd.Flags().StringVar(&what.Released, "weights", "", "of a classifier: which of torchxrayvision's weights these are, such as densenet121-res224-all")
	cmd.Flags().StringVar(&what.Card, "card", "", "of a classifier: JSON file with labels, thresholds and input, where the weights are others")
	return cmd
}

func newModelsPull() *cobra.Command {
	var state, precision, tokenFile string
	var asJSON bool
	var what models.Pull
	cmd := &cobra.Command{
		Use:   "pull OWNER/NAME --state DIR --accept-licence NAME",
		Short: "Download a language model from a model hub and import it",
		Long: "Downloads a repository's config, tokenizer and safetensors, or with --file one GGUF file, verifies them and imports them.\n" +
			"A gated repository needs a token of yours, in the file --token-file names or in the variable " + models.TokenVariable + ".\n" +
			"A machine without the internet imports what another one downloaded: llamaxr models import.",
		Args: exactly(1, "one repository"),
		RunE: func(cmd *cobra.Command, args []string) error {
			token, err := models.ReadToken(tokenFile, os.Getenv)
			if err != nil {
				return err
			}
			what.Repository, what.Token = args[0], token
			what.Import.Now, what.Import.Precision = time.Now(), llama.Precision(precision)
			progress, done := bar(cmd.ErrOrStderr())
			what.Import.Progress = progress
			m, err := store(state).Pull(cmd.Context(), what)
			done()
			return imported(cmd, m, asJSON, err)
		},
	}
	importFlags(cmd, &what.Import, &state, &precision, &asJSON)
	cmd.Flags().StringVar(&what.Revision, "revision", "main", "branch, tag or commit")
	cmd.Flags().StringVar(&what.File, "file", "", "one GGUF file of the repository")
	cmd.Flags().StringVar(&what.Hub, "hub", os.Getenv(models.HubVariable), "address of the hub, or of a mirror in the house; "+models.HubVariable+" when not given")
	cmd.Flags().StringVar(&tokenFile, "token-file", "", "file that holds the hub's access token")
	return cmd
}

func imported(cmd *cobra.Command, m *models.Model, asJSON bool, err error) error {
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(modelRow{m, m.Digest(), m.Size(), false})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %.1f MB, digest %.16s; `llamaxr models use %s` chooses it\n", m.Name, float64(m.Size())/1e6, m.Digest(), m.Name)
	return err
}

// bar shows progress with rate and time left, in place on a terminal and as a line for each file elsewhere.
func bar(out io.Writer) (progress func(models.Progress), done func()) {
	file, isFile := out.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		last := ""
		return func(p models.Progress) {
			if p.What != last {
				last = p.What
				fmt.Fprintf(out, "%s: at %.1f of %.1f MB\n", p.What, float64(p.Done)/1e6, float64(p.Total)/1e6)
			}
		}, func() {}
	}
	var b *progressbar.ProgressBar
	last := ""
	return func(p models.Progress) {
			if b == nil || p.What != last {
				last = p.What
				b = progressbar.NewOptions64(p.Total, progressbar.OptionSetWriter(out), progressbar.OptionSetDescription(p.What), progressbar.OptionShowBytes(true),
					progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetElapsedTime(true))
			}
			_ = b.Set64(p.Done) // it only draws
		}, func() {
			if b != nil {
				fmt.Fprintln(out)
			}
		}
}

func newModelsList() *cobra.Command {
	var state string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list --state DIR",
		Short: "List the models that were imported",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return list(cmd, state, asJSON, func(models.Kind) bool { return true })
		},
	}
	stateFlags(cmd, &state, &asJSON)
	return cmd
}

func list(cmd *cobra.Command, state string, asJSON bool, wanted func(models.Kind) bool) error {
	all, fault := rows(store(state))
	out := []modelRow{}
	for _, m := range all {
		if wanted(m.Kind) {
			out = append(out, m)
		}
	}
	if asJSON {
		return errors.Join(fault, json.NewEncoder(cmd.OutOrStdout()).Encode(out))
	}
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tKIND\tMB\tDIGEST\tLICENCE\tFROM\tIN USE")
	for _, m := range out {
		use := ""
		if m.InUse {
			use = "yes"
		}
		fmt.Fprintf(table, "%s\t%s\t%.1f\t%.16s\t%s\t%s\t%s\n", m.Name, m.Kind, float64(m.Bytes)/1e6, m.Digest, m.Licence.Name, m.Source.From, use)
	}
	return errors.Join(fault, table.Flush())
}

func newModelsVerify() *cobra.Command {
	var state string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify [NAME...] --state DIR",
		Short: "Read every file again and hold it to its SHA-256",
		RunE: func(cmd *cobra.Command, args []string) error {
			s := store(state)
			chosen, fault := named(s, args)
			faults := []error{fault}
			if len(chosen) == 0 && fault == nil && !asJSON {
				fmt.Fprintln(cmd.OutOrStdout(), "nothing was imported here")
			}
			type verdict struct {
				Name  string `json:"name"`
				Fault string `json:"fault,omitempty"`
			}
			verdicts := []verdict{}
			for _, m := range chosen {
				progress, done := bar(cmd.ErrOrStderr())
				err := s.Verify(cmd.Context(), m, progress)
				done()
				v := verdict{Name: m.Name}
				if err != nil {
					v.Fault = err.Error()
				}
				verdicts, faults = append(verdicts, v), append(faults, err)
				if !asJSON && err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: whole\n", m.Name)
				}
			}
			if asJSON {
				faults = append(faults, json.NewEncoder(cmd.OutOrStdout()).Encode(verdicts))
			}
			return errors.Join(faults...)
		},
	}
	stateFlags(cmd, &state, &asJSON)
	return cmd
}

// named returns the models of the given names, all when there are none, and what is wrong with those that it cannot.
func named(s *models.Store, names []string) ([]*models.Model, error) {
	if len(names) == 0 {
		return s.List()
	}
	var out []*models.Model
	var faults []error
	for _, name := range names {
		m, err := s.Get(name)
		if err == nil {
			out = append(out, m)
		}
		faults = append(faults, err)
	}
	return out, errors.Join(faults...)
}

func newModelsUse() *cobra.Command {
	var state, role string
	cmd := &cobra.Command{
		Use:   "use NAME|" + models.StarterName + " --state DIR",
		Short: "Choose the model that drafts are made with, from the next start on",
		Args:  exactly(1, "one name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var dropped string
			var err error
			if !slices.Contains(models.Roles, models.Role(role)) {
				return usageError{fmt.Errorf("--role %q is none of %v", role, models.Roles)}
			}
			if args[0] == models.StarterName {
				dropped, err = store(state).UseStarter(models.Role(role))
			} else if err = whole(cmd, state, args[0]); err == nil {
				dropped, err = store(state).Use(args[0])
			}
			if err != nil {
				return err
			}
			return chosen(cmd.OutOrStdout(), args[0], dropped)
		},
	}
	stateFlag(cmd, &state)
	cmd.Flags().StringVar(&role, "role", string(models.RoleLanguageModel), "with "+models.StarterName+": which of its models, \"language model\" or classifier")
	return cmd
}

// whole reads a model's files again: one that is damaged is not chosen, or the appliance would find that at its next start.
func whole(cmd *cobra.Command, state, name string) error {
	s := store(state)
	m, err := s.Get(name)
	if err != nil {
		return err
	}
	progress, done := bar(cmd.ErrOrStderr())
	defer done()
	return s.Verify(cmd.Context(), m, progress)
}

func chosen(out io.Writer, name, dropped string) error {
	if dropped != "" {
		fmt.Fprintf(out, "adapter %s is no longer in use: it is made for another model\n", dropped)
	}
	_, err := fmt.Fprintf(out, "%s is used from the appliance's next start on\n", name)
	return err
}

func newModelsRemove() *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:   "rm NAME --state DIR",
		Short: "Remove a model that is not in use",
		Args:  exactly(1, "one name"),
		RunE:  func(_ *cobra.Command, args []string) error { return store(state).Remove(args[0]) },
	}
	stateFlag(cmd, &state)
	return cmd
}
