package jpeg2000

import "slices"

// sequence calls read for every packet of a tile in the order of its progression (T.800 B.12). Progressions are orders of the
// precincts and of the layers among them, so they are sorted rather than searched for position by position.
func sequence(t *tilePart, components []*tileComponent, read func(p *precinct) error) error {
	changes := t.changes
	if len(changes) == 0 {
		changes = []progressionChange{{layerEnd: t.layers, resolutionEnd: maxLevels + 1, componentEnd: len(components), progression: t.progression}}
	}
	for _, change := range changes {
		var some []*precinct
		for c := change.component; c < min(change.componentEnd, len(components)); c++ {
			resolutions := components[c].resolutions
			for r := change.resolution; r < min(change.resolutionEnd, len(resolutions)); r++ {
				for i := range resolutions[r].precincts {
					some = append(some, &resolutions[r].precincts[i])
				}
			}
		}
		slices.SortStableFunc(some, orders[change.progression])
		if err := change.walk(some, min(change.layerEnd, t.layers), read); err != nil {
			return err
		}
	}
	for _, c := range components {
		for _, r := range c.resolutions {
			for _, p := range r.precincts {
				if p.layers < t.layers {
					return fail(ErrMalformed, "progressions leave out packets")
				}
			}
		}
	}
	return nil
}

// walk reads the packets of sorted precincts: all of a layer (LRCP), all of a layer in a resolution (RLCP), or all layers of
// a precinct. Packets that an earlier progression had are left out.
func (change progressionChange) walk(sorted []*precinct, layers int, read func(p *precinct) error) error {
	for len(sorted) > 0 {
		n := 1
		switch change.progression {
		case 0:
			n = len(sorted)
		case 1:
			for n < len(sorted) && sorted[n].resolution == sorted[0].resolution {
				n++
			}
		}
		for layer := range layers {
			for _, p := range sorted[:n] {
				if p.layers > layer {
					continue
				}
				if err := read(p); err != nil {
					return err
				}
			}
		}
		sorted = sorted[n:]
	}
	return nil
}

// orders are the progressions by number (table A.16).
var orders = [5]func(a, b *precinct) int{
	by(resolutionOf, componentOf, indexOf),  // LRCP
	by(resolutionOf, componentOf, indexOf),  // RLCP
	by(resolutionOf, yOf, xOf, componentOf), // RPCL
	by(yOf, xOf, componentOf, resolutionOf), // PCRL
	by(componentOf, yOf, xOf, resolutionOf), // CPRL
}

func resolutionOf(p *precinct) int { return p.resolution }
func componentOf(p *precinct) int  { return p.component }
func indexOf(p *precinct) int      { return p.index }
func xOf(p *precinct) int          { return p.x }
func yOf(p *precinct) int          { return p.y }

// by compares precincts by keys, the first that differs.
func by(keys ...func(*precinct) int) func(a, b *precinct) int {
	return func(a, b *precinct) int {
		for _, key := range keys {
			if d := key(a) - key(b); d != 0 {
				return d
			}
		}
		return 0
	}
}
