package qlora

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"

	"llamaxr/inference/safetensors"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
)

// State is a whole run between two steps: parameters, moments, and the best so far.
type State struct {
	Step     int     `json:"step"` // steps done
	BestStep int     `json:"best_step"`
	BestLoss float64 `json:"best_loss"` // 0 with BestStep 0: nothing was measured
	Worse    int     `json:"worse"`     // measurements since the best

	params, moments []*tensors.Tensor
	best            [][]float32
}

const stateKey = "llamaxr_state"

// Encode writes the state as a safetensors file; nothing is rounded.
func (s *State) Encode() ([]byte, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("qlora: checkpoint: %w", err)
	}
	file := &safetensors.File{Tensors: map[string]safetensors.Tensor{}, Metadata: map[string]string{stateKey: string(text)}}
	add := func(kind string, list []*tensors.Tensor) {
		for i, t := range list {
			tensor := safetensors.Tensor{DType: safetensors.F32, Shape: t.Shape().Dimensions}
			if t.DType() == dtypes.Uint8 {
				tensor.DType = safetensors.U8
			}
			t.MustConstFlatData(func(flat any) {
				switch values := flat.(type) {
				case []uint8:
					tensor.Data = bytes.Clone(values)
				case []float32:
					tensor.Data = floatBytes(values)
				}
			})
			file.Tensors[fmt.Sprintf("%s.%d", kind, i)] = tensor
		}
	}
	add("parameter", s.params)
	add("moment", s.moments)
	for i, values := range s.best {
		file.Tensors[fmt.Sprintf("best.%d", i)] = safetensors.Tensor{DType: safetensors.F32, Shape: []int{len(values)}, Data: floatBytes(values)}
	}
	var buf bytes.Buffer
	if _, err := file.WriteTo(&buf); err != nil {
		return nil, fmt.Errorf("qlora: checkpoint: %w", err)
	}
	return buf.Bytes(), nil
}

// DecodeState reads what Encode wrote. Whether it fits a run is Train's to say.
func DecodeState(data []byte) (*State, error) {
	file, err := safetensors.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("qlora: checkpoint: %w", err)
	}
	s := new(State)
	if err := json.Unmarshal([]byte(file.Metadata[stateKey]), s); err != nil {
		return nil, fmt.Errorf("qlora: checkpoint: state: %w", err)
	}
	list := func(kind string) (out []*tensors.Tensor) {
		for {
			t, ok := file.Tensors[fmt.Sprintf("%s.%d", kind, len(out))]
			switch {
			case !ok:
				return out
			case t.DType == safetensors.U8:
				out = append(out, tensors.FromFlatDataAndDimensions(bytes.Clone(t.Data), t.Shape...))
			case t.DType == safetensors.F32:
				out = append(out, tensors.FromFlatDataAndDimensions(bytesFloats(t.Data), t.Shape...))
			default:
				return out
			}
		}
	}
	s.params, s.moments = list("parameter"), list("moment")
	for i := 0; ; i++ {
		t, ok := file.Tensors[fmt.Sprintf("best.%d", i)]
		if !ok {
			break
		}
		s.best = append(s.best, bytesFloats(t.Data))
	}
	if n := len(s.params) + len(s.moments) + len(s.best); n != len(file.Tensors) {
		return nil, fmt.Errorf("qlora: checkpoint: %d of %d tensors are known", n, len(file.Tensors))
	}
	return s, nil
}

// fits reports how a checkpoint differs from the run that would go on from it.
func (s *State) fits(t *trainer) error {
	moments := t.zeroMoments()
	if len(s.params) != len(t.trained) || len(s.moments) != len(moments) || s.Step < 0 || s.Step > t.opts.Steps || len(s.best) != 0 && len(s.best) != len(t.trained) {
		return fmt.Errorf("qlora: the checkpoint of step %d with %d parameters belongs to another run", s.Step, len(s.params))
	}
	for i, slot := range t.trained {
		if s.params[i].Shape().Size() != slot.size() || s.best != nil && len(s.best[i]) != slot.size() {
			return fmt.Errorf("qlora: the checkpoint's parameter %s has another shape", slot.name)
		}
	}
	for i, m := range moments {
		if !m.Shape().Equal(s.moments[i].Shape()) {
			return fmt.Errorf("qlora: the checkpoint's moment %d has shape %s, this run's %s", i, s.moments[i].Shape(), m.Shape())
		}
	}
	return nil
}

func floatBytes(values []float32) []byte {
	out := make([]byte, 0, 4*len(values))
	for _, v := range values {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
	}
	return out
}

func bytesFloats(data []byte) []float32 {
	out := make([]float32, len(data)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return out
}
