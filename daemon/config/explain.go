package config

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
)

// Explain writes a configuration file that holds every key at its default, each under its documentation.
func Explain(w io.Writer) error {
	if _, err := fmt.Fprintln(w, "# llamaxr configuration: every key, its meaning and its default.\n"+
		"# A change of the keys marked (reload) takes effect on SIGHUP; one of the others needs a restart.\n"+
		"# Instead of a file's path, credential:NAME names a credential that systemd hands to the service (LoadCredential=)."); err != nil {
		return err
	}
	return explain(w, reflect.ValueOf(Default()), "")
}

func explain(w io.Writer, v reflect.Value, indent string) error {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		key := field.Tag.Get("yaml")
		if _, err := fmt.Fprintf(w, "\n%s# %s%s\n", indent, field.Tag.Get("explain"), reloadMark(field)); err != nil {
			return err
		}
		value := v.Field(i)
		if value.Kind() == reflect.Struct {
			fmt.Fprintf(w, "%s%s:\n", indent, key)
			if err := explain(w, value, indent+"  "); err != nil {
				return err
			}
			continue
		}
		if value.Kind() == reflect.Slice && value.Type().Elem().Kind() == reflect.Struct {
			explainItem(w, value.Type().Elem(), indent+"# - ", indent+"#   ")
		}
		if _, err := fmt.Fprintf(w, "%s%s: %s\n", indent, key, literal(value)); err != nil {
			return err
		}
	}
	return nil
}

func reloadMark(field reflect.StructField) string {
	if live(field) {
		return " (reload)"
	}
	return ""
}

// explainItem writes the keys of a list's items as comments: the default list is empty.
func explainItem(w io.Writer, item reflect.Type, lead, indent string) {
	for i := range item.NumField() {
		field := item.Field(i)
		fmt.Fprintf(w, "%s%s: %s\n", lead, field.Tag.Get("yaml"), field.Tag.Get("explain"))
		lead = indent
		if field.Type.Kind() == reflect.Struct {
			explainItem(w, field.Type, indent+"  ", indent+"  ")
		}
	}
}

func literal(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case time.Duration:
		return value.String()
	case string:
		return fmt.Sprintf("%q", value)
	}
	if v.Kind() == reflect.Slice {
		quoted := make([]string, v.Len())
		for i := range quoted {
			quoted[i] = fmt.Sprintf("%q", fmt.Sprint(v.Index(i)))
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	return strings.TrimSpace(fmt.Sprint(v.Interface()))
}
