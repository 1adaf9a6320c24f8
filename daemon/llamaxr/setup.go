package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"llamaxr/daemon"
	"llamaxr/daemon/config"
	"llamaxr/daemon/doctor"
	"llamaxr/daemon/trial"
	"llamaxr/inference/models"
	"llamaxr/study"
	"llamaxr/systemd"

	"github.com/spf13/cobra"
)

// What becomes of the test study.
const (
	testNone = "none" // there is none
	testHere = "here" // its drafts stay on this machine
	testPACS = "pacs" // the PACS gets them too
)

// answers are what setup asks for.
type answers struct {
	aeTitle, port, pacs, models, testStudy string

	config, state      string
	yes, force, asJSON bool
}

func newSetup() *cobra.Command {
	place := defaultInstallation(runtime.GOOS)
	a := answers{}
	cmd := &cobra.Command{
		Use:   "setup [--yes] [--ae-title AET] [--port N] [--pacs AET@HOST:PORT] [--models NAME]",
		Short: "Ask for the few things that matter, write the configuration and prove it",
		Long: "Asks for AE title, port, PACS and models (an option answers its question, --yes takes the rest as they are), writes the configuration file\n" +
			"and proves it: the port, C-ECHO to the PACS, and a test study through the appliance to the delivery of its SR. Patient of the test study:\n" +
			trial.TestName + ". Only with --test-study pacs, or asked and told so, does the PACS get its drafts.\n" +
			"Exit status 1 when a proof fails; the file stays written.",
		Args: exactly(0, "no arguments"),
	}
	f := cmd.Flags()
	f.StringVar(&a.aeTitle, "ae-title", config.Default().AETitle, "our AE title")
	f.StringVar(&a.port, "port", "11112", "port where studies arrive")
	f.StringVar(&a.pacs, "pacs", "", "AET@HOST:PORT of the PACS that receives drafts; empty is none yet")
	f.StringVar(&a.models, "models", "", "starter, or the name of an imported model; as they are when not given")
	f.StringVar(&a.testStudy, "test-study", testHere, "none; here: its drafts stay on this machine; pacs: the PACS gets them too")
	f.StringVar(&a.config, "config", place.config, "configuration file to write")
	f.StringVar(&a.state, "state", place.state, "folder for images, ledger and drafts")
	f.BoolVar(&a.yes, "yes", false, "ask nothing")
	f.BoolVar(&a.force, "force", false, "write over a configuration file that is there")
	f.BoolVar(&a.asJSON, "json", false, "print one JSON document: {\"config\": \"...\", \"checks\": [...]}")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.setUp(cmd, place.user) }
	return cmd
}

// setUp asks, writes and proves.
func (a *answers) setUp(cmd *cobra.Command, account string) error {
	var err error
	for _, path := range []*string{&a.config, &a.state} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	if _, err := os.Stat(a.config); err == nil && !a.force {
		return fmt.Errorf("%s is there already; --force writes over it, and `llamaxr doctor --config %[1]s` proves it as it is", a.config)
	}
	if err := a.fits(packagedUnit); err != nil {
		return usageError{err}
	}
	site, err := a.site()
	if err != nil {
		return usageError{err}
	}
	if !a.yes {
		if site, err = a.ask(cmd); err != nil {
			return err
		}
	}
	if a.testStudy == testPACS && len(site.Destinations) == 0 {
		return usageError{errors.New("--test-study pacs needs --pacs")}
	}
	if err := errors.Join(a.choose(cmd.ErrOrStderr()), handOver(a.state)); err != nil {
		return err
	}
	if err := site.Write(a.config, a.force, readers(account)); err != nil {
		return err
	}
	return errors.Join(a.prove(cmd, site), handOver(a.state))
}

// fits refuses a state folder that the package's unit does not use, which names its own: the models that were proven would not be those that draft.
func (a *answers) fits(unit string) error {
	if _, err := os.Stat(unit); err != nil || a.config != systemd.Config || a.state == systemd.State {
		return nil
	}
	return fmt.Errorf("the package's service (%s) keeps its state in %s, not in %s: mount a disk of its own there", unit, systemd.State, a.state)
}

// site is what the answers make, or what is wrong with them.
func (a *answers) site() (config.Site, error) {
	site := config.Site{State: a.state, AETitle: a.aeTitle, Listen: ":" + a.port}
	if port, err := strconv.ParseUint(a.port, 10, 16); err != nil || port == 0 {
		return site, fmt.Errorf("port %q is not a number from 1 to 65535", a.port)
	}
	if a.pacs != "" {
		d, err := config.ParseDestination(a.pacs)
		if err != nil {
			return site, err
		}
		site.Destinations = []config.Destination{d}
	}
	if !slices.Contains([]string{testNone, testHere, testPACS}, a.testStudy) {
		return site, fmt.Errorf("test study %q is none of none, here and pacs", a.testStudy)
	}
	return site, site.Over().Check()
}

// ask asks for what no option said. A wrong answer is asked for again.
func (a *answers) ask(cmd *cobra.Command) (config.Site, error) {
	in, out := bufio.NewScanner(cmd.InOrStdin()), cmd.ErrOrStderr()
	site, _ := a.site() // checked before; it stays when nothing is asked
	for _, q := range []struct {
		option, question string
		answer           *string
	}{
		{"ae-title", "AE title of this appliance", &a.aeTitle},
		{"port", "Port where studies arrive", &a.port},
		{"pacs", "PACS that receives drafts, AET@HOST:PORT (empty: none yet)", &a.pacs},
		{"models", "Models, starter or one of `llamaxr models list` (empty: as they are)", &a.models},
		{"test-study", "Test study: none, here (drafts stay on this machine) or pacs (" + trial.TestName + " is sent to the PACS)", &a.testStudy},
	} {
		if cmd.Flags().Changed(q.option) {
			continue
		}
		before := *q.answer
		for {
			fmt.Fprintf(out, "%s [%s]: ", q.question, before)
			if !in.Scan() {
				return site, errors.Join(in.Err(), errors.New("no answer; --yes asks nothing"))
			}
			if *q.answer = strings.TrimSpace(in.Text()); *q.answer == "" {
				*q.answer = before
			}
			checked, err := a.site()
			if err == nil {
				site = checked
				break
			}
			fmt.Fprintln(out, err)
		}
	}
	return site, nil
}

// choose puts the models in use that were asked for.
func (a *answers) choose(out io.Writer) error {
	if a.models == "" {
		return nil
	}
	s := store(a.state)
	if a.models != models.StarterName {
		if err := isThere(a.state); err != nil {
			return err
		}
		dropped, err := s.Use(a.models)
		if err != nil {
			return err
		}
		return chosen(out, a.models, dropped)
	}
	for _, role := range models.Roles {
		if m, err := s.InUse(role); err != nil {
			return err
		} else if m == nil {
			continue // it is the starter's
		}
		dropped, err := s.UseStarter(role)
		if err != nil {
			return err
		}
		name := "the starter's " + string(role)
		if role == models.RoleAdapter {
			name = "no adapter"
		}
		if err := chosen(out, name, dropped); err != nil {
			return err
		}
	}
	return nil
}

// handOver gives what root wrote among the models to whom the state folder belongs to: the service could not change it otherwise.
func handOver(state string) error {
	info, err := os.Stat(state)
	if os.Geteuid() != 0 || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	root, err := os.OpenRoot(state) // the service's user may write here: a link that it puts in our way must not lead us out
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), daemon.ModelFolder, func(name string, _ fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return errors.Join(err, root.Lchown(name, int(owner.Uid), int(owner.Gid)))
	})
}

// readers is the group of the service's account when root writes for it, -1 otherwise.
func readers(account string) int {
	if os.Geteuid() != 0 {
		return -1
	}
	found, err := user.Lookup(account)
	if err != nil {
		return -1
	}
	group, err := strconv.Atoi(found.Gid)
	if err != nil {
		return -1
	}
	return group
}

// setupResult is what setup prints with --json.
type setupResult struct {
	Config string         `json:"config"`
	Checks []doctor.Check `json:"checks"`
}

// prove tries the written configuration.
func (a *answers) prove(cmd *cobra.Command, site config.Site) error {
	out := cmd.OutOrStdout()
	result := setupResult{Config: a.config}
	report := func(c doctor.Check) {
		result.Checks = append(result.Checks, c)
		if !a.asJSON {
			printCheck(out, c)
		}
	}
	if !a.asJSON {
		fmt.Fprintln(out, "configuration written:", a.config)
	}
	cfg := site.Over()
	report(doctor.Port(cmd.Context(), cfg))
	reached := len(cfg.Destinations) > 0
	for _, d := range cfg.Destinations {
		took, err := doctor.EchoDestination(cmd.Context(), cfg, d)
		if err != nil {
			reached = false
			report(doctor.Check{Name: "pacs", Verdict: doctor.Fail, What: fmt.Sprintf("%s: %v", d, err), Remedy: doctor.Remedy(err, cfg.AETitle, d)})
			continue
		}
		report(doctor.Check{Name: "pacs", Verdict: doctor.OK, What: fmt.Sprintf("%s answers after %s", d, took.Round(time.Millisecond))})
	}
	if len(cfg.Destinations) == 0 {
		report(doctor.Check{Name: "pacs", Verdict: doctor.Warn, What: "none yet, so drafts go nowhere", Remedy: "name it in destinations of " + a.config})
	}
	if a.testStudy != testNone {
		report(a.testRun(cmd.Context(), reached))
	}
	if a.asJSON {
		if err := json.NewEncoder(out).Encode(result); err != nil {
			return err
		}
	}
	if n := doctor.Failures(result.Checks); n > 0 {
		return fmt.Errorf("%d of %d proofs failed", n, len(result.Checks))
	}
	return cmd.Context().Err()
}

// testRun pushes the test study through; a PACS that was not reached is left out.
func (a *answers) testRun(ctx context.Context, reached bool) doctor.Check {
	proof := trial.Proof{Config: a.config, AETitle: a.aeTitle, Models: filepath.Join(a.state, daemon.ModelFolder)}
	where := "on this machine"
	if a.testStudy == testPACS && reached {
		proof.PACS, where = a.pacs, "to "+a.pacs
	}
	var err error
	var took time.Duration
	var used []study.ModelCard
	if proof.Program, err = os.Executable(); err == nil {
		took, used, err = proof.Run(ctx)
	}
	if err != nil {
		return doctor.Check{Name: "test study", Verdict: doctor.Fail, What: err.Error(), Remedy: "see the log, then `llamaxr doctor --config " + a.config + "`"}
	}
	var names []string
	for _, m := range used {
		names = append(names, m.Name)
	}
	return doctor.Check{Name: "test study", Verdict: doctor.OK, What: fmt.Sprintf("drafted by %s; its SR delivered %s after %.1f s", strings.Join(names, ", "), where, took.Seconds())}
}
