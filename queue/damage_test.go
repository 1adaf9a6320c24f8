package queue

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"llamaxr/study"

	"go.etcd.io/bbolt"
)

// filled makes a database as one of some days of work: trees several pages deep, freed pages, dead letters.
func filled(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	db, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		err := db.Update(func(tx *Tx) error {
			for k := range 6 {
				uid := fmt.Sprintf("1.%d.%d", i, k)
				s := &Study{UID: "2." + uid, Instances: []string{uid}, State: Delivered}
				s.Note(time.Unix(int64(i), 0), "received")
				err := errors.Join(tx.PutStudy(s),
					tx.PutInstance(&Instance{Instance: study.Instance{Header: study.Header{SOPInstanceUID: uid, StudyInstanceUID: s.UID}}}),
					tx.Enqueue(Job{ID: "k/" + uid, Kind: "k", Study: s.UID}))
				if err != nil {
					return err
				}
			}
			_, err := tx.SiteKey()
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 30 { // pages come free
		lease, err := db.Lease(t.Context(), time.Minute, "k")
		if err != nil {
			t.Fatal(err)
		}
		if err := lease.Done(nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// content is every record as bbolt itself reads it.
func content(t testing.TB, path string) map[string][]byte {
	t.Helper()
	bolt, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer bolt.Close()
	out := map[string][]byte{}
	err = bolt.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error { out[string(name)+"/"+string(k)] = bytes.Clone(v); return nil })
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestInspectionReadsWhatBboltReads: the bounded reader and bbolt see the same records, and a sound file has no damage.
func TestInspectionReadsWhatBboltReads(t *testing.T) {
	path := filled(t)
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, _ := file.Stat()
	in, err := inspect(file, info.Size())
	if err != nil || len(in.all()) > 0 {
		t.Fatalf("a sound file: %v, %v", in.all(), err)
	}
	got := map[string][]byte{}
	for bucket, list := range in.records {
		for _, r := range list {
			got[bucket+"/"+string(r.key)] = r.raw
		}
	}
	if want := content(t, path); !maps.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("%d records, bbolt reads %d", len(got), len(want))
	}
	if found, records, err := Fsck(path); err != nil || len(found) > 0 || records != len(got) {
		t.Errorf("fsck: %v, %d records, %v", found, records, err)
	}
}

// TestFlippedBits: whichever bit of the file changes, opening it neither fails nor ends the process, a change of what it says is found, what
// is left is unaltered, and it works on.
func TestFlippedBits(t *testing.T) {
	path := filled(t)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := content(t, path)
	rng := rand.New(rand.NewPCG(3, 1))
	harmless, salvaged := 0, 0
	for i := range 400 {
		broken := bytes.Clone(sound)
		at := rng.IntN(len(broken))
		if i%2 == 0 { // where the structure is: the head of a page
			at = at&^4095 + rng.IntN(64)
		}
		broken[at] ^= 1 << rng.IntN(8)
		what := fmt.Sprintf("bit of byte %d of page %d", at%4096, at/4096)
		dir := t.TempDir()
		path := filepath.Join(dir, "db")
		if err := os.WriteFile(path, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		lost := survives(t, what, path, want)
		aside, _ := filepath.Glob(path + ".damaged-*")
		salvaged += len(aside)
		if lost == 0 {
			harmless++
		}
		os.RemoveAll(dir)
	}
	t.Logf("400 flips: %d lost no record, %d files salvaged", harmless, salvaged)
}

// TestTornFiles: pages of nothing, other pages' content, and a file cut short.
func TestTornFiles(t *testing.T) {
	path := filled(t)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := content(t, path)
	pages := len(sound) / 4096
	for page := range pages {
		for kind := range 3 {
			broken := bytes.Clone(sound)
			switch kind {
			case 0:
				clear(broken[page*4096:][:4096])
			case 1:
				other := (page + 5) % pages
				copy(broken[page*4096:][:4096], sound[other*4096:][:4096])
			case 2:
				if page < 3 {
					continue // nothing is left to work with
				}
				broken = broken[:page*4096]
			}
			dir := t.TempDir()
			path := filepath.Join(dir, "db")
			if err := os.WriteFile(path, broken, 0o600); err != nil {
				t.Fatal(err)
			}
			survives(t, fmt.Sprintf("page %d, kind %d", page, kind), path, want)
			os.RemoveAll(dir)
		}
	}
}

// survives opens a damaged database, holds what is left against what was there, works with it, and returns how many records are gone.
func survives(t *testing.T, what, path string, want map[string][]byte) (lost int) {
	t.Helper()
	db, err := Open(path, Options{})
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return 0
	}
	damage := db.Damage()
	err = db.Update(func(tx *Tx) error { return tx.PutStudy(&Study{UID: "9.9"}) })
	if err != nil {
		t.Errorf("%s: an update: %v", what, err)
	}
	if err := db.View(func(tx *Tx) error { return tx.EachStudy(func(*Study) error { return nil }) }); err != nil {
		t.Errorf("%s: reading: %v", what, err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("%s: closing: %v", what, err)
	}
	got := content(t, path)
	for key, raw := range want {
		have, ok := got[key]
		switch {
		case !ok:
			lost++
		case !bytes.Equal(have, raw) && !bytes.HasPrefix([]byte(key), []byte("meta/tally ")):
			t.Errorf("%s: record %s is altered", what, key)
		}
	}
	if lost > 0 && len(damage) == 0 {
		t.Errorf("%s: %d records are gone and nothing was found", what, lost)
	}
	if found, _, err := Fsck(path); err != nil || len(found) > 0 {
		t.Errorf("%s: after it was opened: %v %v", what, found, err)
	}
	return lost
}

// TestADamagedRecordWhileRunning: one record goes bad under an open database; the others work on, and it is set aside.
func TestADamagedRecordWhileRunning(t *testing.T) {
	db, err := Open(filled(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *Tx) error {
		for _, key := range []string{"2.1.3.3", "2.1.4.4"} {
			b := tx.bolt.Bucket(bucketStudies)
			raw := bytes.Clone(b.Get([]byte(key)))
			raw[len(raw)/2] ^= 4
			if err := b.Put([]byte(key), raw); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = db.View(func(tx *Tx) error {
		if _, err := tx.Study("2.1.3.3"); !errors.Is(err, ErrDamaged) {
			t.Errorf("a damaged record reads as sound: %v", err)
		}
		return tx.EachStudy(func(*Study) error { n++; return nil })
	})
	if err != nil || n != 238 {
		t.Errorf("%d studies, %v", n, err)
	}
	select {
	case <-db.Damaged():
	default:
		t.Error("nobody is told")
	}
	moved, err := db.SetDamagedAside()
	if err != nil || len(moved) != 2 || !slices.ContainsFunc(moved, func(d Damage) bool { return d.Where == "studies/2.1.3.3" }) {
		t.Errorf("set aside: %v, %v", moved, err)
	}
	err = db.View(func(tx *Tx) error {
		if s, err := tx.Study("2.1.3.3"); s != nil || err != nil {
			t.Errorf("still there: %v, %v", s, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestRecordsWithoutSeals: a state of the first schema gets its checksums when it is opened.
func TestRecordsWithoutSeals(t *testing.T) {
	path := filled(t)
	plain := map[string]map[string][]byte{}
	bolt, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = bolt.Update(func(tx *bbolt.Tx) error {
		for _, name := range allBuckets {
			plain[string(name)] = map[string][]byte{}
			b := tx.Bucket(name)
			err := b.ForEach(func(k, v []byte) error { plain[string(name)][string(k)] = bytes.Clone(v); return nil })
			if err != nil {
				return err
			}
			for k, v := range plain[string(name)] {
				switch {
				case k == "schema":
					v = []byte("1")
				case k == string(siteKey):
					v = []byte("0123456789abcdef0123456789abcdef")
				case bytes.HasPrefix([]byte(k), []byte("tally ")):
					if err := b.Delete([]byte(k)); err != nil {
						return err
					}
					continue
				default:
					v = v[sealLength:]
				}
				if err := b.Put([]byte(k), v); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err := errors.Join(err, bolt.Close()); err != nil {
		t.Fatal(err)
	}
	db, err := Open(path, Options{Convert: func(Form) error { return nil }})
	if err != nil || len(db.Damage()) > 0 {
		t.Fatalf("%v, %v", db.Damage(), err)
	}
	err = db.Update(func(tx *Tx) error {
		key, err := tx.SiteKey()
		if string(key) != "0123456789abcdef0123456789abcdef" {
			t.Errorf("site key %q", key)
		}
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	got := content(t, path)
	for _, bucket := range []string{"studies", "instances", "jobs"} {
		for k, v := range plain[bucket] {
			if !bytes.Equal(got[bucket+"/"+k], v) && bucket != "jobs" { // leases are given back
				t.Errorf("%s/%s is altered", bucket, k)
			}
		}
	}
	if found, _, err := Fsck(path); err != nil || len(found) > 0 {
		t.Errorf("%v %v", found, err)
	}
}

// FuzzInspect: no bytes make the reader panic or read without end.
func FuzzInspect(f *testing.F) {
	raw, err := os.ReadFile(filled(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw[:16384], uint16(100), byte(1))
	f.Add(raw[:8192], uint16(80), byte(255))
	f.Fuzz(func(t *testing.T, b []byte, at uint16, flip byte) {
		if len(b) > 1<<20 {
			return
		}
		b = bytes.Clone(b)
		if len(b) > 0 {
			b[int(at)%len(b)] ^= flip
		}
		if _, err := inspect(bytes.NewReader(b), int64(len(b))); err != nil {
			t.Fatal(err)
		}
	})
}
