package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
)

// TestPackages: the same sources make the same bytes in two folders, and Debian's own tools find the deb in order. With LLAMAXR_LONG it is
// everything for both architectures, and the second time nothing that was compiled before is used; else the deb for amd64.
func TestPackages(t *testing.T) {
	arches, formats, long := "amd64", "deb", os.Getenv("LLAMAXR_LONG") != ""
	if long {
		arches, formats = "amd64,arm64", "deb,rpm,tarball,image"
	}
	first := makeIn(t, peertest.Root(t), arches, formats, "0.1.0-rc.1+7.gabc")
	check := exec.Command("sha256sum", "--check", "--strict", sumsName)
	check.Dir = first
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("sha256sum: %v\n%s", err, out)
	}
	deb := filepath.Join(first, "llamaxr_0.1.0~rc.1+7.gabc-1_amd64.deb")
	t.Run("deb", func(t *testing.T) { inspectDeb(t, deb) })
	t.Run("SBOM", func(t *testing.T) { inspectBill(t, first, deb) })
	if long {
		t.Run("rpm", func(t *testing.T) { inspectRPM(t, first, deb) })
		t.Run("image", func(t *testing.T) { inspectImage(t, first) })
		t.Run("tarball", func(t *testing.T) { inspectTarball(t, first) })
	}
	if long {
		t.Setenv("GOCACHE", t.TempDir())
	}
	second := makeIn(t, copySources(t), arches, formats, "0.1.0-rc.1+7.gabc")
	sums := read(t, filepath.Join(first, sumsName))
	if other := read(t, filepath.Join(second, sumsName)); sums != other {
		t.Errorf("two folders, two results:\n%s\n%s", sums, other)
	}
}

// makeIn makes packages of the sources in root into a folder of its own.
func makeIn(t *testing.T, root, arches, formats, version string) string {
	t.Helper()
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	out := t.TempDir()
	err := run(context.Background(), []string{"-root", root, "-out", out, "-arch", arches, "-formats", formats, "-version", version}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// copySources copies what the packages are made of into a folder of another name and depth.
func copySources(t *testing.T) string {
	t.Helper()
	root, to := peertest.Root(t), filepath.Join(t.TempDir(), "elsewhere", "deeper")
	for _, name := range []string{"go.mod", "go.sum", "README.md", "CHANGELOG.md"} {
		if err := write(filepath.Join(to, name), []byte(read(t, filepath.Join(root, name)))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"study", "dicomnet", "queue", "ingest", "inference", "reporting", "finetune", "daemon", "internal", "systemd", "packaging", "docs"} {
		if err := os.CopyFS(filepath.Join(to, name), os.DirFS(filepath.Join(root, name))); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// says runs a program that has to succeed and returns what it printed.
func says(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TZ=UTC")
	out, err := output(cmd)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// installed are files that an administrator looks for, by ls -l's mode and owner.
var installed = []string{
	"drwxr-x--- root/root ./etc/llamaxr/",
	"-rwxr-xr-x root/root ./usr/bin/llamaxr",
	"-rw-r--r-- root/root ./usr/lib/systemd/system/llamaxr.service",
	"-rw-r--r-- root/root ./usr/lib/systemd/system/llamaxr-backup.service",
	"-rw-r--r-- root/root ./usr/lib/systemd/system/llamaxr-backup.timer",
	"-rw-r--r-- root/root ./usr/lib/sysusers.d/llamaxr.conf",
	"-rw-r--r-- root/root ./usr/share/man/man1/llamaxr.1.gz",
	"-rw-r--r-- root/root ./usr/share/man/man1/llamaxr-run.1.gz",
	"-rw-r--r-- root/root ./usr/share/man/man5/llamaxr.yaml.5.gz",
	"-rw-r--r-- root/root ./usr/share/bash-completion/completions/llamaxr",
	"-rw-r--r-- root/root ./usr/share/fish/vendor_completions.d/llamaxr.fish",
	"-rw-r--r-- root/root ./usr/share/zsh/vendor-completions/_llamaxr",
	"-rw-r--r-- root/root ./usr/share/llamaxr/llamaxr.yaml",
	"-rw-r--r-- root/root ./usr/share/llamaxr/monitoring/llamaxr.rules.yml",
	"-rw-r--r-- root/root ./usr/share/doc/llamaxr/copyright",
	"-rw-r--r-- root/root ./usr/share/doc/llamaxr/changelog.gz",
	"-rw-r--r-- root/root ./usr/share/doc/llamaxr/changelog.Debian.gz",
	"-rw-r--r-- root/root ./usr/share/doc/llamaxr/sbom.cdx.json",
	"-rw-r--r-- root/root ./usr/share/doc/llamaxr/docs/ADMIN.md",
	"-rw-r--r-- root/root ./usr/share/doc/llamaxr/docs/worklist.png",
	"-rw-r--r-- root/root ./usr/share/doc/llamaxr/licences/go/LICENSE",
	"-rw-r--r-- root/root ./usr/share/doc/llamaxr/licences/go.etcd.io/bbolt/LICENSE",
	"-rw-r--r-- root/root ./usr/share/doc/llamaxr/licences/llamaxr/finetune/metrics/wordnet/LICENSE",
}

// inspectDeb: dpkg lists what should be there, nothing in /etc that it would ask about, and lintian has no error or warning.
func inspectDeb(t *testing.T, deb string) {
	listing := map[string]bool{}
	for line := range strings.Lines(says(t, "dpkg-deb", "--contents", deb)) {
		f := strings.Fields(line)
		if f[3] != "2023-11-14" {
			t.Errorf("not the release's time: %s", line)
		}
		listing[f[0]+" "+f[1]+" "+f[5]] = true
	}
	for _, line := range installed {
		if !listing[line] {
			t.Errorf("not in the deb: %s", line)
		}
	}
	for line := range listing {
		if strings.Contains(line, " ./etc/llamaxr/") && !strings.HasSuffix(line, "/") {
			t.Errorf("a configuration file belongs to the package: %s", line)
		}
	}
	for field, want := range map[string]string{"Package": "llamaxr", "Version": "0.1.0~rc.1+7.gabc-1", "Architecture": "amd64"} {
		if got := strings.TrimSpace(says(t, "dpkg-deb", "--field", deb, field)); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	// A pre-release is older than its release, a later build newer than an earlier one.
	for _, pair := range [][2]string{{"0.1.0-rc.1", "0.1.0"}, {"0.1.0-dev+20260102030405.gfff", "0.1.0-dev+20260102030406.gaaa"}, {"0.1.0", "0.2.0-dev"}} {
		says(t, "dpkg", "--compare-versions", debian(pair[0]), "lt", debian(pair[1]))
	}
	lintian := exec.Command(peertest.Program(t, "lintian"), "--allow-root", "--fail-on", "error,warning", deb)
	if out, err := lintian.CombinedOutput(); err != nil {
		t.Errorf("lintian: %v\n%s", err, out)
	}
	unpacked := t.TempDir()
	says(t, "dpkg-deb", "--extract", deb, unpacked)
	says(t, filepath.Join(unpacked, "usr/bin/llamaxr"), "config", "check", filepath.Join(unpacked, "usr/share/llamaxr/llamaxr.yaml"))
	if out := says(t, filepath.Join(unpacked, "usr/bin/llamaxr"), "version"); !strings.HasPrefix(out, "llamaxr 0.1.0-rc.1+7.gabc ") {
		t.Errorf("the program says %s", out)
	}
	says(t, "bash", "-n", filepath.Join(unpacked, "usr/share/bash-completion/completions/llamaxr"))
	scripts := filepath.Join(unpacked, "scripts")
	says(t, "dpkg-deb", "--control", deb, scripts)
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		says(t, "dash", "-n", filepath.Join(scripts, script))
	}
}

// bill is what is held against other sources of an SBOM.
type bill struct {
	Components []struct{ Type, Name, Version string }
}

// validate is the CycloneDX project's own validator.
const validate = `import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
sys.exit(str(fault) if fault else 0)`

// inspectBill: CycloneDX's validator takes the SBOM, and it names the modules that the linker wrote into the program, no more and no fewer, and
// the models inside.
func inspectBill(t *testing.T, folder, deb string) {
	path := filepath.Join(folder, "llamaxr-0.1.0-rc.1+7.gabc-linux-amd64.cdx.json")
	if out, err := exec.Command(peertest.Python(t), "-c", validate, path).CombinedOutput(); err != nil {
		t.Errorf("validator: %v\n%s", err, out)
	}
	var b bill
	if err := json.Unmarshal([]byte(read(t, path)), &b); err != nil {
		t.Fatal(err)
	}
	named := map[string]string{}
	for _, c := range b.Components {
		named[c.Name] = c.Version
	}
	unpacked := t.TempDir()
	says(t, "dpkg-deb", "--extract", deb, unpacked)
	linked, err := buildinfo.ReadFile(filepath.Join(unpacked, "usr/bin/llamaxr"))
	if err != nil {
		t.Fatal(err)
	}
	copyright := read(t, filepath.Join(unpacked, documents, "copyright"))
	for _, m := range linked.Deps {
		if named[m.Path] != m.Version {
			t.Errorf("the SBOM has %s %q, the program %s", m.Path, named[m.Path], m.Version)
		}
		if !strings.Contains(copyright, "  "+m.Path+" "+m.Version+"\n") {
			t.Errorf("the copyright file has no %s %s", m.Path, m.Version)
		}
		delete(named, m.Path)
	}
	delete(named, "std")
	if len(named) != 2 || named["WordNet"] != "3.0" || named["llamaxr starter bundle"] == "" {
		t.Errorf("beside the modules the SBOM has %v", named)
	}
}

// inspectRPM: rpm takes it, and installs the same program as the deb.
func inspectRPM(t *testing.T, folder, deb string) {
	rpm := peertest.Program(t, "rpm")
	for arch, name := range map[string]string{"x86_64": "amd64", "aarch64": "arm64"} {
		path := filepath.Join(folder, "llamaxr-0.1.0~rc.1+7.gabc-1."+arch+".rpm")
		says(t, rpm, "--checksig", "--nosignature", path)
		if got := says(t, rpm, "-qp", "--queryformat", "%{NAME} %{ARCH} %{LICENSE} %{BUILDTIME}", path); got != "llamaxr "+arch+" not stated 1700000000" {
			t.Errorf("%s: %s", name, got)
		}
	}
	path := filepath.Join(folder, "llamaxr-0.1.0~rc.1+7.gabc-1.x86_64.rpm")
	var files []string
	for line := range strings.Lines(says(t, "dpkg-deb", "--contents", deb)) {
		if f := strings.Fields(line); f[0][0] == '-' && !strings.Contains(f[5], "Debian") && !strings.Contains(f[5], "lintian") && !strings.Contains(f[5], "/zsh/") {
			files = append(files, strings.TrimPrefix(f[5], "."))
		}
	}
	list := says(t, rpm, "-qpl", path)
	for _, file := range append(files, "/usr/share/zsh/site-functions/_llamaxr", "/etc/llamaxr") {
		if !strings.Contains(list, file+"\n") {
			t.Errorf("the rpm has no %s", file)
		}
	}
}

// inspectImage: skopeo, which knows the specification, takes the image of each architecture out of the layout, and the program in it runs as the
// image's user with nothing else in its root; arm64 by qemu.
func inspectImage(t *testing.T, folder string) {
	archive := filepath.Join(folder, "llamaxr-0.1.0-rc.1+7.gabc.oci.tar")
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		unpacked, root := t.TempDir(), t.TempDir()
		says(t, peertest.Program(t, "skopeo"), "--insecure-policy", "--override-arch", arch, "copy", "--quiet", "oci-archive:"+archive, "dir:"+unpacked)
		var manifest struct {
			Layers []descriptor
			Config descriptor
		}
		if err := json.Unmarshal([]byte(read(t, filepath.Join(unpacked, "manifest.json"))), &manifest); err != nil || len(manifest.Layers) != 1 {
			t.Fatal(err, manifest)
		}
		if config := read(t, filepath.Join(unpacked, strings.TrimPrefix(manifest.Config.Digest, "sha256:"))); !strings.Contains(config, `"architecture":"`+arch+`"`) {
			t.Errorf("%s: the image is of another architecture: %s", arch, config)
		}
		says(t, "tar", "--extract", "--gzip", "--same-owner", "--file", filepath.Join(unpacked, strings.TrimPrefix(manifest.Layers[0].Digest, "sha256:")), "--directory", root)
		program := filepath.Join(root, "usr/bin/llamaxr")
		file, err := elf.Open(program)
		if err != nil {
			t.Fatal(err)
		}
		if file.Machine != machine || len(must(file.ImportedLibraries())) > 0 {
			t.Errorf("%s: the program is for %v and needs %v", arch, file.Machine, must(file.ImportedLibraries()))
		}
		file.Close()
		if os.Geteuid() != 0 {
			t.Skip("chroot needs root")
		}
		if err := os.Chmod(root, 0o755); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(says(t, "stat", "--format=%a %u %g", filepath.Join(root, "var/lib/llamaxr"))); got != "700 65532 65532" {
			t.Errorf("state folder: %s", got)
		}
		inside := []string{"--userspec=" + imageUser + ":" + imageUser, root}
		if arch == "arm64" {
			says(t, "cp", peertest.Program(t, "qemu-aarch64-static"), root)
			inside = append(inside, "/qemu-aarch64-static")
		}
		if out := says(t, "chroot", append(inside, "/usr/bin/llamaxr", "version")...); !regexp.MustCompile(`linux/` + arch + `\)`).MatchString(out) {
			t.Errorf("%s: the program says %s", arch, out)
		}
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// inspectTarball: unpacked anywhere, program, pages and licences are there, and no unit for another place.
func inspectTarball(t *testing.T, folder string) {
	to := t.TempDir()
	says(t, "tar", "--extract", "--gzip", "--strip-components=1", "--file", filepath.Join(folder, "llamaxr-0.1.0-rc.1+7.gabc-linux-amd64.tar.gz"), "--directory", to)
	says(t, filepath.Join(to, "bin/llamaxr"), "version")
	for _, name := range []string{"share/man/man1/llamaxr.1.gz", "share/doc/llamaxr/copyright", "share/zsh/site-functions/_llamaxr"} {
		if _, err := os.Stat(filepath.Join(to, name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(to, "lib")); err == nil {
		t.Error("a unit file for /usr/bin is in the tarball")
	}
}

// TestNothingWithoutALicence: a module whose licence is missing is found.
func TestNothingWithoutALicence(t *testing.T) {
	module := t.TempDir()
	for name, text := range map[string]string{"LICENSE.txt": "a", "sub/NOTICE": "b", "sub/licence.go": "c", "other/COPYING": "d"} {
		if err := write(filepath.Join(module, name), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	to := t.TempDir()
	if n, err := copyLicences(filepath.Join(module, "sub"), module, to); err != nil || n != 2 {
		t.Errorf("%d files, %v; want the package's and the module's", n, err)
	}
	if n, err := copyLicences(t.TempDir(), t.TempDir(), to); err == nil {
		t.Errorf("%d files of a package outside its module", n)
	}
	for name, want := range map[string]string{"LICENSE.txt": "a", "sub/NOTICE": "b"} {
		if got := read(t, filepath.Join(to, name)); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// saidCommand is the command by which a purge says that what it leaves is destroyed.
func saidCommand(t *testing.T, said string) string {
	t.Helper()
	found := regexp.MustCompile(`"(rm [^"]*)"`).FindStringSubmatch(said)
	if found == nil {
		t.Fatalf("the purge names no command:\n%s", said)
	}
	return found[1]
}

// TestPurgeNamesAllThatStays: the state, its backups or both; the command that it prints destroys them, before the user whose number another may get.
func TestPurgeNamesAllThatStays(t *testing.T) {
	for _, stays := range [][]string{nil, {"llamaxr"}, {"llamaxr-backup"}, {"llamaxr", "llamaxr-backup"}} {
		root := t.TempDir()
		for _, folder := range []string{"etc/llamaxr", "var/lib/llamaxr", "var/lib/llamaxr-backup", "bin"} {
			if err := os.MkdirAll(filepath.Join(root, folder), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		for _, folder := range stays {
			if err := os.WriteFile(filepath.Join(root, "var/lib", folder, "of a patient"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, tool := range []string{"rm", "rmdir"} { // and no other: the script is not to find the machine's own packages
			if err := os.Symlink(peertest.Program(t, tool), filepath.Join(root, "bin", tool)); err != nil {
				t.Fatal(err)
			}
		}
		in := strings.NewReplacer("/etc/llamaxr", root+"/etc/llamaxr", "/var/lib/", root+"/var/lib/", "/run/", root+"/run/")
		sh := func(script string, args ...string) string {
			cmd := exec.Command("/bin/sh", append([]string{"-c", script, "sh"}, args...)...)
			cmd.Env = []string{"PATH=" + filepath.Join(root, "bin")}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %v\n%s", stays, err, out)
			}
			return string(out)
		}
		said := sh(in.Replace(read(t, filepath.Join(peertest.Root(t), "packaging/scripts/postrm.sh"))), "purge")
		if stays == nil && said != "" {
			t.Errorf("nothing stays, and it says %s", said)
		}
		for _, folder := range stays {
			if !strings.Contains(said, root+"/var/lib/"+folder+" holds ") {
				t.Errorf("%v: %s is not named:\n%s", stays, folder, said)
			}
		}
		if stays != nil {
			command, last := strings.CutSuffix(saidCommand(t, said), " && userdel llamaxr")
			if sh(command); !last {
				t.Errorf("%v: the user is not the last to go:\n%s", stays, said)
			}
		}
		if left, err := filepath.Glob(filepath.Join(root, "var/lib/*")); err != nil || len(left) > 0 {
			t.Errorf("%v: %v is left, %v", stays, left, err)
		}
	}
}

// TestUsage: what cannot be made is said before anything is built.
func TestUsage(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	var out bytes.Buffer
	if err := run(context.Background(), []string{"-out", t.TempDir()}, &out); err == nil || !strings.Contains(err.Error(), `"yesterday"`) {
		t.Errorf("a time that is none: %v", err)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	if err := run(context.Background(), []string{"-root", peertest.Root(t), "-out", t.TempDir(), "-formats", "msi"}, &out); err == nil || !strings.Contains(err.Error(), "msi") {
		t.Errorf("a format that is none: %v", err)
	}
}
