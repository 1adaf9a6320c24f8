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
func (f *File) Float(key string) (float64, error) { return stored[float64](f, key, "a number") }

// Text returns a string.
func (f *File) Text(key string) (string, error) { return stored[string](f, key, "a string") }

// Bool returns a truth value.
func (f *File) Bool(key string) (bool, error) { return stored[bool](f, key, "true or false") }

// Texts returns an array of strings.
func (f *File) Texts(key string) ([]string, error) {
	return stored[[]string](f, key, "an array of strings")
}

// Floats returns an array of numbers.
func (f *File) Floats(key string) ([]float64, error) {
	return stored[[]float64](f, key, "an array of numbers")
}

// Ints returns an array of signed whole numbers.
func (f *File) Ints(key string) ([]int64, error) {
	return stored[[]int64](f, key, "an array of whole numbers")
}

// stored returns a value that is kept as a T, which is want in words.
func stored[T any](f *File, key, want string) (v T, err error) {
	v, ok := f.Metadata[key].(T)
	if !ok {
		err = f.wrong(key, want)
	}
	return v, err
}

func (f *File) wrong(key, want string) error {
	v, ok := f.Metadata[key]
	if !ok {
		return fmt.Errorf("gguf: metadata %q is missing", key)
	}
	return fmt.Errorf("gguf: metadata %q is a %T, want %s", key, v, want)
}
