package config

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxMistakes is how many single mistakes a key may be away from the one that is suggested: more is another word.
const maxMistakes = 4

// unknownKeys reports every key of a file that the configuration does not have, each with its line and the key that is meant, if one is near; and
// every time that is none, of which the decoder would not say where it stands. Text that is no YAML is left to the decoder.
func unknownKeys(data []byte) error {
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil
	}
	var faults []error
	for _, document := range file.Docs {
		faults = append(faults, unknownIn(document.Body, reflect.TypeFor[Config](), "")...)
	}
	return errors.Join(faults...)
}

// unknownIn walks a node that is to become a value of type t; path is the key it stands under, "" for the whole.
func unknownIn(node ast.Node, t reflect.Type, path string) (faults []error) {
	switch node := node.(type) {
	case *ast.AnchorNode:
		return unknownIn(node.Value, t, path)
	case *ast.TagNode: // the decoder does not take one everywhere, and none is needed
		return []error{fmt.Errorf("configuration: line %d: %s: the tag %s is not taken; quote the value if it is a text", node.GetToken().Position.Line, path, node.GetToken().Value)}
	case *ast.StringNode:
		if t == reflect.TypeFor[time.Duration]() {
			if _, err := time.ParseDuration(node.Value); err != nil {
				return []error{fmt.Errorf("configuration: line %d: %s: %q is not a time such as 30s, 5m or 1h30m", node.GetToken().Position.Line, path, node.Value)}
			}
		}
	case *ast.SequenceNode:
		if t.Kind() == reflect.Slice {
			for i, item := range node.Values {
				faults = append(faults, unknownIn(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i))...)
			}
		}
	case *ast.MappingNode:
		for _, value := range node.Values {
			faults = append(faults, unknownIn(value, t, path)...)
		}
	case *ast.MappingValueNode:
		key, ok := node.Key.(*ast.StringNode)
		if t.Kind() != reflect.Struct || !ok {
			return nil // a wrong type or a merge key: the decoder's to judge
		}
		for i := range t.NumField() {
			if t.Field(i).Tag.Get("yaml") == key.Value {
				return unknownIn(node.Value, t.Field(i).Type, join(path, key.Value))
			}
		}
		return []error{unknownKey(key, t, path)}
	}
	return faults
}

func unknownKey(key *ast.StringNode, t reflect.Type, path string) error {
	hint := "`llamaxr config explain` lists the keys"
	best := min(maxMistakes, len(key.Value)/2) + 1
	for i := range t.NumField() {
		known := t.Field(i).Tag.Get("yaml")
		if d := mistakes(key.Value, known); d < best {
			best, hint = d, fmt.Sprintf("%s is meant?", known)
		}
	}
	return fmt.Errorf("configuration: line %d: unknown key %s; %s", key.GetToken().Position.Line, join(path, key.Value), hint)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// mistakes is the optimal string alignment distance: how many bytes must be added, left out, changed or exchanged with the next one to make b of a.
func mistakes(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, above, row := rows[0], rows[1], rows[2]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := above[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, above[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		rows = [3][]int{above, row, before}
	}
	return rows[1][len(b)]
}
