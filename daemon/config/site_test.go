package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// TestSiteFile: what is read of the written file is what was meant, only its owner reads it, and a file that is there stays.
func TestSiteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new folder", "llamaxr.yaml")
	first := Site{State: `/var/lib/x "quoted" ü`, AETitle: "CHEST: #1", Listen: ":11112", Destinations: []Destination{{AETitle: "MAIN 'PACS'", Address: "[::1]:104"}}}
	second := Site{State: "state", AETitle: "OTHER", Listen: "127.0.0.1:104"}
	read := func(want Site) {
		t.Helper()
		got, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Destinations) == 0 {
			got.Destinations = nil
		}
		if !reflect.DeepEqual(got, want.Over()) {
			t.Errorf("read back: %+v", got)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the file's mode: %v, %v", info.Mode(), err)
		}
	}
	if err := first.Write(path, false, -1); err != nil {
		t.Fatal(err)
	}
	read(first)
	if err := second.Write(path, false, -1); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file that is there: %v", err)
	}
	read(first)
	if err := second.Write(path, true, -1); err != nil {
		t.Fatal(err)
	}
	read(second)
	if err := first.Write(path, true, os.Getgid()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the file's mode with a group: %v, %v", info, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
}
