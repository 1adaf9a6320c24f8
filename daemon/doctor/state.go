package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"llamaxr/daemon"
	"llamaxr/daemon/backup"
	"llamaxr/daemon/config"
	"llamaxr/inference/models"
	"llamaxr/inference/signing"
	"llamaxr/ingest/atrest"
	"llamaxr/queue"
)

// lateJob is how long a job may wait beyond its time before somebody should look.
const lateJob = 15 * time.Minute

// service asks the daemon, if one runs.
func (v *visit) service(context.Context) {
	c, err := daemon.ConditionOf(v.Config.State)
	switch {
	case errors.Is(err, fs.ErrPermission):
		v.fail("service", "run doctor as the service's user or as root", "the daemon's socket in %s may not be opened", v.Config.State)
	case err != nil:
		v.fail("service", "look at the daemon's log, then restart it", "the daemon does not answer: %v", err)
	case c == nil:
		v.warn("service", "start it: systemctl start llamaxr", "no daemon runs on %s", v.Config.State)
	case c.Status.Status != "ok":
		v.fail("service", "look at the daemon's log", "the daemon runs as process %d and says: %s", c.PID, c.Status.Status)
	case c.Version != v.Version:
		v.warn("service", "restart it: systemctl restart llamaxr", "the daemon that runs is version %s, this program is %s", c.Version, v.Version)
	default:
		v.ok("service", "version %s runs as process %d", c.Version, c.PID)
	}
	if err == nil && c != nil {
		v.daemon, v.Config = c, c.Config
	}
}

func (v *visit) configuration(context.Context) {
	from := v.ConfigFile
	if from == "" {
		from = "the running daemon"
		if v.daemon == nil {
			from = "the defaults"
		}
	}
	fault := v.Fault
	if fault == nil {
		fault = v.Config.Check()
	}
	if fault != nil {
		v.fail("configuration", "mend the file; `llamaxr config check FILE` says when it is right", "of %s: %v", from, fault)
		return
	}
	if err := v.Config.Unresolved(); err != nil {
		v.warn("configuration", "start the service and ask again: it knows where its credentials are", "of %s: encryption and other systems are not looked at: %v", from, err)
		return
	}
	if keys := v.notInForce(); len(keys) > 0 {
		v.warn("configuration", "systemctl reload llamaxr, or restart where the log says so; what options of the command line say stays",
			"%s says otherwise than the daemon has in force: %s", from, strings.Join(keys, ", "))
		return
	}
	if len(v.Config.Destinations) == 0 {
		v.warn("configuration", "name the PACS in destinations, then reload: systemctl reload llamaxr", "of %s: no destination, so drafts go nowhere", from)
		return
	}
	v.ok("configuration", "of %s", from)
}

// notInForce are the keys of the file in which the running daemon has something else. Of a file with credentials it cannot be told here.
func (v *visit) notInForce() (keys []string) {
	if v.daemon == nil || v.ConfigFile == "" || v.file.Unresolved() != nil {
		return nil
	}
	for _, change := range config.Changes(v.file, v.Config) {
		if change.Key != "state" { // it was found there, however it is written
			keys = append(keys, change.Key)
		}
	}
	return keys
}

// modes looks at who may read the state and the private keys, and who owns the state's files.
func (v *visit) modes(context.Context) {
	const name = "file modes"
	info, err := os.Stat(v.Config.State)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		v.warn(name, "start the appliance once, or give the right folder by --state or --config", "the state folder %s does not exist", v.Config.State)
		return
	case err != nil:
		v.fail(name, "run doctor as the service's user or as root", "the state folder cannot be looked at: %v", err)
		return
	}
	well := true
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		well = false
		v.fail(name, fmt.Sprintf("chmod 700 %s", v.Config.State), "others may enter the state folder, which holds patients' images: mode %04o", mode)
	}
	for _, secret := range v.Config.Secrets() {
		if info, err := os.Stat(secret); err == nil && info.Mode().Perm()&0o007 != 0 {
			well = false
			v.fail(name, "chmod o= "+secret, "everybody may read the key or secret %s: mode %04o", secret, info.Mode().Perm())
		}
	}
	if info, err := os.Stat(v.ConfigFile); v.ConfigFile != "" && err == nil && info.Mode().Perm()&0o002 != 0 {
		well = false
		v.fail(name, "chmod 640 "+v.ConfigFile, "everybody may write the configuration %s: mode %04o", v.ConfigFile, info.Mode().Perm())
	}
	if foreign := foreigners(v.Config.State); foreign != "" {
		well = false
		v.warn(name, fmt.Sprintf("chown -R --reference=%[1]s %[1]s", v.Config.State), "%s belongs to another user than the state folder: a command was run as another user",
			foreign)
	}
	if well {
		v.ok(name, "only the owner reads %s", v.Config.State)
	}
}

// foreigners names an entry near the top of the state that belongs to somebody else than the folder, "" when there is none.
func foreigners(state string) (foreign string) {
	owner := func(info fs.FileInfo) (uint32, bool) {
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return 0, false
		}
		return stat.Uid, true
	}
	info, err := os.Stat(state)
	if err != nil {
		return ""
	}
	want, ok := owner(info)
	for _, pattern := range []string{"*", "models/*", "models/*/*", "drafts/*"} {
		found, _ := fs.Glob(os.DirFS(state), pattern)
		for _, name := range found {
			if name == backup.LostAndFound { // root's, on a disk of its own
				continue
			}
			path := filepath.Join(state, name)
			info, err := os.Lstat(path)
			if err != nil {
				continue
			}
			if got, known := owner(info); ok && known && got != want {
				return path
			}
		}
	}
	return ""
}

// encryption holds the key against the state and counts what is plain still. Without a key, and in a state without one, there is nothing to say.
func (v *visit) encryption(ctx context.Context) {
	claimed, err := atrest.Claimed(v.Config.State)
	if err == nil && claimed == "" && v.Config.Encryption.Key == "" {
		return
	}
	if err == nil {
		var key *atrest.Key
		if key, err = atrest.ReadKey(v.Config.Encryption.Key); err == nil {
			err = key.Check(v.Config.State)
		}
	}
	if err != nil {
		v.fail("encryption", "name the key of this state in encryption.key, and see that the service's user may read it: docs/ADMIN.md", "%v", err)
		return
	}
	plain, all, err := daemon.CountPlain(ctx, v.Config.State)
	switch {
	case err != nil:
		v.fail("encryption", "run doctor as the service's user or as root", "the files cannot be looked at: %v", err)
	case plain > 0:
		key := v.Config.Encryption.Key
		if strings.HasPrefix(key, "/run/credentials/") {
			key = "FILE" // that one goes with the daemon
		}
		v.warn("encryption", fmt.Sprintf("stop the appliance, then `llamaxr encryption apply --state %s --key %s`: docs/ADMIN.md", v.Config.State, key),
			"%d of %d files are plain: they are from before the key", plain, all)
	default:
		v.ok("encryption", "all %d files are encrypted", all)
	}
}

// database checks the database. Where records are damaged is not told: keys hold identifiers.
func (v *visit) database(context.Context) {
	const remedy = "stop the appliance, then `llamaxr fsck --state %[1]s` lists what is wrong and `llamaxr fsck --state %[1]s --repair` mends it"
	repair := fmt.Sprintf(remedy, v.Config.State)
	if v.daemon != nil {
		switch {
		case v.daemon.Fault != "":
			v.fail("database", repair, "studies, objects and jobs do not hold together")
		case v.daemon.Damage > 0:
			v.warn("database", "look at the disk (smartctl -a); the log tells what was lost and made again", "%d things were damaged when it was opened",
				v.daemon.Damage)
		default:
			v.ok("database", "studies, objects and jobs hold together")
		}
		return
	}
	path := filepath.Join(v.Config.State, "llamaxr.db")
	found, records, err := queue.Fsck(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		v.warn("database", "start the appliance once", "there is none yet")
	case err != nil:
		v.fail("database", "see that nobody else has it open and that it may be read", "%s cannot be checked: %v", path, err)
	case len(found) > 0:
		v.fail("database", repair, "%d of its pages or records are damaged or missing", len(found))
	default:
		v.ok("database", "%d records, every checksum fits", records)
		if err := daemon.ObjectsMounted(v.Config.State); err != nil {
			v.fail("objects", "mount the file system that they lie on", "%v", err)
		}
	}
}

// jobs looks at what waits and what was given up.
func (v *visit) jobs(context.Context) {
	jobs, err := daemon.Jobs(v.Config.State)
	if err != nil {
		return // there is no state, or its database was found wrong
	}
	dead, waiting, late := 0, 0, time.Duration(0)
	for _, j := range jobs {
		due := j.Created
		if j.NotBefore.After(due) {
			due = j.NotBefore
		}
		if j.Dead {
			dead++
		} else if waiting++; j.Leased.IsZero() {
			late = max(late, time.Since(due))
		}
	}
	list := fmt.Sprintf("`llamaxr queue list --state %s` gives the reasons", v.Config.State)
	switch {
	case dead > 0:
		v.warn("jobs", list+"; mend the cause, then `llamaxr queue resend JOB`", "%d were given up, %d wait", dead, waiting)
	case v.daemon != nil && late > lateJob:
		v.warn("jobs", list, "%d wait, one of them since %s", waiting, late.Round(time.Minute))
	default:
		v.ok("jobs", "%d wait, none was given up", waiting)
	}
}

// models holds the models in use against their digests.
func (v *visit) models(ctx context.Context) {
	trusted, err := signing.ReadPublic(v.Config.Adapters.TrustedKeys...)
	if err != nil {
		v.fail("models", "see that adapters.trusted_keys names public keys that may be read", "%v", err)
	}
	store := models.OpenStore(filepath.Join(v.Config.State, daemon.ModelFolder)).Trusting(trusted)
	var starters []string
	for _, role := range models.Roles {
		m, err := store.InUse(role)
		switch {
		case err != nil:
			v.fail("models", "choose another: `llamaxr models use NAME --state "+v.Config.State+"`", "the %s in use cannot be read: %v", role, err)
			continue
		case m == nil && role != models.RoleAdapter:
			starters = append(starters, string(role))
			continue
		case m == nil:
			continue
		}
		err = store.Verify(ctx, m, nil)
		if errors.Is(err, signing.ErrUntrusted) && !errors.Is(err, models.ErrDamaged) {
			v.fail("models", "have it signed by whoever has the site's key: `llamaxr adapter sign "+m.Name+"`", "%v", err)
			continue
		}
		if err != nil {
			v.fail("models", "import it again: `llamaxr models import`; look at the disk (smartctl -a)", "%s: %v", m.Name, err)
			continue
		}
		v.ok("models", "%s %s: every file is what was imported", role, m.Name)
	}
	if len(starters) > 0 {
		v.warn("models", "import a model for the clinic: docs/MODELS.md", "starter models are in use, which are not for clinical use: %s", strings.Join(starters, ", "))
	}
}
