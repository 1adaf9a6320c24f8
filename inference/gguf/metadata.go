package gguf

import (
	"fmt"
	"math"
)

// Has reports whether a key is there.
func (f *File) Has(key string) bool {
	_, ok := f.Metadata[key]
	return ok
}

// Int returns a whole number, stored in whatever width.
func (f *File) Int(key string) (int, error) {
	switch v := f.Metadata[key].(type) {
	case uint64:
		if v <= math.MaxInt32 {
			return int(v), nil
		}
	case int64:
		if v >= math.MinInt32 && v <= math.MaxInt32 {
			return int(v), nil
		}
	}
	return 0, f.wrong(key, "a whole number of 32 bits")
}

// Float returns a number.
func (f *File) Float(key string) (float64, error) {
	if v, ok := f.Metadata[key].(float64); ok {
		return v, nil
	}
	return 0, f.wrong(key, "a number")
}

// Text returns a string.
func (f *File) Text(key string) (string, error) {
	if v, ok := f.Metadata[key].(string); ok {
		return v, nil
	}
	return "", f.wrong(key, "a string")
}

// Bool returns a truth value.
func (f *File) Bool(key string) (bool, error) {
	if v, ok := f.Metadata[key].(bool); ok {
		return v, nil
	}
	return false, f.wrong(key, "true or false")
}

// Texts returns an array of strings.
func (f *File) Texts(key string) ([]string, error) {
	if v, ok := f.Metadata[key].([]string); ok {
		return v, nil
	}
	return nil, f.wrong(key, "an array of strings")
}

// Floats returns an array of numbers.
func (f *File) Floats(key string) ([]float64, error) {
	if v, ok := f.Metadata[key].([]float64); ok {
		return v, nil
	}
	return nil, f.wrong(key, "an array of numbers")
}

// Ints returns an array of signed whole numbers.
func (f *File) Ints(key string) ([]int64, error) {
	if v, ok := f.Metadata[key].([]int64); ok {
		return v, nil
	}
	return nil, f.wrong(key, "an array of whole numbers")
}

func (f *File) wrong(key, want string) error {
	v, ok := f.Metadata[key]
	if !ok {
		return fmt.Errorf("gguf: metadata %q is missing", key)
	}
	return fmt.Errorf("gguf: metadata %q is a %T, want %s", key, v, want)
}
