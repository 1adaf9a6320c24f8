package access

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Cost of a password, the second recommended option of RFC 9106, section 4: for machines that have other work for their memory.
const (
	hashTime    = 3
	hashMemory  = 64 << 10 // KiB
	hashThreads = 4
	saltSize    = 16
	keySize     = 32
)

// Bounds of a password. NIST SP 800-63B asks for at least 8 characters; long ones are passphrases.
const (
	minPassword = 10
	maxPassword = 256
)

// hashing bounds how many passwords are hashed at once: each takes hashMemory.
var hashing = make(chan struct{}, 2)

// hashPassword returns the password's hash in the PHC string format.
func hashPassword(password string) (string, error) {
	if n := len(password); n < minPassword || n > maxPassword {
		return "", fmt.Errorf("access: a password has %d to %d bytes", minPassword, maxPassword)
	}
	salt := make([]byte, saltSize)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("access: salt: %w", err)
	}
	key := derive(password, salt, hashTime, hashMemory, hashThreads)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemory, hashTime, hashThreads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key)), nil
}

func derive(password string, salt []byte, time, memory uint32, threads uint8) []byte {
	hashing <- struct{}{}
	defer func() { <-hashing }()
	return argon2.IDKey([]byte(password), salt, time, memory, threads, keySize)
}

var errHash = errors.New("access: a password's hash cannot be read")

// checkPassword compares in constant time.
func checkPassword(hash, password string) (bool, error) {
	var version int
	var memory, time uint32
	var threads uint8
	part := strings.Split(hash, "$")
	if len(part) != 6 || part[1] != "argon2id" || len(password) > maxPassword {
		return false, errHash
	}
	if _, err := fmt.Sscanf(part[2]+" "+part[3], "v=%d m=%d,t=%d,p=%d", &version, &memory, &time, &threads); err != nil || version != argon2.Version {
		return false, errHash
	}
	if memory > hashMemory || time > 2*hashTime || time == 0 || threads == 0 {
		return false, errHash
	}
	salt, err := base64.RawStdEncoding.DecodeString(part[4])
	if err != nil {
		return false, errHash
	}
	want, err := base64.RawStdEncoding.DecodeString(part[5])
	if err != nil {
		return false, errHash
	}
	return subtle.ConstantTimeCompare(derive(password, salt, time, memory, threads), want) == 1, nil
}
