// Package systemd holds the files by which Linux runs the appliance: the unit, its user, and what fills in the unit for another place than the
// package's. See systemd.service(5), systemd.exec(5) and sysusers.d(5).
package systemd

import (
	_ "embed"
	"strings"
)

// Where the packages put things; the unit file says the same.
const (
	Program = "/usr/bin/llamaxr"
	Config  = "/etc/llamaxr/llamaxr.yaml"
	State   = "/var/lib/llamaxr"
	User    = "llamaxr"
)

// Service is the unit file as packaged.
//
//go:embed llamaxr.service
var Service string

// BackupService makes one backup and removes the oldest beyond a number; BackupTimer starts it every night.
//
//go:embed llamaxr-backup.service
var BackupService string

//go:embed llamaxr-backup.timer
var BackupTimer string

// Sysusers makes the user that the unit runs as (systemd-sysusers(8)).
//
//go:embed llamaxr.sysusers
var Sysusers string

// Unit returns the unit file for a program, configuration and state that lie elsewhere, and for another user.
func Unit(program, config, state, user string) string {
	text := elsewhere(Service, quote(program)+" run --config "+quote(config)+" --state "+quote(state), state, user)
	return strings.Replace(text, "AssertPathExists="+Config, "AssertPathExists="+strings.ReplaceAll(config, "%", "%%"), 1)
}

// Backup returns the unit file of the backup for the same; the timer names nothing of theirs.
func Backup(program, state, user string) string {
	return elsewhere(BackupService, quote(program)+" backup --state "+quote(state)+" --to ${BACKUP_FOLDER} --keep ${BACKUP_KEEP}", state, user)
}

// elsewhere gives a unit another command, state and user.
func elsewhere(unit, command, state, user string) string {
	var out strings.Builder
	for line := range strings.Lines(unit) {
		key, _, _ := strings.Cut(line, "=")
		switch key {
		case "ExecStart":
			line = "ExecStart=" + command + "\n"
			if state != State {
				line += "ReadWritePaths=" + quote(state) + "\n"
			}
		case "User":
			line = "User=" + user + "\n"
		case "Group": // the user's own
			if user != User {
				line = ""
			}
		}
		out.WriteString(line)
	}
	return out.String()
}

// quote writes one word of a command line by systemd.service(5), "Command lines".
func quote(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`, `$`, `$$`).Replace(word) + `"`
}
