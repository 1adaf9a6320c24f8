package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llamaxr/internal/peertest"
)

// Times that something may take in the machine under test.
const (
	bootTime  = 2 * time.Minute
	draftTime = 5 * time.Minute
)

// debian12 is a Debian of the test's own, booted with its systemd in namespaces of its own: no network but its loopback.
type debian12 struct {
	t      *testing.T
	leader string // process id of its init as we see it
}

// bootDebian unpacks .cache/debian.tar and boots it; debs is seen inside as /debs.
func bootDebian(t *testing.T, debs string) *debian12 {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a machine of its own needs root")
	}
	root := filepath.Join(t.TempDir(), "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	says(t, "tar", "--extract", "--numeric-owner", "--file", peertest.File(t, ".cache/debian.tar"), "--directory", root)
	var console bytes.Buffer
	cmd := exec.Command(peertest.Program(t, "systemd-nspawn"), "--quiet", "--boot", "--register=no", "--keep-unit", "--private-network",
		fmt.Sprintf("--machine=llamaxr-%d", os.Getpid()), "--directory="+root, "--bind-ro="+debs+":/debs", "--console=pipe")
	cmd.Stdout, cmd.Stderr = &console, &console
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d := &debian12{t: t}
	t.Cleanup(func() {
		if d.leader != "" {
			_ = exec.Command("kill", "-s", "RTMIN+4", d.leader).Run() // systemd(1): power off
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-ended:
		case <-time.After(bootTime):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	d.await(bootTime, "boot", func() bool {
		if d.leader == "" {
			d.leader = leaderOf(cmd.Process.Pid)
			return false
		}
		out, _ := d.try("systemctl is-system-running")
		state := strings.TrimSpace(out)
		return state == "running" || state == "degraded"
	}, func() string { return console.String() })
	return d
}

// leaderOf finds the process below pid that is number 1 of its own namespace.
func leaderOf(pid int) string {
	out, _ := exec.Command("ps", "-e", "-o", "pid=,ppid=").Output()
	parents := map[string]string{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		parents[f[0]] = f[1]
	}
	for child := range parents {
		status, err := os.ReadFile("/proc/" + child + "/status")
		if err != nil || !strings.Contains(string(status), "\nNSpid:\t"+child+"\t1\n") {
			continue
		}
		for p := child; p != ""; p = parents[p] {
			if p == fmt.Sprint(pid) {
				return child
			}
		}
	}
	return ""
}

// try runs a shell's command inside.
func (d *debian12) try(command string) (string, error) {
	cmd := exec.Command("nsenter", "--target="+d.leader, "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd", "sh", "-c", command)
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// do runs what has to succeed.
func (d *debian12) do(command string) string {
	d.t.Helper()
	out, err := d.try(command)
	if err != nil {
		journal, _ := d.try("journalctl --no-pager -u llamaxr | tail -40")
		d.t.Fatalf("%s: %v\n%s\n%s", command, err, out, journal)
	}
	return out
}

// want compares what a command prints, its exit status apart.
func (d *debian12) want(command, want string) {
	d.t.Helper()
	if out, _ := d.try(command); strings.TrimSpace(out) != want {
		d.t.Errorf("%s: %q, want %q", command, strings.TrimSpace(out), want)
	}
}

func (d *debian12) await(limit time.Duration, what string, done func() bool, why func() string) {
	d.t.Helper()
	for end := time.Now().Add(limit); !done(); time.Sleep(time.Second / 2) {
		if time.Now().After(end) {
			d.t.Fatalf("no %s within %s\n%s", what, limit, why())
		}
	}
}

// push sends a phantom by DCMTK's storescu and returns its Study Instance UID.
func (d *debian12) push(seed int) string {
	d.t.Helper()
	folder := fmt.Sprintf("/root/phantom%d", seed)
	d.do(fmt.Sprintf("llamaxr phantom --seed %d --finding Effusion --out %s", seed, folder))
	d.do("storescu -aec CHEST +sd +r 127.0.0.1 11112 " + folder)
	uid := d.do("find " + folder + " -type f | head -1 | xargs dcmdump -q +P StudyInstanceUID | sed 's/.*\\[\\(.*\\)\\].*/\\1/'")
	return strings.TrimSpace(uid)
}

// reports counts the Basic Text SR documents of a study that DCMTK's storescp was sent.
func (d *debian12) reports(study string) int {
	out, _ := d.try("for f in $(find /srv/pacs -type f); do dcmdump -q +P SOPClassUID +P StudyInstanceUID $f | tr '\\n' ' '; echo; done")
	n := 0
	for line := range strings.Lines(out) {
		if strings.Contains(line, "BasicTextSRStorage") && strings.Contains(line, "["+study+"]") {
			n++
		}
	}
	return n
}

func (d *debian12) awaitReport(study string) {
	d.t.Helper()
	d.await(draftTime, "SR", func() bool { return d.reports(study) > 0 }, func() string {
		out, _ := d.try("journalctl --no-pager -u llamaxr -u pacs | tail -60; find /srv/pacs; runuser -u llamaxr -- llamaxr studies --state /var/lib/llamaxr")
		return out
	})
}

// TestInstalledDeb: in a Debian with systemd the package is installed, configured by setup, started by the unit, used by DCMTK as sender and PACS,
// backed up, upgraded in the middle of a study, given a key by systemd, removed, installed again and purged; then installed without a package. Nothing
// listens before it is configured, no study is lost or drafted twice, and no purge destroys a patient's data.
func TestInstalledDeb(t *testing.T) {
	if os.Getenv("LLAMAXR_LONG") == "" {
		t.Skip("set LLAMAXR_LONG=1, as root: it boots a Debian")
	}
	debs := t.TempDir()
	for _, version := range []string{"0.1.0", "0.2.0"} {
		t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
		if err := run(context.Background(), []string{"-root", peertest.Root(t), "-out", filepath.Join(debs, version), "-arch", "amd64", "-formats", "deb", "-version", version}, os.Stderr); err != nil {
			t.Fatal(err)
		}
	}
	const first, second = "/debs/0.1.0/llamaxr_0.1.0-1_amd64.deb", "/debs/0.2.0/llamaxr_0.2.0-1_amd64.deb"
	d := bootDebian(t, debs)

	// Installed and purged before it was used: nothing stays.
	if out := d.do("apt-get install -y " + first); !strings.Contains(out, "nothing listens yet") {
		t.Errorf("the installation does not say what is next:\n%s", out)
	}
	d.want("systemctl is-enabled llamaxr", "enabled")
	d.want("systemctl is-active llamaxr", "inactive")
	d.want("stat -c '%a %U:%G' /etc/llamaxr /var/lib/llamaxr", "750 root:llamaxr\n700 llamaxr:llamaxr")
	if out, err := d.try("systemctl start llamaxr"); err == nil || !strings.Contains(out, "Assertion failed") {
		t.Errorf("started without a configuration: %v\n%s", err, out)
	}
	d.do("apt-get purge -y llamaxr")
	d.want("ls -d /etc/llamaxr /var/lib/llamaxr /usr/share/doc/llamaxr /usr/lib/systemd/system/llamaxr.service 2>/dev/null", "")

	// Installed, set up, started and used.
	d.do("apt-get install -y " + first)
	d.do("mkdir -p /srv/pacs && systemd-run --quiet --unit=pacs storescp -aet PACS -od /srv/pacs +uf 11113")
	d.do("until echoscu 127.0.0.1 11113; do sleep 0.2; done")
	t.Log(d.do("llamaxr setup --yes --ae-title CHEST --port 11112 --pacs PACS@127.0.0.1:11113 --test-study here"))
	d.want("stat -c '%a %U:%G' /etc/llamaxr/llamaxr.yaml", "640 root:llamaxr")
	begun := time.Now()
	d.do("systemctl start llamaxr")
	t.Logf("ready after %.1f s", time.Since(begun).Seconds())
	d.want("llamaxr service status", "running (linux-systemd)")
	d.want("systemctl show -p User -p NRestarts llamaxr", "NRestarts=0\nUser=llamaxr")
	d.do("echoscu -aec CHEST 127.0.0.1 11112")
	one := d.push(1)
	d.awaitReport(one)
	t.Log(d.do("systemd-analyze security llamaxr --no-pager | tail -1"))

	// Looked after: backed up by the timer's unit, asked by doctor, reloaded.
	d.do("systemctl enable --now llamaxr-backup.timer && systemctl start llamaxr-backup")
	d.want("stat -c '%a %U:%G' /var/lib/llamaxr-backup", "700 llamaxr:llamaxr")
	d.do("llamaxr restore /var/lib/llamaxr-backup/llamaxr-*.tar --check")
	t.Log(d.do("runuser -u llamaxr -- llamaxr doctor --config /etc/llamaxr/llamaxr.yaml"))
	d.want("llamaxr models use starter --state /var/lib/llamaxr", "llamaxr: /var/lib/llamaxr is llamaxr's: run it as that user (sudo -u llamaxr llamaxr models use ...)")
	d.want("find /var/lib/llamaxr -not -user llamaxr", "")
	d.do("echo 'log_level: debug' >>/etc/llamaxr/llamaxr.yaml && systemctl reload llamaxr")
	d.await(bootTime, "reload", func() bool {
		out, _ := d.try("journalctl --no-pager -u llamaxr")
		return strings.Contains(out, "configuration read again")
	}, func() string { return "" })

	// Upgraded while a study is on its way.
	before := d.do("systemctl show -p MainPID llamaxr") + d.do("sha256sum /etc/llamaxr/llamaxr.yaml")
	two := d.push(2)
	d.do("apt-get install -y " + second)
	d.want("systemctl is-active llamaxr", "active")
	after := d.do("systemctl show -p MainPID llamaxr") + d.do("sha256sum /etc/llamaxr/llamaxr.yaml")
	if strings.Fields(before)[0] == strings.Fields(after)[0] || strings.Fields(before)[1] != strings.Fields(after)[1] {
		t.Errorf("process and configuration before %q, after %q", before, after)
	}
	d.want("readlink /proc/$(systemctl show -P MainPID llamaxr)/exe", "/usr/bin/llamaxr")
	if out := d.do("llamaxr version"); !strings.HasPrefix(out, "llamaxr 0.2.0 ") {
		t.Errorf("after the upgrade: %s", out)
	}
	d.awaitReport(two)

	// What was stopped on purpose is not started by an upgrade.
	d.do("systemctl stop llamaxr && dpkg -i " + second)
	d.want("systemctl is-active llamaxr", "inactive")
	d.do("systemctl start llamaxr")

	// A key that only systemd hands out, and DICOM's own port without root.
	d.do("llamaxr encryption new-key /etc/llamaxr/age.key && printf 'encryption: {key: \"credential:age\"}\n' >>/etc/llamaxr/llamaxr.yaml")
	d.want("stat -c '%a %U:%G' /etc/llamaxr/age.key", "640 root:llamaxr")
	d.do("mkdir /etc/systemd/system/llamaxr.service.d && printf '[Service]\nLoadCredential=age:/etc/llamaxr/age.key\n' >/etc/systemd/system/llamaxr.service.d/key.conf")
	d.do("sed -i s/:11112/:104/ /etc/llamaxr/llamaxr.yaml && systemctl daemon-reload && systemctl restart llamaxr && echoscu -aec CHEST 127.0.0.1 104")
	d.do("llamaxr config check /etc/llamaxr/llamaxr.yaml")
	t.Log(d.do("llamaxr doctor --config /etc/llamaxr/llamaxr.yaml"))
	d.do("sed -i s/:104/:11112/ /etc/llamaxr/llamaxr.yaml && systemctl stop llamaxr")
	d.do("systemd-run --uid=llamaxr -p Type=oneshot -p LoadCredential=age:/etc/llamaxr/age.key " +
		"sh -c 'llamaxr encryption apply --state /var/lib/llamaxr --key $CREDENTIALS_DIRECTORY/age'")
	d.do("systemctl start llamaxr")
	d.want("llamaxr doctor --config /etc/llamaxr/llamaxr.yaml | grep -c 'ok    encryption'", "1")

	// Removed: the service is gone, what it kept is not. Installed again: it goes on, and so do its backups.
	d.do("apt-get remove -y llamaxr")
	d.want("systemctl is-active llamaxr llamaxr-backup.timer", "inactive\ninactive")
	d.want("ls /usr/bin/llamaxr /usr/lib/systemd/system/llamaxr.service /etc/llamaxr/llamaxr.yaml 2>/dev/null", "/etc/llamaxr/llamaxr.yaml")
	d.do("apt-get install -y " + second)
	d.want("systemctl is-active llamaxr llamaxr-backup.timer", "active\nactive")
	d.awaitReport(d.push(3))
	for _, study := range []string{one, two} {
		if n := d.reports(study); n != 1 {
			t.Errorf("study %s was reported %d times", study, n)
		}
		if out := d.do("runuser -u llamaxr -- llamaxr studies --state /var/lib/llamaxr"); !strings.Contains(out, study) {
			t.Errorf("study %s is not known any more:\n%s", study, out)
		}
	}

	// Purged: the configuration goes, patients' data and the site's own keys stay, and both are said.
	d.do("touch /etc/llamaxr/tls.key && cp /usr/bin/llamaxr /usr/local/bin/")
	out := d.do("apt-get purge -y llamaxr")
	if !strings.Contains(out, "records of patients; it stays") || !strings.Contains(out, "files of your own") {
		t.Errorf("the purge does not say what stays:\n%s", out)
	}
	d.want("ls /etc/llamaxr", "age.key\ntls.key")
	d.want("stat -c '%a %U:%G' /var/lib/llamaxr", "700 llamaxr:llamaxr")
	d.want("systemctl is-active llamaxr", "inactive")
	if out := d.do("find /var/lib/llamaxr -type f | wc -l"); strings.TrimSpace(out) == "0" {
		t.Error("the purge destroyed the state")
	}
	d.want("ls /etc/systemd/system/*.wants/ 2>/dev/null | grep llamaxr; dpkg-query -W llamaxr 2>/dev/null", "")

	// Destroyed as the purge says, then installed without a package, as docs/ADMIN.md has it for a tarball.
	d.do(saidCommand(t, out))
	d.want("ls -d /var/lib/llamaxr*; getent passwd llamaxr", "ls: cannot access '/var/lib/llamaxr*': No such file or directory")
	d.do("rm -r /etc/llamaxr /etc/systemd/system/llamaxr.service.d")
	d.do("llamaxr setup --yes --ae-title CHEST --port 11112 --pacs PACS@127.0.0.1:11113 --test-study none && llamaxr service install && llamaxr service start")
	d.want("llamaxr service status", "running (linux-systemd)")
	d.want("stat -c '%a %U:%G' /etc/llamaxr/llamaxr.yaml /var/lib/llamaxr", "640 root:llamaxr\n700 llamaxr:llamaxr")
	d.awaitReport(d.push(4))
	d.do("systemctl start llamaxr-backup && llamaxr restore /var/lib/llamaxr-backup/llamaxr-*.tar --check && llamaxr service restart && llamaxr service stop")
	d.want("llamaxr service status", "stopped (linux-systemd)\nllamaxr: the service does not run")
	d.do("llamaxr service uninstall")
	d.want("llamaxr service status; ls /etc/systemd/system/*llamaxr*", "not installed (linux-systemd)\nllamaxr: the service does not run\nls: cannot access '/etc/systemd/system/*llamaxr*': No such file or directory")
}
