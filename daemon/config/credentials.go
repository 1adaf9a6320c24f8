package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

// credentialPrefix begins the value of a file key that names a credential of the service manager instead of a path.
const credentialPrefix = "credential:"

// credentialsVariable is where systemd puts the folder of a unit's credentials (systemd.exec, LoadCredential=).
const credentialsVariable = "CREDENTIALS_DIRECTORY"

// resolveCredentials replaces credential:NAME in every text value below v by the file that systemd made of it.
func resolveCredentials(v reflect.Value, path string) error {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if err := resolveCredentials(v.Field(i), join(path, v.Type().Field(i).Tag.Get("yaml"))); err != nil {
				return err
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			if err := resolveCredentials(v.Index(i), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	case reflect.String:
		name, ok := strings.CutPrefix(v.String(), credentialPrefix)
		if !ok {
			return nil
		}
		folder := os.Getenv(credentialsVariable)
		switch {
		case name == "" || name != filepath.Base(name) || name == "..":
			return fmt.Errorf("configuration: %s: %q is no name of a credential", path, name)
		case folder == "":
			return fmt.Errorf("configuration: %s: credential %s is there only in the service: %s is not set", path, name, credentialsVariable)
		}
		v.SetString(filepath.Join(folder, name))
	}
	return nil
}

// maxSecret bounds a file with a token or a secret.
const maxSecret = 16 << 10

// ReadSecret reads a token, a password or a secret: the only line of a file. An empty path gives an empty one.
func ReadSecret(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("secret: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxSecret))
	if err != nil {
		return "", fmt.Errorf("secret: %w", err)
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" || strings.ContainsAny(secret, "\r\n") {
		return "", fmt.Errorf("secret: %s must hold one line", path)
	}
	return secret, nil
}
