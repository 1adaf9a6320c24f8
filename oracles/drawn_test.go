package oracles

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"slices"
	"strings"

	"llamaxr/inference/safetensors"
)

// draw says how a network's weights are drawn: oracles/xrv_weights.py says what each part is for.
type draw struct {
	Stem, Head, Residual string
	Gain                 float64
}

// tensor is one of the weights of oracles/xrv_weights.py: element i is drawn from a hash of the tensor's name and i.
func (d draw) tensor(name string, shape []int) safetensors.Tensor {
	hash := fnv.New64a()
	hash.Write([]byte(name))
	seed, count := hash.Sum64(), 1
	for _, n := range shape {
		count *= n
	}
	scale, offset := d.scaleOf(name, shape, float64(count))
	out := safetensors.Tensor{DType: safetensors.F32, Shape: shape, Data: make([]byte, 0, 4*count)}
	for i := range count {
		z := seed + uint64(i) + 0x9e3779b97f4a7c15
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		z ^= z >> 31
		v := float32(z>>40)*0x1p-23 - 1
		out.Data = binary.LittleEndian.AppendUint32(out.Data, math.Float32bits(float32(v*scale)+offset))
	}
	return out
}

func (d draw) scaleOf(name string, shape []int, count float64) (scale, offset float32) {
	vector := len(shape) == 1
	switch {
	case name == d.Head+".bias":
		return 2, -2
	case strings.HasSuffix(name, "running_var"):
		return 0.5, 1
	case vector && strings.HasSuffix(name, ".weight"):
		if d.Residual != "" && strings.Contains(name, d.Residual) {
			return 0.1, 0.3
		}
		return 0.5, 1
	case vector, strings.Contains(name, "token"), strings.Contains(name, "pos_embedding"):
		return 0.3, 0
	}
	spread := d.Gain * math.Sqrt(6/(count/float64(shape[0])))
	if name == d.Stem && shape[1] == 1 {
		spread /= 512
	}
	return float32(spread), 0
}

// file draws all tensors of a network.
func (d draw) file(shapes map[string][]int) *safetensors.File {
	file := &safetensors.File{Tensors: map[string]safetensors.Tensor{}}
	for name, shape := range shapes {
		file.Tensors[name] = d.tensor(name, slices.Clone(shape))
	}
	return file
}
