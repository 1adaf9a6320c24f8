package xrv

import (
	"errors"
	"fmt"
	"strings"

	"llamaxr/inference/safetensors"

	. "github.com/gomlx/gomlx/core/graph"
)

// network is an architecture whose measures are known.
type network interface {
	fmt.Stringer
	// channels of the input, and its side in pixels: anySide where any multiple of 32 will do.
	channels() int
	side() int
	// params takes the tensors that the network needs.
	params(r *reader, outputs int) *weights
	// forward maps x [N, S, S, C] to logits [N, outputs] and the class-activation map of each cell [N, h, w, outputs], nil where the
	// architecture has none.
	forward(p func(string) *Node, x *Node) (logits, cam *Node)
}

// architectures are told apart by a tensor that only they have; the classifier's bias says how many outputs there are.
var architectures = []struct {
	probe, outputs string
	measure        func(shapes map[string][]int) (network, error)
}{
	{"features.denseblock1.denselayer1.conv1.weight", "classifier.bias", func(shapes map[string][]int) (network, error) { return shapeOf(shapes) }},
	{"layer1.0.conv3.weight", "fc.bias", resnetOf},
	{"features.1.0.block.0.0.weight", "classifier.1.bias", efficientNetOf},
	{"encoder.pos_embedding", "heads.head.bias", visionTransformerOf},
}

// anySide is the side of a network that takes pictures of any size.
const anySide = 0

// prefixes are what stands before the names where a network was saved inside another module.
var prefixes = []string{"", "module.", "model.", "module.model."}

// recognise finds out which network the tensors are of, and how many outputs it has.
func recognise(from Tensors) (net network, r *reader, outputs int, err error) {
	all := from.Shapes()
	for _, a := range architectures {
		for _, prefix := range prefixes {
			if all[prefix+a.probe] == nil {
				continue
			}
			shapes := map[string][]int{}
			for name, shape := range all {
				if rest, ok := strings.CutPrefix(name, prefix); ok {
					shapes[rest] = shape
				}
			}
			bias := shapes[a.outputs]
			if len(bias) != 1 || bias[0] < 1 || bias[0] > maxOutputs {
				return nil, nil, 0, fmt.Errorf("xrv: tensor %s has shape %v, want 1 to %d outputs", prefix+a.outputs, bias, maxOutputs)
			}
			net, err := a.measure(shapes)
			return net, &reader{from: from, shapes: shapes, prefix: prefix, taken: map[string]safetensors.Tensor{}}, bias[0], err
		}
	}
	return nil, nil, 0, errors.New("xrv: the tensors are of no architecture that is known here (DenseNet, ResNet with bottlenecks, EfficientNet-B0, ViT)")
}

// maxOutputs bounds the labels of a classifier.
const maxOutputs = 1024

// Describe names the network that the tensors are of, and returns the number of its outputs and of its input's channels.
func Describe(from Tensors) (architecture string, outputs, channels int, err error) {
	net, _, outputs, err := recognise(from)
	if err != nil {
		return "", 0, 0, err
	}
	return net.String(), outputs, net.channels(), nil
}

// Extract reads and checks all tensors that scoring with the card needs and returns them under the network's own names.
func Extract(from Tensors, card *Card) (map[string]safetensors.Tensor, error) {
	_, r, _, err := open(from, card)
	if err != nil {
		return nil, err
	}
	return r.taken, nil
}

// open takes the weights and holds the card to them.
func open(from Tensors, card *Card) (network, *reader, *weights, error) {
	if err := card.check(); err != nil {
		return nil, nil, nil, err
	}
	net, r, outputs, err := recognise(from)
	if err != nil {
		return nil, nil, nil, err
	}
	switch {
	case card.Architecture != "" && card.Architecture != net.String():
		return nil, nil, nil, fmt.Errorf("xrv: card says %s, the weights are those of a %s", card.Architecture, net)
	case outputs != len(card.Labels):
		return nil, nil, nil, fmt.Errorf("xrv: card has %d labels, the weights have %d outputs", len(card.Labels), outputs)
	case net.channels() != len(card.Input.Mean):
		return nil, nil, nil, fmt.Errorf("xrv: card has an input of %d channels, the weights take %d", len(card.Input.Mean), net.channels())
	}
	if side := net.side(); side != anySide && side != card.Input.Size {
		return nil, nil, nil, fmt.Errorf("xrv: card has an input of %d pixels, the weights take %d", card.Input.Size, side)
	}
	w := net.params(r, outputs)
	return net, r, w, r.err
}

func (s Shape) channels() int { return s.Channels }
func (s Shape) side() int     { return anySide }

func (s Shape) forward(p func(string) *Node, x *Node) (logits, cam *Node) {
	net := Network{
		Shape: s, Weight: p,
		Norm: func(name string, x *Node) *Node {
			if scale := p(name + ".scale"); scale != nil {
				x = Mul(x, ExpandLeftToRank(scale, 4))
			}
			return Add(x, ExpandLeftToRank(p(name+".shift"), 4))
		},
	}
	return pooled(net.Forward(x), p("classifier.weight"), p("classifier.bias"))
}

// pooled is a linear layer after mean pooling; before pooling it gives each cell's part, the class-activation map (Zhou et al. 2016).
func pooled(features, weight, bias *Node) (logits, cam *Node) {
	d := features.Shape().Dimensions
	cam = MatMul(Reshape(features, d[0]*d[1]*d[2], d[3]), Transpose(weight, 0, 1))
	cam = Reshape(cam, d[0], d[1], d[2], weight.Shape().Dimensions[0])
	return Add(ReduceMean(cam, 1, 2), ExpandLeftToRank(bias, 2)), cam
}
