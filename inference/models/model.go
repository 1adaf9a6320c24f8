package models

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"llamaxr/study"
)

// Kind is what a model is.
type Kind string

// Kinds of models.
const (
	KindLlama      Kind = "llama"
	KindAdapter    Kind = "adapter"
	KindClassifier Kind = "classifier"
)

// Role is what a model does in the appliance; one model at a time has each.
type Role string

// Roles, as they stand in drafts.
const (
	RoleLanguageModel Role = "language model"
	RoleAdapter       Role = "adapter"
	RoleClassifier    Role = "classifier"
)

// Roles lists all roles.
var Roles = []Role{RoleClassifier, RoleLanguageModel, RoleAdapter}

// Role is what a kind of model can do.
func (k Kind) Role() Role {
	switch k {
	case KindAdapter:
		return RoleAdapter
	case KindClassifier:
		return RoleClassifier
	}
	return RoleLanguageModel
}

// Model is a model's manifest.
type Model struct {
	Name    string  `json:"name"`
	Kind    Kind    `json:"kind"`
	Source  Origin  `json:"source"`
	Licence Licence `json:"licence"`
	// Precision is how the weights are kept: "nf4" or "full".
	Precision string `json:"precision,omitempty"`
	// Architecture describes a language model for people and names a classifier's network.
	Architecture string `json:"architecture,omitempty"`
	// Tokenizer is the file that holds it.
	Tokenizer string `json:"tokenizer,omitempty"`
	// Template is the prompt template that is filled for it.
	Template string `json:"template,omitempty"`
	// InputSize is the side of a classifier's input in pixels.
	InputSize int `json:"input_size,omitempty"`
	// Labels are a classifier's outputs in its own order; Thresholds are their operating points, null where there is none.
	Labels     []string   `json:"labels,omitempty"`
	Thresholds []*float64 `json:"thresholds,omitempty"`
	// Base is the language model that an adapter was made for.
	Base     *Base           `json:"base,omitempty"`
	Imported time.Time       `json:"imported"`
	Files    map[string]File `json:"files"`

	manifest string // SHA-256 of the manifest itself
}

// Origin says where a model came from.
type Origin struct {
	From     string   `json:"from"`
	Revision string   `json:"revision,omitempty"`
	Files    []string `json:"files,omitempty"`
}

// Licence is the licence that somebody accepted by name.
type Licence struct {
	Name     string    `json:"name,omitempty"`
	Text     string    `json:"text,omitempty"` // empty where the model came without one
	Accepted time.Time `json:"accepted,omitzero"`
}

// Base names a language model by its content.
type Base struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// File is a file's length and digest.
type File struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

func (m *Model) names() []string { return slices.Sorted(maps.Keys(m.Files)) }

// Size is the length of all files.
func (m *Model) Size() int64 {
	size := int64(0)
	for _, f := range m.Files {
		size += f.Size
	}
	return size
}

// Digest is one SHA-256 over the files: the same weights imported twice have the same.
func (m *Model) Digest() string {
	sum := sha256.New()
	for _, name := range m.names() {
		fmt.Fprintf(sum, "%s %s\n", m.Files[name].SHA256, name)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Card describes the model in a draft.
func (m *Model) Card() study.ModelCard {
	version := m.Source.Revision
	if version == "" {
		version = m.Imported.UTC().Format("2006-01-02")
	}
	return study.ModelCard{Role: string(m.Kind.Role()), Name: m.Name, Version: version, Digest: m.Digest()}
}

// Progress is how far a long act has come.
type Progress struct {
	What        string // the file
	Done, Total int64  // bytes
}

// meter adds up bytes and reports them.
type meter struct {
	report      func(Progress)
	done, total int64
}

func newMeter(report func(Progress), total int64) *meter {
	if report == nil {
		report = func(Progress) {}
	}
	return &meter{report: report, total: total}
}

// of returns what is called with each number of bytes of one file.
func (m *meter) of(what string) func(int) {
	return func(n int) {
		m.done += int64(n)
		m.report(Progress{what, m.done, m.total})
	}
}
