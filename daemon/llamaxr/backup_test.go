package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestKeepNewest: beside the backup that was just made the newest stay, whatever the clock says; what a person named is no backup of ours.
func TestKeepNewest(t *testing.T) {
	const made = "llamaxr-20260103T000000Z.tar"
	for _, c := range []struct {
		there []string
		keep  int
		want  []string
	}{
		{[]string{"llamaxr-20260101T000000Z.tar", "llamaxr-20260102T000000Z.tar"}, 2, []string{"llamaxr-20260102T000000Z.tar"}},
		{[]string{"llamaxr-20260101T000000Z.tar", "llamaxr-20260102T000000Z.tar"}, 1, nil},
		{[]string{"llamaxr-20260101T000000Z.tar"}, 7, []string{"llamaxr-20260101T000000Z.tar"}},
		// The clock was put back: those with a later time were made before.
		{[]string{"llamaxr-20991231T000000Z.tar", "llamaxr-20991230T000000Z.tar"}, 1, nil},
		{[]string{"llamaxr-20991231T000000Z.tar", "llamaxr-20991230T000000Z.tar"}, 2, []string{"llamaxr-20991231T000000Z.tar"}},
		{[]string{"llamaxr-20991231T000000Z.tar", "llamaxr-20260102T000000Z.tar"}, 2, []string{"llamaxr-20260102T000000Z.tar"}},
		{[]string{"llamaxr-before-golive.tar", "llamaxr-20260102T000000Z.tar.asc"}, 1, []string{"llamaxr-20260102T000000Z.tar.asc", "llamaxr-before-golive.tar"}},
	} {
		folder := t.TempDir()
		for _, name := range append(c.there, made) {
			if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := keepNewest(filepath.Join(folder, made), c.keep); err != nil {
			t.Error(err)
		}
		var left []string
		entries, _ := os.ReadDir(folder)
		for _, entry := range entries {
			left = append(left, entry.Name())
		}
		if want := slices.Sorted(slices.Values(append(c.want, made))); !slices.Equal(left, want) {
			t.Errorf("%v with --keep %d: left %v, want %v", c.there, c.keep, left, want)
		}
	}
}
