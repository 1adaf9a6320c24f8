package kernel

import "math"

// Arithmetic is how activations are multiplied.
type Arithmetic int

// Arithmetics; see the package's documentation.
const (
	Exact Arithmetic = iota
	Int16
)

// String returns the name for logs and manifests.
func (a Arithmetic) String() string {
	if a == Int16 {
		return "int16"
	}
	return "float32"
}

const (
	// Block is how many weights share a scale.
	Block = 64
	group = 2 * Block // weights that one vector of 64 bytes holds
	lanes = 16        // 32-bit values of one vector
	words = 32        // 16-bit values of one vector
	// topActivation and topLevel are the largest integers that stand for an activation and a level: 64 products are summed in 32 bits.
	topActivation = 8191
	topLevel      = 4095
)

// Rows are activations, made ready for one arithmetic: each is read by every row of a matrix.
type Rows struct {
	arithmetic Arithmetic
	n, width   int
	groups     int
	// stride is how many groups a row has room for: an odd number, so that rows do not share the sets of a cache.
	stride int

	values   []float32 // [n][width], as they are
	permuted []float32 // Exact: [n][stride][8][lanes], in the order in which nibbles are decoded
	rounded  []int16   // Int16: [n][stride][4][words], likewise
	scales   []float32 // Int16: [n][stride], times halfUnit
	// manyScales are those of as many rows as a panel takes, by group: [n/rows][stride][rows].
	manyScales []float32
}

// NewRows returns an empty set of rows of the given width.
func NewRows(arithmetic Arithmetic, width int) *Rows {
	groups := (width + group - 1) / group
	return &Rows{arithmetic: arithmetic, width: width, groups: groups, stride: groups | 1}
}

// Len is the number of rows.
func (r *Rows) Len() int { return r.n }

// Row is a row's values.
func (r *Rows) Row(i int) []float32 { return r.values[i*r.width : (i+1)*r.width] }

// Set takes rows of width values each, one after another. It keeps values: they must not change while the rows are used.
func (r *Rows) Set(values []float32) {
	r.values, r.n = values, len(values)/r.width
	if r.arithmetic == Exact {
		r.permuted = grown(r.permuted, r.n*r.stride*group)
		for i := range r.n {
			permute(r.Row(i), r.permuted[i*r.stride*group:][:r.groups*group])
		}
		return
	}
	r.rounded, r.scales = grown(r.rounded, r.n*r.stride*group), grown(r.scales, r.n*r.stride)
	for i := range r.n {
		for g := range r.groups {
			at := i*r.stride + g
			r.scales[at] = round(r.Row(i)[g*group:min((g+1)*group, r.width)], r.rounded[at*group:(at+1)*group]) * halfUnit
		}
	}
	if active.panels == nil {
		return
	}
	many := active.panels.rows
	r.manyScales = grown(r.manyScales, len(r.scales))
	for i := range r.n / many * many {
		for g := range r.groups {
			r.manyScales[(i/many*r.stride+g)*many+i%many] = r.scales[i*r.stride+g]
		}
	}
}

func grown[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// permute lays a row out as nibbles are decoded: a vector of 16 words holds 128 weights, word l those from 8 l on; its nibble j, from the
// low end, is the second weight of byte j/2 when j is even, else the first.
func permute(row, out []float32) {
	for at := range out {
		g, j, l := at/group, at%group/lanes, at%lanes
		i := g*group + 8*l + j/2*2 + 1 - j%2
		if i < len(row) {
			out[at] = row[i]
		} else {
			out[at] = 0
		}
	}
}

// round rounds up to 128 activations to 16 bits, in the order of the active code, and returns their scale. What is not finite is the scale and
// goes on to the result.
func round(row []float32, out []int16) (scale float32) {
	if len(row) == group && active.round != nil {
		return active.round(&row[0], &out[0])
	}
	return portableRound(row, out, active.order)
}

func portableRound(row []float32, out []int16, order *[group]uint8) (scale float32) {
	top := float32(0)
	for _, v := range row {
		top = max(top, float32(math.Abs(float64(v))))
	}
	clear(out)
	if top == 0 || !(top <= math.MaxFloat32) {
		return top
	}
	inverse := topActivation / top
	for i, v := range row {
		out[order[i]] = int16(math.RoundToEven(float64(v * inverse)))
	}
	return top / topActivation
}
