package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"llamaxr/study"
)

// fillRandomly gives every field of a record a value, of those that a reader of texts could stumble over.
func fillRandomly(random *rand.Rand, v reflect.Value) {
	words := []string{"", "Doe^Jane", `a "quoted" \ word`, `ends with \`, `\\"`, "{[,:]}", "<&>", "Müller\u2028", "\x00\n\t", "山田^太郎"}
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(random.Int64N(1<<32), random.Int64N(1e9)).UTC()))
		return
	case study.Finding:
		v.SetInt(random.Int64N(study.NumFindings))
		return
	case study.Projection:
		v.Set(reflect.ValueOf([]study.Projection{study.Frontal, study.Lateral}[random.IntN(2)]))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if random.IntN(4) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fillRandomly(random, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fillRandomly(random, v.Field(i))
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), random.IntN(3), 3))
		for i := range v.Len() {
			fillRandomly(random, v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range random.IntN(3) {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fillRandomly(random, key)
			fillRandomly(random, value)
			v.SetMapIndex(key, value)
		}
	case reflect.String:
		v.SetString(words[random.IntN(len(words))])
	case reflect.Int, reflect.Int64:
		v.SetInt(random.Int64N(1000) - 500)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(random.Float64())
	case reflect.Bool:
		v.SetBool(random.IntN(2) == 0)
	}
}

// Heads without their quick way, which json.Unmarshal reads.
type (
	plainStudyHead    StudyHead
	plainInstanceHead struct {
		Header   struct{ HeaderHead } `json:"header"`
		Received time.Time            `json:"received"`
	}
	plainReadingHead  ReadingHead
	plainInstancePath instancePath
)

// TestHeadsSayWhatTheRecordSays: a head that is read by passing over the rest is what reading the whole record gives, whatever it holds.
func TestHeadsSayWhatTheRecordSays(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		for _, test := range []struct {
			record      any
			quick       head
			slow        any
			sameAsQuick func(slow any) any
		}{
			{new(Study), new(StudyHead), new(plainStudyHead), func(slow any) any { return (*StudyHead)(slow.(*plainStudyHead)) }},
			{new(Instance), new(InstanceHead), new(plainInstanceHead), func(slow any) any {
				plain := slow.(*plainInstanceHead)
				return &InstanceHead{plain.Header.HeaderHead, plain.Received}
			}},
			{new(Reading), new(ReadingHead), new(plainReadingHead), func(slow any) any { return (*ReadingHead)(slow.(*plainReadingHead)) }},
			{new(Instance), new(instancePath), new(plainInstancePath), func(slow any) any { return (*instancePath)(slow.(*plainInstancePath)) }},
		} {
			fillRandomly(random, reflect.ValueOf(test.record).Elem())
			text, err := json.Marshal(test.record)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(unmarshal(text, test.quick), json.Unmarshal(text, test.slow)); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if got, want := any(test.quick), test.sameAsQuick(test.slow); !reflect.DeepEqual(got, want) {
				t.Fatalf("%s\n%+v, want %+v", text, got, want)
			}
		}
	}
}

// FuzzMembers: the members of what json.Marshal wrote are those that json.Unmarshal finds; no text ends the process.
func FuzzMembers(f *testing.F) {
	for _, text := range []string{`{}`, `{"a":1,"b":{"c":["]",{}]},"d":"\\\"","e":null}`, `{"a"`, `{"a":`, `{"a":"\`, `{"a":1,`, `{"":[}]}`, `{"a":1 }`, `{,}`, `{"a"::}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		_ = members(text, func(_, _ []byte) error { return nil })
		var object map[string]any
		if json.Unmarshal(text, &object) != nil || object == nil {
			return
		}
		written, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(written, &want); err != nil {
			t.Fatal(err)
		}
		got := map[string]json.RawMessage{}
		err = members(written, func(name, value []byte) error {
			var key string
			if err := json.Unmarshal(fmt.Appendf(nil, `"%s"`, name), &key); err != nil {
				return err
			}
			got[key] = value
			return nil
		})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s, %v; want %s", written, got, err, want)
		}
	})
}
