package config

import "reflect"

// Change is one key that two configurations disagree on.
type Change struct {
	Key  string `json:"key"`  // as it is written in the file, limits.attempts
	Live bool   `json:"live"` // takes effect at once; false needs a restart
}

// Changes lists the keys that differ from one configuration to another.
func Changes(from, to Config) []Change {
	return changes(reflect.ValueOf(from), reflect.ValueOf(to), "", nil)
}

func changes(from, to reflect.Value, path string, all []Change) []Change {
	for i := range from.NumField() {
		field := from.Type().Field(i)
		key := join(path, field.Tag.Get("yaml"))
		switch {
		case field.Type.Kind() == reflect.Struct:
			all = changes(from.Field(i), to.Field(i), key, all)
		case from.Field(i).Kind() == reflect.Slice && from.Field(i).Len()+to.Field(i).Len() == 0: // nil or empty is the same
		case !reflect.DeepEqual(from.Field(i).Interface(), to.Field(i).Interface()):
			all = append(all, Change{key, live(field)})
		}
	}
	return all
}

// live reports whether a key takes effect without a restart.
func live(field reflect.StructField) bool { return field.Tag.Get("reload") == "yes" }
