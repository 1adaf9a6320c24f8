package access

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
)

// TestArgon2idVector: the library derives what RFC 9106, section 5.3 says (without its secret and associated data, which the
// library does not take, the published vector cannot be had; this is the reference implementation's, from its test.c).
func TestArgon2idVector(t *testing.T) {
	got := argon2.IDKey([]byte("password"), []byte("somesalt"), 2, 65536, 1, 32)
	const want = "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"
	if hex.EncodeToString(got) != want {
		t.Errorf("argon2id gives %x", got)
	}
}

// TestUsers: a password is kept as argon2id only, lets its user in and nobody else, and survives in the file.
func TestUsers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.json")
	users, err := OpenUsers(path)
	if err != nil {
		t.Fatal(err)
	}
	jane := User{Name: "Jane", FullName: "Doe^Jane^^Dr", Roles: []Role{Signer}}
	if err := users.Add(jane, "correct horse battery"); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []struct {
		user     User
		password string
	}{
		{jane, "correct horse battery"},
		{User{Name: "../x", Roles: []Role{Reader}}, "correct horse battery"},
		{User{Name: "bob", Roles: []Role{Reader}}, "short"},
		{User{Name: "bob"}, "correct horse battery"},
		{User{Name: "bob", Roles: []Role{"king"}}, "correct horse battery"},
		{User{Name: "bob", Roles: []Role{Signer}}, "correct horse battery"},
	} {
		if err := users.Add(wrong.user, wrong.password); err == nil {
			t.Errorf("user %+v was added with password %q", wrong.user, wrong.password)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(text), "correct horse") || !strings.Contains(string(text), "$argon2id$v=19$m=65536,t=3,p=4$") {
		t.Errorf("%v; the file holds %s", err, text)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v", info.Mode())
	}
	if users, err = OpenUsers(path); err != nil {
		t.Fatal(err)
	}
	if user, err := users.Authenticate("JANE", "correct horse battery"); err != nil || user.DisplayName() != "Dr Jane Doe" || !user.Has(Reader, Signer) || user.Has(Admin) {
		t.Errorf("%+v %v", user, err)
	}
	for name, password := range map[string]string{"jane": "correct horse batterY", "nobody": "correct horse battery"} {
		if _, err := users.Authenticate(name, password); !errors.Is(err, ErrCredential) {
			t.Errorf("%s with %q: %v", name, password, err)
		}
	}
	if err := users.SetPassword("jane", "another long one"); err != nil {
		t.Fatal(err)
	}
	if _, err := users.Authenticate("jane", "correct horse battery"); !errors.Is(err, ErrCredential) {
		t.Errorf("the old password: %v", err)
	}
	if err := users.Remove("jane"); err != nil {
		t.Fatal(err)
	}
	if _, known := users.Get("jane"); known || len(users.List()) > 0 {
		t.Error("a removed user is there")
	}
}

// TestSessionsEnd: by themselves when idle and after a shift, and when told to.
func TestSessionsEnd(t *testing.T) {
	var s Sessions
	now := time.Date(2026, 1, 1, 8, 0, 0, 0, time.UTC)
	token, err := s.Begin("jane", now)
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := base64.RawURLEncoding.DecodeString(token); err != nil || len(raw) != 32 {
		t.Errorf("token %q", token)
	}
	for at := now; at.Sub(now) < SessionLife; at = at.Add(SessionIdle - time.Minute) {
		if session, ok := s.Of(token, at, true); !ok || session.User != "jane" {
			t.Fatalf("the session ended after %v", at.Sub(now))
		}
	}
	if _, ok := s.Of(token, now.Add(SessionLife+time.Second), true); ok {
		t.Error("a session outlives a shift")
	}
	token, _ = s.Begin("jane", now)
	if _, ok := s.Of(token, now.Add(SessionIdle+time.Second), true); ok {
		t.Error("an idle session goes on")
	}
	token, _ = s.Begin("jane", now)
	if _, ok := s.Of(token, now.Add(SessionIdle-time.Minute), false); !ok {
		t.Error("a session ended early")
	}
	if _, ok := s.Of(token, now.Add(SessionIdle+time.Minute), true); ok {
		t.Error("a page that asks by itself kept the session")
	}
	token, _ = s.Begin("jane", now)
	s.End(token)
	if _, ok := s.Of(token, now, true); ok {
		t.Error("an ended session goes on")
	}
}

// TestLockout: guesses soon wait, ever longer, and a right password forgives.
func TestLockout(t *testing.T) {
	var l Lockout
	now := time.Date(2026, 1, 1, 8, 0, 0, 0, time.UTC)
	var waits []time.Duration
	for range 8 {
		l.Failed("jane", now)
		waits = append(waits, l.Wait("jane", now))
	}
	want := []time.Duration{0, 0, 0, 0, 30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute}
	for i := range want {
		if waits[i] != want[i] {
			t.Fatalf("waits %v, want %v", waits, want)
		}
	}
	if l.Wait("bob", now) != 0 || l.Wait("jane", now.Add(5*time.Minute)) != 0 {
		t.Error("the wrong one waits, or for too long")
	}
	l.Succeeded("jane")
	if l.Wait("jane", now) != 0 {
		t.Error("a right password did not forgive")
	}
	for i := range 2 * maxTracked {
		l.Failed(string(rune(i)), now)
	}
	if len(l.keys) > maxTracked {
		t.Errorf("%d keys are tracked", len(l.keys))
	}
}

// TestRate: a burst, then the steady rate.
func TestRate(t *testing.T) {
	r := Rate{PerSecond: 2, Burst: 3}
	now := time.Date(2026, 1, 1, 8, 0, 0, 0, time.UTC)
	allowed := 0
	for range 10 {
		if r.Allow("a", now) {
			allowed++
		}
	}
	if allowed != 3 || !r.Allow("b", now) || !r.Allow("a", now.Add(time.Second)) || !r.Allow("a", now.Add(time.Second)) || r.Allow("a", now.Add(time.Second)) {
		t.Errorf("%d of 10 were allowed at once", allowed)
	}
}

// TestAuditLog: entries survive a restart, and a line that a crash cut off does not break the chain; a change in the midst is noticed.
func TestAuditLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	for _, act := range []string{"first", "second"} {
		log, err := OpenAuditLog(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, user := range []string{"jane", "bob"} {
			if err := log.Add(Entry{Time: time.Now(), User: user, Act: act, Study: "1.2.3"}); err != nil {
				t.Fatal(err)
			}
		}
		if last, err := log.LastEntries(1); err != nil || len(last) != 1 || last[0].User != "bob" || last[0].Act != act {
			t.Errorf("%v %v", last, err)
		}
		log.Close()
	}
	count := func() (n int, err error) {
		_, err = ReadAudit(path, func(Entry) { n++ })
		return n, err
	}
	if n, err := count(); n != 4 || err != nil {
		t.Errorf("%d entries, %v", n, err)
	}
	text, _ := os.ReadFile(path)
	forged := strings.Replace(string(text), `"bob"`, `"eve"`, 1)
	_ = os.WriteFile(path, []byte(forged), 0o600)
	if n, err := count(); err == nil || n != 2 {
		t.Errorf("a forged line: %d entries, %v", n, err)
	}
	_ = os.WriteFile(path, append(text, `{"time":"20`...), 0o600)
	log, err := OpenAuditLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := log.Add(Entry{Act: "after"}); err != nil {
		t.Fatal(err)
	}
	if n, err := count(); err != nil || n != 5 {
		t.Errorf("after a line that a crash cut off: %d entries, %v", n, err)
	}
}

func FuzzCheckPassword(f *testing.F) {
	f.Add("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAA")
	f.Fuzz(func(t *testing.T, hash string) {
		if strings.Contains(hash, "m=65") {
			t.Skip() // the full cost
		}
		if ok, _ := checkPassword(hash, "some password"); ok {
			t.Error("a made-up hash fits")
		}
	})
}

// TestMachines: a machine is let in by its token only, the newest; the file holds no token; and it can be neither a signer nor log in.
func TestMachines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.json")
	users, err := OpenUsers(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []User{
		{Name: "pacs", Roles: []Role{Sender, Signer}, FullName: "X^Y"}, {Name: "pacs", Roles: []Role{Admin}}, {Name: "pacs"}, {Name: "/pacs", Roles: []Role{Sender}},
	} {
		if _, err := users.AddMachine(wrong); err == nil {
			t.Errorf("machine %+v was added", wrong)
		}
	}
	if err := users.Add(User{Name: "jane", Roles: []Role{Sender}, Machine: true}, "correct horse battery"); err == nil {
		t.Error("a person is a sender")
	}
	first, err := users.AddMachine(User{Name: "PACS", Roles: []Role{Sender}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(text), first) {
		t.Errorf("%v; the file holds %s", err, text)
	}
	if users, err = OpenUsers(path); err != nil {
		t.Fatal(err)
	}
	if user, err := users.AuthenticateToken(first); err != nil || user.Name != "pacs" || !user.Has(Sender) {
		t.Errorf("%+v %v", user, err)
	}
	second, err := users.SetToken("pacs")
	if err != nil || first == second {
		t.Fatal(first, second, err)
	}
	for _, token := range []string{first, "", "x", second + "x"} {
		if _, err := users.AuthenticateToken(token); !errors.Is(err, ErrToken) {
			t.Errorf("token %q: %v", token, err)
		}
	}
	for _, password := range []string{"", second} {
		if _, err := users.Authenticate("pacs", password); !errors.Is(err, ErrCredential) {
			t.Errorf("password %q: %v", password, err)
		}
	}
	if err := users.SetPassword("pacs", "correct horse battery"); err == nil {
		t.Error("a machine has a password")
	}
	if list := users.List(); len(list) != 1 || list[0].Token != "" || !list[0].Machine {
		t.Errorf("%+v", list)
	}
}
