package access

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"llamaxr/internal/durable"

	"github.com/google/renameio/v2"
)

// Role is what a user may do.
type Role string

// Roles. A user may have several.
const (
	Reader  Role = "reader"  // sees studies, edits drafts
	Signer  Role = "signer"  // also signs and rejects: a physician
	Trainer Role = "trainer" // starts fine-tuning, promotes and rolls back adapters
	Admin   Role = "admin"   // queues, destinations, audit log
	Sender  Role = "sender"  // stores objects by DICOMweb: machines only
)

var roles = []Role{Reader, Signer, Trainer, Admin, Sender}

// ParseRole reads a role's name.
func ParseRole(name string) (Role, error) {
	if r := Role(strings.ToLower(strings.TrimSpace(name))); slices.Contains(roles, r) {
		return r, nil
	}
	return "", fmt.Errorf("access: %q is not a role: reader, signer, trainer, admin or sender", name)
}

// User is a person who may log in, or a machine that may use DICOMweb.
type User struct {
	Name     string    `json:"name"`
	FullName string    `json:"full_name"` // as a DICOM person name, for example Doe^Jane^^Dr: it stands on signed reports
	Roles    []Role    `json:"roles"`
	Password string    `json:"password,omitempty"` // argon2id, PHC string format
	Machine  bool      `json:"machine,omitempty"`
	Token    string    `json:"token,omitempty"` // a machine's: SHA-256 in hexadecimal
	Changed  time.Time `json:"changed"`         // the password or token; sessions from before end
}

// Has reports whether the user has one of the roles.
func (u User) Has(any ...Role) bool {
	return slices.ContainsFunc(any, func(r Role) bool { return slices.Contains(u.Roles, r) })
}

// DisplayName is the full name as people say it.
func (u User) DisplayName() string {
	part := append(strings.Split(u.FullName, "^"), make([]string, 5)...)
	if name := strings.Join(strings.Fields(strings.Join([]string{part[3], part[1], part[2], part[0], part[4]}, " ")), " "); name != "" {
		return name
	}
	return u.Name
}

// Bounds of the file of users.
const (
	maxUsersFile = 4 << 20
	maxUsers     = 10_000
	maxFullName  = 64 // of a person name group
)

var userName = regexp.MustCompile(`^[a-z0-9][a-z0-9._@-]{0,63}$`)

// Errors of users.
var (
	ErrNoUser     = errors.New("access: no such user")
	ErrCredential = errors.New("access: user name or password is wrong")
)

// Users are the people of a site, in one file.
type Users struct {
	path string
	mu   sync.RWMutex
	list []User
	// nobody is compared against when a user does not exist: a wrong name takes as long as a wrong password.
	nobody string
}

// OpenUsers reads the file; a missing one is an empty list.
func OpenUsers(path string) (*Users, error) {
	u := &Users{path: path}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return u, nil
	case err != nil:
		return nil, fmt.Errorf("access: users: %w", err)
	case info.Size() > maxUsersFile:
		return nil, fmt.Errorf("access: users: %d bytes, more than %d", info.Size(), maxUsersFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("access: users: %w", err)
	}
	if err := json.Unmarshal(data, &u.list); err != nil {
		return nil, fmt.Errorf("access: users: %w", err)
	}
	return u, nil
}

// change applies a change to a copy of the list, makes it durable and puts it in force.
func (u *Users) change(apply func([]User) ([]User, error)) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	next, err := apply(slices.Clone(u.list))
	if err != nil {
		return err
	}
	slices.SortFunc(next, func(a, b User) int { return cmp.Compare(a.Name, b.Name) })
	data, err := json.MarshalIndent(next, "", " ")
	if err != nil {
		return fmt.Errorf("access: users: %w", err)
	}
	if err := renameio.WriteFile(u.path, data, 0o600); err != nil {
		return fmt.Errorf("access: users: %w", err)
	}
	if err := durable.Names(filepath.Dir(u.path)); err != nil {
		return fmt.Errorf("access: users: %w", err)
	}
	u.list = next
	return nil
}

func find(list []User, name string) int {
	return slices.IndexFunc(list, func(u User) bool { return u.Name == name })
}

// check reports what is wrong with a new user.
func (user User) check() error {
	switch {
	case !userName.MatchString(strings.ToLower(user.Name)):
		return fmt.Errorf("access: user name %q: letters, digits and . _ @ -, at most 64", user.Name)
	case len(user.Roles) == 0:
		return errors.New("access: a user needs a role")
	case len(user.FullName) > maxFullName || strings.ContainsAny(user.FullName, "\\=\r\n\t"):
		return errors.New(`access: a full name is a DICOM person name of at most 64 bytes, for example Doe^Jane^^Dr`)
	case user.Has(Signer) && strings.Trim(user.FullName, "^ ") == "":
		return errors.New("access: a signer needs a full name: it stands on signed reports")
	case user.Machine && user.Has(Signer, Trainer, Admin):
		return errors.New("access: a machine is a sender or a reader or both")
	case !user.Machine && user.Has(Sender):
		return errors.New("access: only a machine is a sender")
	}
	for _, r := range user.Roles {
		if _, err := ParseRole(string(r)); err != nil {
			return err
		}
	}
	return nil
}

// SignedOn is a person that an OpenID provider vouches for. He is in no file: the provider says each time who he is and what he may.
func SignedOn(name, fullName string, roles []Role) (User, error) {
	if strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII }) {
		return User{}, fmt.Errorf("access: user name %q is not ASCII", name) // some letters become others in lower case, and one user another
	}
	user := User{Name: strings.ToLower(name), FullName: fullName, Roles: roles}
	return user, user.check()
}

// Add makes a user with a password.
func (u *Users) Add(user User, password string) error {
	user.Machine = false
	if err := user.check(); err != nil {
		return err
	}
	hash, err := hashPassword(password)
	if err != nil {
		return err
	}
	return u.add(user, func(user *User) { user.Password = hash })
}

// add puts a user in the list with what he shows of himself.
func (u *Users) add(user User, credential func(*User)) error {
	user.Name, user.Password, user.Token = strings.ToLower(user.Name), "", ""
	credential(&user)
	return u.change(func(list []User) ([]User, error) {
		if find(list, user.Name) >= 0 {
			return nil, fmt.Errorf("access: user %s exists", user.Name)
		}
		if len(list) >= maxUsers {
			return nil, fmt.Errorf("access: more than %d users", maxUsers)
		}
		user.Changed = time.Now().UTC()
		return append(list, user), nil
	})
}

// SetPassword gives a user another password; his sessions end.
func (u *Users) SetPassword(name, password string) error {
	hash, err := hashPassword(password)
	if err != nil {
		return err
	}
	return u.change(func(list []User) ([]User, error) {
		i := find(list, strings.ToLower(name))
		switch {
		case i < 0:
			return nil, ErrNoUser
		case list[i].Machine:
			return nil, fmt.Errorf("access: %s is a machine, which shows a token", list[i].Name)
		}
		list[i].Password, list[i].Changed = hash, time.Now().UTC()
		return list, nil
	})
}

// Remove takes a user out; his sessions end.
func (u *Users) Remove(name string) error {
	return u.change(func(list []User) ([]User, error) {
		i := find(list, strings.ToLower(name))
		if i < 0 {
			return nil, ErrNoUser
		}
		return slices.Delete(list, i, i+1), nil
	})
}

// Get returns a user as he is now.
func (u *Users) Get(name string) (User, bool) {
	u.mu.RLock()
	defer u.mu.RUnlock()
	if i := find(u.list, name); i >= 0 {
		return u.list[i], true
	}
	return User{}, false
}

// List returns all users, without their passwords and tokens.
func (u *Users) List() []User {
	u.mu.RLock()
	defer u.mu.RUnlock()
	out := slices.Clone(u.list)
	for i := range out {
		out[i].Password, out[i].Token = "", ""
	}
	return out
}

// Authenticate checks a password. A name that nobody has costs as much as a wrong password.
func (u *Users) Authenticate(name, password string) (User, error) {
	user, known := u.Get(strings.ToLower(name))
	hash := user.Password
	known = known && !user.Machine
	if !known {
		var err error
		if hash, err = u.decoy(); err != nil {
			return User{}, err
		}
	}
	ok, err := checkPassword(hash, password)
	if err != nil && known {
		return User{}, err
	}
	if !ok || !known {
		return User{}, ErrCredential
	}
	return user, nil
}

func (u *Users) decoy() (string, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.nobody == "" {
		hash, err := hashPassword("a password that nobody has")
		if err != nil {
			return "", err
		}
		u.nobody = hash
	}
	return u.nobody, nil
}
