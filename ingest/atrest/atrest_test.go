package atrest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llamaxr/internal/peertest"
)

// sizes lie around the chunks of 64 KiB.
var sizes = []int{0, 1, 100, 64<<10 - 1, 64 << 10, 64<<10 + 1, 300_000}

func content(size int) []byte {
	rng := rand.New(rand.NewPCG(uint64(size), 1))
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	return data
}

func newKey(t testing.TB) (key *Key, file string) {
	t.Helper()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(key.Text()), 0o600); err != nil {
		t.Fatal(err)
	}
	return key, file
}

// TestAgeReadsOurFiles: the age program opens what we wrote with the key's file, and we what it wrote for the key's public half.
func TestAgeReadsOurFiles(t *testing.T) {
	age := peertest.Program(t, "age")
	key, keyFile := newKey(t)
	read, err := ReadKey(keyFile)
	if err != nil || read.Public() != key.Public() {
		t.Fatalf("the key read back: %v", err)
	}
	for _, size := range sizes {
		want, path := content(size), filepath.Join(t.TempDir(), "file")
		data, err := key.Bytes(want)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := exec.Command(age, "-d", "-i", keyFile, path).Output()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes of ours, by age: %d bytes, %v", size, len(got), err)
		}
		command := exec.Command(age, "-r", key.Public(), "-o", path+".theirs")
		command.Stdin = bytes.NewReader(want)
		if err := command.Run(); err != nil {
			t.Fatal(err)
		}
		if got, err := read.ReadFile(path+".theirs", 1<<20); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes of age's, by us: %d bytes, %v", size, len(got), err)
		}
	}
}

// TestAnyPlace: Open reads at any place, encrypted or plain, as a file does, to the last byte, and tells which it is.
func TestAnyPlace(t *testing.T) {
	key, _ := newKey(t)
	want := content(300_000)
	for _, by := range []*Key{key, nil} {
		path := filepath.Join(t.TempDir(), "file")
		data, err := by.Bytes(want)
		if err != nil {
			t.Fatal(err)
		}
		if by != nil && bytes.Contains(data, want[1000:1032]) {
			t.Fatal("what was to be encrypted lies there plain")
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := key.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if file.Size() != int64(len(want)) || file.Encrypted() != (by != nil) {
			t.Errorf("%d bytes, encrypted: %v", file.Size(), file.Encrypted())
		}
		rng := rand.New(rand.NewPCG(3, 3))
		for range 200 {
			at := rng.IntN(len(want))
			got := make([]byte, rng.IntN(100_000))
			n, err := file.ReadAt(got, int64(at))
			if err != nil && err != io.EOF || !bytes.Equal(got[:n], want[at:at+n]) || n < len(got) && at+n != len(want) {
				t.Fatalf("%d bytes at %d: %d, %v", len(got), at, n, err)
			}
			if _, err := file.ReadAt(got[:n], int64(at)); err != nil {
				t.Fatalf("%d bytes at %d, encrypted: %v: %v", n, at, by != nil, err)
			}
		}
	}
}

// TestDamage: a flipped bit or a cut anywhere is ErrDamaged, or, where the first bytes are hit, other bytes than an encrypted file has: what was written
// is never given back altered.
func TestDamage(t *testing.T) {
	key, _ := newKey(t)
	want := content(70_000)
	whole, err := key.Bytes(want)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 5))
	path := filepath.Join(t.TempDir(), "file")
	for i := range 300 {
		data := bytes.Clone(whole)
		at := rng.IntN(len(data))
		if i < 200 { // the head of an age file is some 200 bytes
			at = i
		}
		if i%3 == 0 {
			data = data[:at]
		} else {
			data[at] ^= 1 << rng.IntN(8)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := key.ReadFile(path, 1<<20)
		switch {
		case err == nil && at < len(intro) && bytes.Equal(got, data): // taken for a plain file; the digest of it does not fit
		case !errors.Is(err, ErrDamaged):
			t.Errorf("changed at %d of %d: %v, %d bytes", at, len(whole), err, len(got))
		}
	}
}

// TestKeysAreToldApart: without the key, and with another, a state and its files are refused, and that is no damage.
func TestKeysAreToldApart(t *testing.T) {
	key, _ := newKey(t)
	other, _ := newKey(t)
	state := t.TempDir()
	for _, k := range []*Key{nil, key, other} {
		if err := k.Check(state); err != nil {
			t.Errorf("a plain state: %v", err)
		}
	}
	if err := key.Claim(state); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		key  *Key
		want error
	}{{key, nil}, {nil, ErrNoKey}, {other, ErrWrongKey}} {
		if err := test.key.Claim(state); !errors.Is(err, test.want) {
			t.Errorf("%s at a state of %s: %v", test.key.Public(), key.Public(), err)
		}
	}
	data, err := key.Bytes([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(state, "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (*Key)(nil).Open(path); !errors.Is(err, ErrNoKey) || errors.Is(err, ErrDamaged) {
		t.Errorf("without a key: %v", err)
	}
	if _, err := other.Open(path); err == nil {
		t.Error("another key opens it")
	}
	if err := os.WriteFile(filepath.Join(state, claimFile), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := key.Check(state); err == nil {
		t.Error("a claim that says nothing is taken")
	}
}

// TestKeyFiles: what is no key is refused without being quoted.
func TestKeyFiles(t *testing.T) {
	key, _ := newKey(t)
	_, secret, _ := strings.Cut(strings.TrimSpace(key.Text()), "\n")
	for name, text := range map[string]string{
		"empty": "", "comment": "# nothing\n", "public": key.Public(), "two": secret + "\n" + secret, "cut": secret[:len(secret)-1], "long": strings.Repeat("#\n", maxKeyFile),
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKey(path); err == nil || strings.Contains(err.Error(), secret[20:40]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if key, err := ReadKey(""); key != nil || err != nil {
		t.Errorf("no file: %v", err)
	}
	if _, err := ReadKey(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

// TestRewrite: a file made anew says the same, keeps its time, and leaves nothing in the scratch folder.
func TestRewrite(t *testing.T) {
	key, _ := newKey(t)
	folder, scratch := t.TempDir(), t.TempDir()
	path, want := filepath.Join(folder, "file"), content(100_000)
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	changed := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := os.Chtimes(path, changed, changed); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		into      *Key
		encrypted bool
	}{{key, true}, {nil, false}} {
		if err := Rewrite(path, scratch, key, step.into); err != nil {
			t.Fatal(err)
		}
		is, err := IsEncrypted(path)
		got, readErr := key.ReadFile(path, 1<<20)
		info, statErr := os.Stat(path)
		if err := errors.Join(err, readErr, statErr); err != nil {
			t.Fatal(err)
		}
		if is != step.encrypted || !bytes.Equal(got, want) || !info.ModTime().Equal(changed) || info.Mode().Perm() != 0o600 {
			t.Errorf("encrypted: %v, %d bytes, %s, %s", is, len(got), info.ModTime(), info.Mode())
		}
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("left in the scratch folder: %v, %v", left, err)
	}
}

// FuzzReader: bytes of anybody's are read, or refused as damaged, in memory that does not grow with what they claim.
func FuzzReader(f *testing.F) {
	key, _ := newKey(f)
	for _, size := range sizes[:4] {
		data, err := key.Bytes(content(size))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(intro))
	f.Fuzz(func(t *testing.T, data []byte) {
		plain, encrypted, err := key.Reader(bytes.NewReader(data), int64(len(data)))
		if err == nil {
			_, err = io.Copy(io.Discard, plain)
		}
		if err != nil && (!encrypted || !errors.Is(err, ErrDamaged)) {
			t.Errorf("encrypted: %v, %v", encrypted, err)
		}
	})
}
