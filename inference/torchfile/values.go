package torchfile

// What a pickle can hold beside nil, bool, int64, float64, string and []byte.
type (
	global struct{ module, name string }
	tuple  []any
	list   struct{ items []any }
	// object is an instance that was not made: its class, and what its constructor and its state would have been.
	object struct {
		class global
		args  tuple
		state any
	}
)

func (g global) String() string { return g.module + "." + g.name }

// dict keeps the order of its entries. Keys that are no text are kept and cannot be asked for.
type dict struct {
	keys, values []any
	at           map[string]int
}

func (d *dict) set(key, value any) {
	if name, ok := key.(string); ok {
		if i, have := d.at[name]; have {
			d.values[i] = value
			return
		}
		if d.at == nil {
			d.at = map[string]int{}
		}
		d.at[name] = len(d.keys)
	}
	d.keys, d.values = append(d.keys, key), append(d.values, value)
}

func (d *dict) get(name string) any {
	if d != nil {
		if i, ok := d.at[name]; ok {
			return d.values[i]
		}
	}
	return nil
}

// entries returns the entry of that name as a dict, nil when there is none.
func (d *dict) entries(name string) *dict {
	sub, _ := d.get(name).(*dict)
	return sub
}

// items returns the members of a list or tuple.
func items(value any) ([]any, bool) {
	switch v := value.(type) {
	case *list:
		return v.items, true
	case tuple:
		return v, true
	}
	return nil, false
}
