package jpeg2000

// tagTree codes an array of numbers by minima over growing squares (T.800 B.10.2).
type tagTree struct {
	levels []tagLevel // the leaves first
}

type tagLevel struct {
	width int
	nodes []tagNode
}

type tagNode struct {
	value int32 // at least this
	known bool  // exactly this
}

func newTagTree(width, height int) tagTree {
	var t tagTree
	for {
		t.levels = append(t.levels, tagLevel{width: width, nodes: make([]tagNode, width*height)})
		if width*height <= 1 {
			return t
		}
		width, height = (width+1)/2, (height+1)/2
	}
}

// below reads as many bits as it takes to tell whether leaf number i is less than the limit.
func (t *tagTree) below(r *headerReader, i int, limit int32) bool {
	x, y := i%t.levels[0].width, i/t.levels[0].width
	var low int32
	for l := len(t.levels) - 1; l >= 0; l-- {
		level := &t.levels[l]
		n := &level.nodes[y>>l*level.width+x>>l]
		n.value = max(n.value, low)
		for !n.known && n.value < limit {
			if r.bit() == 1 {
				n.known = true
			} else {
				n.value++
			}
		}
		low = n.value
	}
	leaf := t.levels[0].nodes[i]
	return leaf.known && leaf.value < limit
}
