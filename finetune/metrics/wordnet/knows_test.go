package wordnet

import "testing"

// TestKnows: words and their regular and irregular forms are known, names are not.
func TestKnows(t *testing.T) {
	for word, want := range map[string]bool{
		"rib": true, "ribs": true, "opacities": true, "seen": true, "enlarged": true, "increasing": true, "men": true,
		"connor": false, "parker": false, "becker": false, "mayer": false, "ximenes": false, "zurich": false, "winterbottom": false, "": false,
	} {
		if got, err := Knows(word); err != nil || got != want {
			t.Errorf("%q is known: %v, %v; want %v", word, got, err, want)
		}
	}
}
