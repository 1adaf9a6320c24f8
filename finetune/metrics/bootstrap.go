package metrics

import (
	"math/rand/v2"
	"slices"
)

// Settings of the bootstrap (Efron 1979), by percentiles.
const (
	Resamples  = 1000
	Confidence = 0.95
)

// Interval bounds a figure with 95 % confidence: low, high.
type Interval [2]float64

// table holds what a group of figures needs of each pair. Every figure is a function of sums over pairs, so that a resample is a sum.
type table struct {
	group  Group
	names  []string
	rows   [][]float64
	values func(sums []float64) []float64 // in the order of names
}

// total sums the rows of the pairs picked.
func (t *table) total(picked []int) []float64 {
	sums := make([]float64, len(t.rows[0]))
	for _, i := range picked {
		for k, v := range t.rows[i] {
			sums[k] += v
		}
	}
	return sums
}

// intervals draws pairs with replacement, the same for every table.
func intervals(tables []*table, pairs int, seed uint64) map[*table][]Interval {
	rng := rand.New(rand.NewPCG(seed, 0))
	drawn := map[*table][][]float64{} // by figure, then resample
	for _, t := range tables {
		drawn[t] = make([][]float64, len(t.names))
	}
	picked := make([]int, pairs)
	for range Resamples {
		for i := range picked {
			picked[i] = rng.IntN(pairs)
		}
		for _, t := range tables {
			for k, v := range t.values(t.total(picked)) {
				drawn[t][k] = append(drawn[t][k], v)
			}
		}
	}
	out := map[*table][]Interval{}
	for _, t := range tables {
		for _, values := range drawn[t] {
			slices.Sort(values)
			out[t] = append(out[t], Interval{values[int((1-Confidence)/2*Resamples)], values[int((1+Confidence)/2*Resamples)-1]})
		}
	}
	return out
}

// MeanInterval bounds the mean of values, 0 and 0 where there are none.
func MeanInterval(values []float64, seed uint64) Interval {
	if len(values) == 0 {
		return Interval{}
	}
	t := meansTable("", []string{""}, func(i int) []float64 { return values[i : i+1] }, len(values))
	return intervals([]*table{t}, len(values), seed)[t][0]
}

// meansTable averages figures of single pairs. of returns nil for a pair that has none.
func meansTable(group Group, names []string, of func(pair int) []float64, pairs int) *table {
	t := &table{group: group, names: names, values: func(sums []float64) []float64 {
		out := make([]float64, len(names))
		for k := range out {
			if n := sums[len(names)]; n > 0 {
				out[k] = sums[k] / n
			}
		}
		return out
	}}
	for i := range pairs {
		row := make([]float64, len(names)+1)
		if copy(row, of(i)) > 0 {
			row[len(names)] = 1
		}
		t.rows = append(t.rows, row)
	}
	return t
}
