package doctor

import (
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"llamaxr/daemon/config"
)

// shownKeys are the keys of the configuration whose text a bundle shows: network names and words of ours. Of every other text it says only
// whether it is set, so that a key that comes later is not shown by oversight.
var shownKeys = []string{
	"listen", "ae_title", "address", "addresses", "results_to", "http", "engine", "duplicates", "log_level", "log_format", "minimum_version", "mode",
	"critical_findings", "send", "events", "peers", "local_passwords", "server", "security",
}

// addressKeys hold addresses on the web: scheme and host are shown, as paths and queries hold tokens.
var addressKeys = []string{"url", "stow", "endpoint", "http_address", "issuer"}

// What stands in place of what is not shown.
const (
	isSet      = "(set)"
	hiddenPath = "(path)"
	hiddenUID  = "(uid)"
)

// redacted is a configuration as a bundle shows it.
func redacted(cfg config.Config) any { return redact(reflect.ValueOf(cfg), "") }

func redact(v reflect.Value, key string) any {
	if d, ok := v.Interface().(time.Duration); ok {
		return d.String()
	}
	switch v.Kind() {
	case reflect.Struct:
		out := map[string]any{}
		for i := range v.NumField() {
			name := v.Type().Field(i).Tag.Get("yaml")
			out[name] = redact(v.Field(i), name)
		}
		return out
	case reflect.Slice:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = redact(v.Index(i), key)
		}
		return out
	case reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint32, reflect.Uint64, reflect.Float64:
		return v.Interface()
	case reflect.String:
		return redactText(v.String(), key)
	}
	return isSet
}

func redactText(text, key string) string {
	switch {
	case text == "":
		return ""
	case slices.Contains(addressKeys, key):
		return hostOf(text)
	case slices.Contains(shownKeys, key):
		return text
	}
	return isSet
}

// hostOf is scheme and host of an address on the web.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return isSet
	}
	return fmt.Sprintf("%s://%s/", u.Scheme, u.Host)
}

var (
	webAddress = regexp.MustCompile(`https?://[^\s"'` + "`" + `<>]+`)
	// anyUID is a UID (PS3.5, 9.1) of six components or more, or one of the root 2.25 (PS3.5, B.2); an IPv4 address has four.
	anyUID = regexp.MustCompile(`\b[0-2](\.[0-9]+){5,}\b|\b2\.25\.[0-9]+\b`)
	// absolutePath is a path of Unix or Windows that follows a blank, a quote or a bracket.
	absolutePath = regexp.MustCompile(`(^|[\s"'` + "`" + `(=:,])(/[^\s"'` + "`" + `,;:)/]|[A-Za-z]:\\)[^"'` + "`" + `\s,;:)]*`)
)

// knownFolders hold the same in every installation.
var knownFolders = []string{"/etc/llamaxr/", "/usr/lib/llamaxr", "/usr/bin/llamaxr", "/proc/", "/sys/"}

// clean takes out of a check's text what a bundle may not hold: paths but those in known folders, UIDs, what follows the host in addresses.
// The folders that were given are named by their role first, as they may hold blanks.
func clean(text string, s Subject) string {
	for path, role := range map[string]string{s.Config.State: "(state)", s.ConfigFile: "(configuration)"} {
		if path != "" {
			text = strings.ReplaceAll(text, path, role)
		}
	}
	for _, path := range files(reflect.ValueOf(s.Config)) {
		text = strings.ReplaceAll(text, path, hiddenPath)
	}
	text = webAddress.ReplaceAllStringFunc(text, hostOf)
	text = absolutePath.ReplaceAllStringFunc(text, func(match string) string {
		lead, path := "", match
		if !strings.HasPrefix(path, "/") && (len(path) < 2 || path[1] != ':') {
			lead, path = match[:1], match[1:]
		}
		if slices.ContainsFunc(knownFolders, func(folder string) bool { return strings.HasPrefix(path, folder) }) {
			return match
		}
		return lead + hiddenPath
	})
	return anyUID.ReplaceAllString(text, hiddenUID)
}

// files are the absolute paths among a configuration's texts.
func files(v reflect.Value) (out []string) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			out = append(out, files(v.Field(i))...)
		}
	case reflect.Slice:
		for i := range v.Len() {
			out = append(out, files(v.Index(i))...)
		}
	case reflect.String:
		if text := v.String(); len(text) > 1 && (strings.HasPrefix(text, "/") || strings.Contains(text, `:\`)) {
			out = append(out, text)
		}
	}
	return out
}
