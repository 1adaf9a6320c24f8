package daemon

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"llamaxr/daemon/backup"
	"llamaxr/queue"
	"llamaxr/study"

	"go.etcd.io/bbolt"
)

// olderStates are the samples that testdata/states/make.sh made, and their formats.
func olderStates(t testing.TB) map[string]int {
	t.Helper()
	files, _ := filepath.Glob("testdata/states/format-*.tar.xz")
	found, formats := map[string]int{}, map[int]bool{}
	for _, file := range files {
		format, err := strconv.Atoi(regexp.MustCompile(`format-(\d+)-`).FindStringSubmatch(file)[1])
		if err != nil {
			t.Fatal(err)
		}
		found[file], formats[format] = format, true
	}
	for f := queue.Oldest; f < queue.Format; f++ {
		if !formats[f] {
			t.Errorf("no sample of format %d", f)
		}
	}
	return found
}

func unpackState(t testing.TB, file string) string {
	t.Helper()
	state := t.TempDir()
	if out, err := exec.Command("tar", "xf", file, "-C", state).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	return state
}

// rawRecords reads a database by bbolt alone: bucket/key to the record's text. From format 2 on a record is 1, the CRC-32C of bucket, 0, key, 0 and
// text, and the text.
func rawRecords(t testing.TB, path string, format int) map[string]string {
	t.Helper()
	bolt, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer bolt.Close()
	records := map[string]string{}
	err = bolt.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(bucket []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(key, value []byte) error {
				where := string(bucket) + "/" + string(key)
				switch {
				case where == "meta/schema", where == "meta/format", strings.HasPrefix(where, "meta/tally "):
					return nil
				case format == 1 && where == "meta/site key":
					value, _ = json.Marshal(value)
				case format > 1:
					sum := crc32.Checksum(bytes.Join([][]byte{bucket, key, value[5:]}, []byte{0}), crc32.MakeTable(crc32.Castagnoli))
					if value[0] != 1 || binary.BigEndian.Uint32(value[1:]) != sum {
						t.Errorf("%s: the checksum does not fit", where)
					}
					value = value[5:]
				}
				records[where] = string(value)
				return nil
			})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// TestOlderStates: the state of every earlier format, as the program of its time wrote it, is converted without a record or a field of one lost,
// is sound, and says of its studies what that program said; the database from before is kept as it was.
func TestOlderStates(t *testing.T) {
	for file, format := range olderStates(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			state := unpackState(t, file)
			path := filepath.Join(state, databaseFile)
			before := rawRecords(t, path, format)
			if found, err := FormatOf(state); err != nil || found.From.Format != format || found.Writes != queue.Format {
				t.Errorf("found %+v, %v", found, err)
			}
			sayTheSame(t, state)
			done, err := Upgrade(state, "test")
			if err != nil || (done.Kept != "") != (format < queue.Format) {
				t.Fatalf("%+v, %v", done, err)
			}
			if done.Kept != "" {
				kept := filepath.Join(t.TempDir(), "kept.db")
				if err := extract(done.Kept, kept); err != nil {
					t.Fatal(err)
				}
				if !maps.Equal(rawRecords(t, kept, format), before) {
					t.Error("the kept database is not the one from before")
				}
			}
			after := rawRecords(t, path, queue.Format)
			if !maps.Equal(after, before) {
				for where, text := range before {
					if after[where] != text {
						t.Errorf("%s was %s\nand is %s", where, text, after[where])
					}
				}
				t.Errorf("%d records were there, %d are", len(before), len(after))
			}
			kinds := map[string]int{}
			for where, text := range after {
				kinds[strings.Split(where, "/")[0]]++
				keepsFields(t, where, text)
			}
			t.Log(kinds)
			sayTheSame(t, state)
			report, err := Fsck(state, false, nil, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatalf("fsck: %v", err)
			}
			for _, f := range report.Findings {
				if !leftOut.MatchString(f.What) {
					t.Errorf("fsck: %+v", f)
				}
			}
			if again, err := Upgrade(state, "test"); err != nil || again.Kept != "" || again.From != (queue.Form{Format: queue.Format, Program: "test"}) {
				t.Errorf("again: %+v, %v", again, err)
			}
		})
	}
}

// leftOut are the pictures that make.sh leaves out of a sample.
var leftOut = regexp.MustCompile(`^daemon: (\w+\.png|chart\.dcm|heatmap\.dcm) of a draft: .*no such file`)

// sayTheSame holds the studies against what the program of that time said of them.
func sayTheSame(t *testing.T, state string) {
	t.Helper()
	said, err := os.ReadFile(filepath.Join(state, "studies.json"))
	if err != nil {
		t.Fatal(err)
	}
	studies, err := Studies(state)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(studies)
	if err != nil {
		t.Fatal(err)
	}
	var want, got any
	if err := errors.Join(json.Unmarshal(said, &want), json.Unmarshal(text, &got)); err != nil {
		t.Fatal(err)
	}
	if lost := missing(want, got, "studies"); len(lost) > 0 || len(studies) < 4 {
		t.Errorf("%d studies; not as they were: %v", len(studies), lost)
	}
}

// recordTypes are what the records of a bucket are read into.
var recordTypes = map[string]any{
	"instances": queue.Instance{}, "aside": queue.Instance{}, "studies": queue.Study{}, "jobs": queue.Job{}, "done": time.Time{},
	"rejections": queue.Rejection{}, "accessions": "", "corrections": study.Correction{}, "corrections aside": queue.AsideCorrection{},
	"readings": queue.Reading{}, "promises": queue.Promise{}, "transactions": queue.Transaction{}, "scores": queue.ScoredStudy{}, "meta": []byte(nil),
}

// keepsFields: what is read from a record and written again has every field that it had.
func keepsFields(t *testing.T, where, text string) {
	t.Helper()
	bucket, _, _ := strings.Cut(where, "/")
	kind, ok := recordTypes[bucket]
	if !ok {
		t.Errorf("%s: what is it?", where)
		return
	}
	value := reflect.New(reflect.TypeOf(kind)).Interface()
	var want, got any
	err := errors.Join(json.Unmarshal([]byte(text), value), json.Unmarshal([]byte(text), &want))
	again, failed := json.Marshal(value)
	if err = errors.Join(err, failed, json.Unmarshal(again, &got)); err != nil {
		t.Errorf("%s: %v", where, err)
	}
	if lost := missing(want, got, where); len(lost) > 0 {
		t.Errorf("lost of a record: %v", lost)
	}
}

// missing lists what of want is not in got. Zero values may be left out.
func missing(want, got any, where string) (lost []string) {
	switch want := want.(type) {
	case map[string]any:
		have, _ := got.(map[string]any)
		for key, value := range want {
			lost = append(lost, missing(value, have[key], where+"."+key)...)
		}
		return lost
	case []any:
		have, _ := got.([]any)
		for i, value := range want {
			if i >= len(have) {
				return append(lost, fmt.Sprintf("%s[%d]", where, i))
			}
			lost = append(lost, missing(value, have[i], fmt.Sprintf("%s[%d]", where, i))...)
		}
		return lost
	}
	zero := got == nil && slices.Contains([]any{nil, "", 0.0, false, "0001-01-01T00:00:00Z"}, want)
	if !zero && !reflect.DeepEqual(want, got) {
		lost = append(lost, fmt.Sprintf("%s was %v and is %v", where, want, got))
	}
	return lost
}

func extract(archive, to string) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = backup.Database(file, to)
	return err
}

// TestWayBack: after a conversion and work on its result the older database comes back as it was, and what was acknowledged since lies in a folder
// of its own; from a damaged archive, or under a running appliance, nothing is changed.
func TestWayBack(t *testing.T) {
	for file, format := range olderStates(t) {
		state := unpackState(t, file)
		path := filepath.Join(state, databaseFile)
		before := rawRecords(t, path, format)
		whole := filepath.Join(t.TempDir(), "whole.tar")
		out, err := os.Create(whole)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(Backup(t.Context(), state, "test", out), out.Close()); err != nil {
			t.Fatal(err)
		}
		done, err := Upgrade(state, "test")
		if err != nil {
			t.Fatal(err)
		}
		for i, archive := range []string{done.Kept, whole} {
			object := fmt.Sprintf("objects/00/since-%d.dcm", i)
			takeObject(t, state, object)
			if archive == whole {
				refusesToGoBack(t, state, archive)
			}
			r, err := Back(state, archive)
			if err != nil || r.Format != format || r.From != queue.Format || r.Objects != 1 || r.Gone != 0 {
				t.Fatalf("%s: %+v, %v", archive, r, err)
			}
			if !maps.Equal(rawRecords(t, path, format), before) {
				t.Errorf("%s: the database is not the one from before", archive)
			}
			if rawRecords(t, r.Set, queue.Format)["instances/1.2."+object] == "" {
				t.Error("the database that was set aside does not know the object that came since")
			}
			if text, err := os.ReadFile(filepath.Join(r.Since, "00000001-"+filepath.Base(object))); err != nil || string(text) != object {
				t.Errorf("the object that came since: %q, %v", text, err)
			}
			if _, err := os.Stat(filepath.Join(state, object)); err == nil {
				t.Error("the object that came since is still among those that the database knows")
			}
			if err := os.RemoveAll(r.Since); err != nil {
				t.Error(err)
			}
			if done, err = Upgrade(state, "test"); err != nil || done.Kept == "" {
				t.Fatalf("forward again: %+v, %v", done, err)
			}
		}
	}
}

// takeObject makes an object known.
func takeObject(t *testing.T, state, object string) {
	t.Helper()
	path := filepath.Join(state, object)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(object), 0o600)); err != nil {
		t.Fatal(err)
	}
	db, err := queue.Open(filepath.Join(state, databaseFile), queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *queue.Tx) error {
		return tx.PutInstance(&queue.Instance{Instance: study.Instance{Path: object, Header: study.Header{SOPInstanceUID: "1.2." + object, StudyInstanceUID: "1.2"}}})
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func refusesToGoBack(t *testing.T, state, archive string) {
	t.Helper()
	path := filepath.Join(state, databaseFile)
	was := rawRecords(t, path, queue.Format)
	text, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	damaged := filepath.Join(t.TempDir(), "damaged.tar")
	if err := os.WriteFile(damaged, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := Back(state, damaged); err == nil {
		t.Errorf("from a damaged archive: %+v", r)
	}
	db, err := queue.Open(path, queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := Back(state, archive); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("under a running appliance: %+v, %v", r, err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(state, sinceFolder+"*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if !maps.Equal(rawRecords(t, path, queue.Format), was) {
		t.Error("the database was changed")
	}
}
