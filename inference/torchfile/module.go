package torchfile

import (
	"errors"
	"fmt"
)

// Limits of a module's tree.
const (
	maxDepth   = 32
	maxParts   = 1 << 16 // modules and what they hold, each as often as it is come by
	maxTensors = 1 << 16
	maxKey     = 256 // bytes of the name of one module or tensor
)

// take finds the tensors in what the pickle held: a module, a state dict, or a checkpoint that has one under "state_dict" or "model".
func (f *File) take(root any) error {
	if checkpoint, ok := root.(*dict); ok {
		for _, name := range []string{"state_dict", "model"} {
			switch inner := checkpoint.get(name).(type) {
			case *object, *dict:
				root = inner
			}
		}
	}
	f.tensors = map[string]*tensor{}
	switch v := root.(type) {
	case *object:
		if known[v.class] != class {
			return fmt.Errorf("holds a %s, which is neither a module nor a state dict", v.class)
		}
		f.Class = v.class.String()
		f.state, _ = v.state.(*dict)
		parts := 0
		return f.walk("", v, 0, &parts)
	case *dict:
		for i, key := range v.keys {
			if t, ok := v.values[i].(*tensor); ok {
				name, ok := key.(string)
				if !ok || len(name) > maxKey || len(f.tensors) == maxTensors {
					return fmt.Errorf("the state dict has more than %d tensors, or one without a name of at most %d bytes", maxTensors, maxKey)
				}
				f.tensors[name] = t
			}
		}
		if len(f.tensors) > 0 {
			return nil
		}
	}
	return errors.New("holds neither a module nor a state dict with tensors")
}

// walk collects a module's parameters, buffers and modules under the names that torch.nn.Module.state_dict gives them.
func (f *File) walk(prefix string, m *object, depth int, parts *int) error {
	count := func(n int) error {
		if *parts += 1 + n; *parts > maxParts || depth > maxDepth {
			return fmt.Errorf("more than %d modules and tensors, or more than %d modules within each other, at %.200q", maxParts, maxDepth, prefix)
		}
		return nil
	}
	if err := count(0); err != nil {
		return err
	}
	state, ok := m.state.(*dict)
	if !ok {
		return fmt.Errorf("module %.200q of class %s has no state", prefix, m.class)
	}
	temporary := map[any]bool{}
	if names, ok := items(state.get("_non_persistent_buffers_set")); ok {
		if err := count(len(names)); err != nil {
			return err
		}
		for _, n := range names {
			if text, ok := n.(string); ok {
				temporary[text] = true
			}
		}
	}
	for _, part := range []string{"_parameters", "_buffers"} {
		d := state.entries(part)
		if d == nil {
			return fmt.Errorf("module %.200q of class %s has no %s", prefix, m.class, part)
		}
		if err := count(len(d.keys)); err != nil {
			return err
		}
		for i, key := range d.keys {
			name, isText := key.(string)
			t, isTensor := d.values[i].(*tensor)
			if !isText || len(name) > maxKey || !isTensor && d.values[i] != nil {
				return fmt.Errorf("module %.200q: %s has a %T under %T %.200q", prefix, part, d.values[i], key, name)
			}
			if isTensor && !temporary[name] {
				if f.tensors[prefix+name] = t; len(f.tensors) > maxTensors {
					return fmt.Errorf("more than %d tensors", maxTensors)
				}
			}
		}
	}
	children := state.entries("_modules")
	if children == nil {
		return fmt.Errorf("module %.200q of class %s has no _modules", prefix, m.class)
	}
	if err := count(len(children.keys)); err != nil {
		return err
	}
	for i, key := range children.keys {
		name, isText := key.(string)
		child, isModule := children.values[i].(*object)
		if !isText || !isModule || len(name) > maxKey {
			if children.values[i] == nil {
				continue // a layer that was taken away
			}
			return fmt.Errorf("module %.200q has a %T under %T %.200q", prefix, children.values[i], key, name)
		}
		if err := f.walk(prefix+name+".", child, depth+1, parts); err != nil {
			return err
		}
	}
	return nil
}
