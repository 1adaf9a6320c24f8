package web

import "testing"

// TestPagesParse: every page and asset is embedded and every template can be read.
func TestPagesParse(t *testing.T) {
	r, err := New(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"worklist", "study", "learning", "admin", "login", "error"} {
		if r.pages[page] == nil {
			t.Errorf("no page %s", page)
		}
	}
}
