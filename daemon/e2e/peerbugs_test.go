package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"llamaxr/dicomnet"
	"llamaxr/dicomnet/dimse"
	"llamaxr/internal/dicomwrite"
	"llamaxr/internal/peertest"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// ourNames are all that may lie in a state folder, whatever peers call themselves and their objects.
var ourNames = regexp.MustCompile(`^(\.|llamaxr\.db(-lock|\.lock)?|control\.sock|[a-z]+\.(json|jsonl|sock|lock|log)|[a-z]+\.log\.head|incoming(/object-\d+)?|` +
	`objects\.journal|objects(/[0-9a-f]{2}(/[0-9a-f]{32}\.dcm)?)?|aside(/[0-9a-f]{32}\.dcm)?|damaged|models|tune|drafts(/[0-9a-f]{32}(/\d+(/[a-z0-9.-]+)?)?)?)$`)

// TestNothingAPeerSaysChoosesAPath: AE titles, UIDs and attributes that are paths or commands leave the disk as any others do (the class of
// CVE-2026-50003, CVE-2026-52868, CVE-2026-56445, CVE-2022-2119 and of DCMTK's --sort-on-study-uid and --exec-on-reception).
func TestNothingAPeerSaysChoosesAPath(t *testing.T) {
	n := startNode(t)
	around := filepath.Dir(n.state)
	before := listing(t, around, n.state)
	command := "$(touch " + filepath.Join(around, "made") + ")"
	stored := 0
	for i, text := range []string{"../../../x", "..", "/tmp/llamaxr-x", "`id`;id|id", "%s%n%s", "a\x00/../b"} {
		client := dicomnet.Client{CallingAETitle: strings.ReplaceAll(text, "\x00", " "), CalledAETitle: "../" + strconv.Itoa(i) + "/x"}
		association, err := client.Dial(t.Context(), "127.0.0.1:"+n.port, []dicomnet.ProposedContext{
			{AbstractSyntax: secondaryCapture, TransferSyntaxes: []string{dicomnet.ExplicitVRLittleEndian}},
		})
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		for _, uid := range []string{"2.25.77." + strconv.Itoa(i), text} {
			_, data, _ := bytes.Cut(capture(t, "2.25.77."+strconv.Itoa(i), text, command), []byte("DICM"))
			data = data[12+int(data[8])+int(data[9])<<8:] // behind the File Meta group, whose length leads it
			err := association.Store(t.Context(), dicomnet.StoreRequest{SOPClassUID: secondaryCapture, SOPInstanceUID: uid}, bytes.NewReader(data))
			var status *dimse.StatusError
			switch {
			case uid != text && err != nil:
				t.Errorf("an object of a patient called %q: %v", text, err)
			case uid == text && (!errors.As(err, &status) || status.Status != dimse.InvalidSOPInstance):
				t.Errorf("an object called %q: %v", text, err)
			case err == nil:
				stored++
			}
		}
		if err := association.Release(); err != nil {
			t.Error(err)
		}
	}
	n.settle(stored)
	if after := listing(t, around, n.state); after != before {
		t.Errorf("beside the state folder there is now\n%s, before\n%s", after, before)
	}
	objects := 0
	err := filepath.WalkDir(n.state, func(path string, entry fs.DirEntry, err error) error {
		relative, _ := filepath.Rel(n.state, path)
		if err == nil && !ourNames.MatchString(relative) {
			t.Errorf("the state folder has %q", relative)
		}
		if strings.HasPrefix(relative, "objects/") && err == nil && !entry.IsDir() {
			objects++
		}
		return err
	})
	if err != nil || objects != stored || stored == 0 {
		t.Errorf("%d files for %d objects, %v", objects, stored, err)
	}
}

// capture is a Secondary Capture of one pixel whose texts are hostile.
func capture(t testing.TB, uid, text, command string) []byte {
	t.Helper()
	var b bytes.Buffer
	err := dicomwrite.New().Text(tag.SOPClassUID, secondaryCapture).Text(tag.SOPInstanceUID, uid).Text(tag.StudyInstanceUID, uid+".1").Text(tag.SeriesInstanceUID, uid+".2").
		Text(tag.PatientID, text).Text(tag.PatientName, command).Text(tag.AccessionNumber, text).Text(tag.StudyDescription, command).Text(tag.StudyID, text).
		Text(tag.Modality, "OT").Text(tag.ConversionType, "WSD").Ints(tag.SamplesPerPixel, 1).Text(tag.PhotometricInterpretation, "MONOCHROME2").
		Ints(tag.Rows, 1).Ints(tag.Columns, 1).Ints(tag.BitsAllocated, 8).Ints(tag.BitsStored, 8).Ints(tag.HighBit, 7).Ints(tag.PixelRepresentation, 0).
		Pixels([]byte{1}).Write(&b, dicomnet.ImplementationClassUID, dicomnet.ImplementationVersionName)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// listing are the files of a folder, leaving one out.
func listing(t *testing.T, folder, but string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if path == but {
			return fs.SkipDir
		}
		fmt.Fprintln(&out, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestDirectoryIsNotFollowed: files that a DICOMDIR refers to outside its folder are neither sent nor drafted (the class of CVE-2026-32711).
func TestDirectoryIsNotFollowed(t *testing.T) {
	port, received := startStorescp(t)
	outside := t.TempDir()
	folder := filepath.Join(outside, "CD")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "SECRET"), capture(t, "2.25.78", "SECRET", "SECRET"), 0o600); err != nil {
		t.Fatal(err)
	}
	var directory bytes.Buffer
	record := dicomwrite.New().Text(tag.DirectoryRecordType, "IMAGE").Text(tag.ReferencedFileID, "..", "SECRET").
		Text(tag.ReferencedSOPClassUIDInFile, secondaryCapture).Text(tag.ReferencedSOPInstanceUIDInFile, "2.25.78").Text(tag.ReferencedTransferSyntaxUIDInFile, dicomnet.ExplicitVRLittleEndian)
	err := dicomwrite.New().Text(tag.SOPClassUID, "1.2.840.10008.1.3.10").Text(tag.SOPInstanceUID, "2.25.79").Text(tag.FileSetID, "CD").
		Items(tag.DirectoryRecordSequence, record).Write(&directory, dicomnet.ImplementationClassUID, dicomnet.ImplementationVersionName)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "DICOMDIR"), directory.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, arguments := range [][]string{{"send", folder, "--to", "PACS@127.0.0.1:" + port}, {"draft", "--study", folder}} {
		if out, err := exec.Command(program, arguments...).CombinedOutput(); err == nil || bytes.Contains(out, []byte("SECRET")) {
			t.Errorf("%v: %v\n%s", arguments, err, out)
		}
	}
	if files, err := os.ReadDir(received); err != nil || len(files) > 0 {
		t.Errorf("%d objects arrived, %v", len(files), err)
	}
}

// TestNothingLeaksPerAssociation: 1,000 associations that are refused, aborted or broken off inside an object leave the daemon with the
// files, the threads and about the memory that it had, and nothing in its spool (the class of CVE-2026-50254 and CVE-2021-41687).
func TestNothingLeaksPerAssociation(t *testing.T) {
	const many = 1000
	n := startNode(t)
	object := capture(t, "2.25.80", "ID", "Name")
	breakOff := func(i int) {
		client := dicomnet.Client{CallingAETitle: "X", CalledAETitle: "LLAMAXR"}
		association, err := client.Dial(t.Context(), "127.0.0.1:"+n.port, []dicomnet.ProposedContext{
			{AbstractSyntax: secondaryCapture, TransferSyntaxes: []string{dicomnet.ExplicitVRLittleEndian}},
		})
		if err != nil {
			t.Fatal(err)
		}
		switch i % 3 {
		case 0:
			association.Abort()
		case 1: // an object that cannot be read
			_ = association.Store(t.Context(), dicomnet.StoreRequest{SOPClassUID: secondaryCapture, SOPInstanceUID: "2.25.80"}, bytes.NewReader(object[:200]))
			_ = association.Release()
		case 2: // one that breaks off
			_ = association.Store(t.Context(), dicomnet.StoreRequest{SOPClassUID: secondaryCapture, SOPInstanceUID: "2.25.80"},
				io.MultiReader(io.LimitReader(zeros{}, 300<<10), broken{}))
		}
	}
	for i := range 60 { // what is made once
		breakOff(i)
	}
	before := n.usage()
	for i := range many {
		breakOff(i)
		if i%4 == 0 {
			nc, err := net.Dial("tcp", "127.0.0.1:"+n.port)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = nc.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
			nc.Close()
		}
	}
	var after usage
	for until := time.Now().Add(15 * time.Second); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		if after = n.usage(); after.files <= before.files {
			break
		}
	}
	said := fmt.Sprintf("files %d to %d, threads %d to %d, memory %d to %d KiB", before.files, after.files, before.threads, after.threads, before.memory, after.memory)
	t.Log(said)
	if after.files > before.files || after.threads > before.threads+8 || after.grown(before) {
		t.Error(said)
	}
	if left, err := os.ReadDir(filepath.Join(n.state, "incoming")); err != nil || len(left) > 0 {
		t.Errorf("%d files of broken objects are left, %v", len(left), err)
	}
	if states := n.studies(); len(states) > 0 {
		t.Errorf("studies: %v", states)
	}
}

type (
	zeros  struct{}
	broken struct{}
)

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
func (broken) Read([]byte) (int, error)  { return 0, errors.New("broken off") }

// usage are the open files and threads of a process, its anonymous and its whole resident memory in KiB.
type usage struct{ files, threads, memory, resident int }

// mostGrowth is how many KiB a process may grow by: the collector keeps a share of what it freed.
const mostGrowth = 24 << 10

// grown reports whether a process takes more memory than before; the race detector's is not bounded.
func (u usage) grown(before usage) bool {
	return u.memory > before.memory+mostGrowth && !peertest.Race
}

func usageOf(pid int) (u usage, err error) {
	process := fmt.Sprintf("/proc/%d/", pid)
	descriptors, err := os.ReadDir(process + "fd")
	if err != nil {
		return u, err
	}
	status, err := os.ReadFile(process + "status")
	for line := range strings.Lines(string(status)) {
		_, _ = fmt.Sscanf(line, "Threads: %d", &u.threads)
		_, _ = fmt.Sscanf(line, "RssAnon: %d", &u.memory)
		_, _ = fmt.Sscanf(line, "VmRSS: %d", &u.resident)
	}
	u.files = len(descriptors)
	return u, err
}

func (n *node) usage() usage {
	n.t.Helper()
	u, err := usageOf(n.cmd.Process.Pid)
	if err != nil {
		n.t.Fatal(err)
	}
	return u
}
