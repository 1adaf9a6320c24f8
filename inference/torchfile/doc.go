// Package torchfile reads what torch.save wrote: a state dict, or a whole module as torchxrayvision released its weights. Both of
// torch's forms are read: the zip archive, and the stream of pickles that it wrote before version 1.6 (torch/serialization.py).
//
// A pickle is a program. This one is never run: the reader knows the instructions that saved models are made of, takes names of classes and
// functions from a fixed list, does the few functions itself that put tensors together, and keeps an object as the name of its class
// beside its state. Anything else is refused by name, so a file that would start a program, read a file or fill the memory is an error.
//
//	file, err := torchfile.Open(reader, size)
//	kernel, err := file.Tensor("features.conv0.weight")
package torchfile
