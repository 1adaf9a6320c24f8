package xrv

import "llamaxr/study"

// regionLevel is the share of the peak above which cells belong to the region drawn for a finding.
const regionLevel = 0.6

// heatMap scales an activation map to [0, 1] (what speaks against the finding is 0) and finds its region.
func heatMap(f study.Finding, size int, values []float32, g study.Geometry) study.HeatMap {
	peak, at := float32(0), -1
	for i, v := range values {
		if v > peak {
			peak, at = v, i
		}
	}
	out := study.HeatMap{Finding: f, Size: size, Values: make([]float32, len(values))}
	if at < 0 {
		return out
	}
	for i, v := range values {
		out.Values[i] = max(v, 0) / peak
	}
	out.Region = region(out.Values, size, at, g)
	return out
}

// region encloses the cells connected to the peak that reach regionLevel, in the full image.
func region(values []float32, size, peak int, g study.Geometry) *study.Region {
	left, top, right, bottom := size, size, -1, -1
	seen := make([]bool, len(values))
	var visit func(i int)
	visit = func(i int) {
		if seen[i] || values[i] < regionLevel {
			return
		}
		seen[i] = true
		x, y := i%size, i/size
		left, right, top, bottom = min(left, x), max(right, x), min(top, y), max(bottom, y)
		for _, d := range [][2]int{{-1, 0}, {1, 0}, {0, -1}, {0, 1}} {
			if nx, ny := x+d[0], y+d[1]; nx >= 0 && ny >= 0 && nx < size && ny < size {
				visit(ny*size + nx)
			}
		}
	}
	visit(peak)
	cell := float64(study.InputSize) / float64(size)
	var r study.Region
	r.Left, r.Top = g.ToFull(float64(left)*cell, float64(top)*cell)
	r.Right, r.Bottom = g.ToFull(float64(right+1)*cell, float64(bottom+1)*cell)
	return &r
}
