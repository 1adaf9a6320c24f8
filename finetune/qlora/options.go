// Package qlora trains Llama models on GoMLX: all parameters, or over a frozen base, whose linear layers are what NF4 gives back
// (QLoRA, Dettmers et al. 2023), a LoRA adapter or a prefix (Li and Liang 2021). The loss is the cross-entropy of the next token, weighted
// token by token, so that a prompt can weigh nothing. A run that was interrupted goes on from its last checkpoint and ends with the weights
// that it would have had without the interruption, bit for bit on a CPU.
package qlora

import (
	"context"
	"math"

	"llamaxr/inference/llama"
)

// Batch is B sequences of T+1 tokens: the model reads the first T and is asked for the last T; Weights [B*T] says how much each
// asked token counts.
type Batch struct {
	Size, Length int
	Tokens       []int32 // B * (T+1)
	Weights      []float32
}

// askedParts: the asked places are filled up to a multiple of this part of a batch, so that few lengths are compiled.
const askedParts = 2

// asked lists the places, counted over all sequences, whose weight is not zero, with their weights. What fills the list weighs nothing.
func (b Batch) asked() (places []int32, weights []float32) {
	for at, w := range b.Weights {
		if w != 0 {
			places, weights = append(places, int32(at)), append(weights, w)
		}
	}
	part := max((len(b.Weights)+askedParts-1)/askedParts, 1)
	for len(places) == 0 || len(places)%part != 0 {
		places, weights = append(places, 0), append(weights, 0)
	}
	return places, weights
}

// passTokens is how many tokens go through the network at once, if a row has not more: the activations of more take memory (of 4 x 256 on
// SmolLM2-135M a GB and a half) and save hardly any time.
const passTokens = 512

// passes are the batch in parts of as many whole rows, no more than so many tokens each unless one row has.
func (b Batch) passes(tokens int) (out []Batch) {
	rows := max(min(tokens/max(b.Length, 1), b.Size), 1)
	for b.Size%rows != 0 { // of one shape, which is compiled once
		rows--
	}
	for at := 0; at < b.Size; at += rows {
		out = append(out, Batch{rows, b.Length, b.Tokens[at*(b.Length+1) : (at+rows)*(b.Length+1)], b.Weights[at*b.Length : (at+rows)*b.Length]})
	}
	return out
}

// mostWhole is the most parameters of a model whose layers are all in one graph, unless its options say otherwise: it takes about 20 bytes for each.
const mostWhole = 500_000_000

// Options are the settings of one run.
type Options struct {
	Config *llama.Config
	// Base are the weights to start from. They train, unless Rank or Prefix is above zero: then they stay and an adapter trains.
	Base llama.Weights
	// Source has them where Base is nil. With checkpointing its matrices in 4 bits stay so in memory.
	Source      *llama.Source
	Rank, Alpha int
	Prefix      int // virtual tokens of a prefix; not with a Rank
	// Adapter is one to go on from, of the same rank and alpha, or as long a prefix; nil starts a new one.
	Adapter *llama.Adapter
	Seed    uint64

	// Next makes the batches, counted from 0 through the run; the same number gives the same batch.
	Next       func(batch int) Batch
	Steps      int
	Accumulate int // batches whose gradients make one step; 0 is 1
	PeakRate   float64
	Schedule   Schedule // Cosine when nil
	Decay      float64  // AdamW's weight decay of matrices
	Beta2      float64  // 0.98 when 0
	// Checkpointing computes a layer's inside again on the way back instead of keeping it: a model of many layers trains in the memory of one, at
	// a quarter to a half more time. A model with more parameters than mostWhole trains so anyway.
	Checkpointing bool
	// Mixed rounds what goes into the products with matrices to bfloat16; a base that stays is kept so. Sums, the adapter, norms, softmax, loss
	// and the optimiser are float32.
	Mixed bool
	// EightBit keeps AdamW's moments in 8 bits, block by block, as bitsandbytes does.
	EightBit bool

	// Validate are batches that never train. Every ValidateEvery steps their loss is measured; the best weights are what the run
	// returns, and after Patience measurements without a better one it stops. None: the last weights are returned.
	Validate      []Batch
	ValidateEvery int
	Patience      int // 0 never stops early

	passTokens int // passTokens when 0

	// Checkpoint is given the whole state every CheckpointEvery steps; Resume goes on from one.
	Checkpoint      func(*State) error
	CheckpointEvery int
	Resume          *State

	// Yield is called before each step and may wait: a study that arrives is drafted first.
	Yield    func(context.Context) error
	Progress func(step int, loss float64)
	// Validated is told each validation loss, by the number of steps done.
	Validated func(steps int, loss float64, best bool)
}

// Result is what a run leaves: trained weights, or an adapter.
type Result struct {
	Weights llama.Weights
	Adapter *llama.Adapter
	// Steps done in all, and after how many the returned weights were had.
	Steps, BestStep int
	// BestLoss is the validation loss of the returned weights; NaN without validation.
	BestLoss float64
}

// Schedule is the rate's share of its peak at a step.
type Schedule func(step, steps int) float64

// Cosine warms up over a twentieth of the steps and falls by a cosine to a twentieth.
func Cosine(step, steps int) float64 {
	warm := max(steps/20, 1)
	if step < warm {
		return float64(step+1) / float64(warm)
	}
	t := float64(step-warm) / float64(max(steps-warm, 1))
	return 0.05 + 0.95*0.5*(1+math.Cos(math.Pi*t))
}

// Linear warms up over the given number of steps and falls to zero (transformers' get_linear_schedule_with_warmup, the paper's).
func Linear(warm int) Schedule {
	return func(step, steps int) float64 {
		if step < warm {
			return float64(step) / float64(max(warm, 1))
		}
		return max(0, float64(steps-step)/float64(max(steps-warm, 1)))
	}
}

const (
	beta1        = 0.9
	defaultBeta2 = 0.98
	epsilon      = 1e-8
	// little keeps a step in which nothing is asked from dividing by zero.
	little = 1e-6
	// clip bounds the norm of a whole gradient.
	clip = 1.0
)

// full reports whether the base's own weights train.
func (o *Options) full() bool { return o.Rank == 0 && o.Prefix == 0 }

// inPieces reports whether layers have a graph of their own.
func (o *Options) inPieces() bool {
	return o.Checkpointing || o.large()
}

func (o *Options) large() bool { return Trainable(o.Config, 0, 0) > mostWhole }

func (o *Options) defaults() {
	if o.Schedule == nil {
		o.Schedule = Cosine
	}
	if o.Beta2 == 0 {
		o.Beta2 = defaultBeta2
	}
	o.Accumulate = max(o.Accumulate, 1)
	if o.passTokens == 0 {
		o.passTokens = passTokens
	}
}
