package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"llamaxr/daemon/config"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// newManual is for who makes packages: the pages come from the commands themselves.
func newManual() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:    "manual --out DIR",
		Short:  "Write the manual's pages: man1 for each command, man5 for the configuration",
		Long:   "Writes the manual's pages, man1 for each command and man5 for the configuration. Their date is SOURCE_DATE_EPOCH, if it is set.",
		Args:   exactly(0, "no arguments"),
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return usageError{fmt.Errorf("--out says where the pages go")}
			}
			return writeManual(cmd.Root(), out)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "folder to write into")
	return cmd
}

// writeManual writes the pages of root's commands and of the configuration.
func writeManual(root *cobra.Command, out string) error {
	commands, formats := filepath.Join(out, "man1"), filepath.Join(out, "man5")
	for _, folder := range []string{commands, formats} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	root.DisableAutoGenTag = true // its date is the day of the build
	header := &doc.GenManHeader{Section: "1", Source: "llamaxr " + version, Manual: "llamaxr"}
	if err := doc.GenManTreeFromOpts(root, doc.GenManTreeOptions{Header: header, Path: commands, CommandSeparator: "-"}); err != nil {
		return fmt.Errorf("manual: %w", err)
	}
	var explained bytes.Buffer
	if err := config.Explain(&explained); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(formats, "llamaxr.yaml.5"), configurationPage(explained.String()), 0o644)
}

// configurationPage is llamaxr.yaml(5): the explained configuration file as it is, in man(7).
func configurationPage(explained string) []byte {
	var page bytes.Buffer
	fmt.Fprintf(&page, ".TH LLAMAXR.YAML 5 \"\" \"llamaxr %s\" llamaxr\n.SH NAME\nllamaxr.yaml \\- configuration of the llamaxr appliance\n"+
		".SH DESCRIPTION\nEvery key with its meaning and default. A key that is left out has its default; an unknown key is an error.\n"+
		".BR llamaxr\\-config\\-check (1)\nchecks a file,\n.BR llamaxr\\-setup (1)\nwrites one.\n.PP\n.nf\n", version)
	for line := range strings.Lines(explained) {
		page.WriteString(`\&` + strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "^", `\(ha`, "~", `\(ti`).Replace(line))
	}
	page.WriteString(".fi\n.SH FILES\n.I /etc/llamaxr/llamaxr.yaml\n.SH SEE ALSO\n.BR llamaxr (1)\n")
	return page.Bytes()
}
