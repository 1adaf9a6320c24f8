package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"llamaxr/dicomnet"
)

// credentialPrefix begins the value of a file key that names a credential of the service manager instead of a path.
const credentialPrefix = "credential:"

// credentialsVariable is where systemd puts the folder of a unit's credentials (systemd.exec, LoadCredential=).
const credentialsVariable = "CREDENTIALS_DIRECTORY"

// texts visits every text value below v, with its key.
func texts(v reflect.Value, key string, visit func(key string, text reflect.Value)) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			texts(v.Field(i), join(key, v.Type().Field(i).Tag.Get("yaml")), visit)
		}
	case reflect.Slice:
		for i := range v.Len() {
			texts(v.Index(i), fmt.Sprintf("%s[%d]", key, i), visit)
		}
	case reflect.String:
		visit(key, v)
	}
}

// resolveCredentials replaces credential:NAME in every text by the file that systemd made of it. Outside the service they stay.
func resolveCredentials(cfg *Config) error {
	var faults []error
	folder := os.Getenv(credentialsVariable)
	texts(reflect.ValueOf(cfg).Elem(), "", func(key string, text reflect.Value) {
		name, ok := strings.CutPrefix(text.String(), credentialPrefix)
		switch {
		case !ok:
		case name == "" || name != filepath.Base(name) || name == "..":
			faults = append(faults, fmt.Errorf("configuration: %s: %q is no name of a credential", key, name))
		case folder != "":
			text.SetString(filepath.Join(folder, name))
		}
	})
	return errors.Join(faults...)
}

// Unresolved says of each credential that a file names that it is there only in the service.
func (c Config) Unresolved() error {
	var all []error
	texts(reflect.ValueOf(c), "", func(key string, text reflect.Value) {
		if name, ok := strings.CutPrefix(text.String(), credentialPrefix); ok {
			all = append(all, fmt.Errorf("configuration: %s: credential %s is there only in the service: %s is not set", key, name, credentialsVariable))
		}
	})
	return errors.Join(all...)
}

// secretKeys are the keys of files that hold a private key, a password, a token or a secret.
var secretKeys = []string{"key", "http_key", "token_file", "password_file", "secret_file"}

// Secrets are the files that nobody but the service may read.
func (c Config) Secrets() (files []string) {
	texts(reflect.ValueOf(c), "", func(key string, text reflect.Value) {
		last := key[strings.LastIndexByte(key, '.')+1:]
		if text.Len() > 0 && slices.Contains(secretKeys, last) && !slices.Contains(files, text.String()) {
			files = append(files, text.String())
		}
	})
	return files
}

// elsewhere reports whether a file is a credential that only the service has.
func elsewhere(path string) bool { return strings.HasPrefix(path, credentialPrefix) }

// checkCredentials reads certificates and keys, but for those that only the service has.
func checkCredentials(c *dicomnet.Credentials) error {
	if slices.ContainsFunc([]string{c.CertificateFile, c.KeyFile, c.AuthoritiesFile}, elsewhere) {
		return nil
	}
	return c.Check()
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
