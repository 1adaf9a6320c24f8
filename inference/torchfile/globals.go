package torchfile

import (
	"errors"
	"fmt"
)

// use says what the reader does with a name that a pickle asks for.
type use int

const (
	// class is a module's: an instance is kept as its state.
	class use = iota + 1
	// inert is a value that no weight depends on: it is kept as its name and arguments.
	inert
	// function is done by the reader itself; see call.
	function
	// elements is a storage's element type.
	elements
)

// known lists every name that may stand in a file. It holds what torchxrayvision's and torchvision's classifiers are made of, and what older
// versions of torch left in them.
var known = func() map[global]use {
	all := map[global]use{}
	add := func(u use, module string, names ...string) {
		for _, name := range names {
			all[global{module, name}] = u
		}
	}
	add(function, "collections", "OrderedDict")
	add(function, "__builtin__", "set")
	add(function, "builtins", "set")
	add(function, "torch", "Size")
	add(function, "torch._utils", "_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")
	add(elements, "torch", "FloatStorage", "HalfStorage", "BFloat16Storage", "LongStorage", "IntStorage", "ByteStorage", "CharStorage", "DoubleStorage",
		"ShortStorage", "BoolStorage")
	add(elements, "torch.cuda", "FloatStorage", "HalfStorage", "LongStorage")
	add(class, "torchxrayvision.models", "DenseNet", "_DenseBlock", "_DenseLayer", "_Transition", "ResNet")
	add(class, "torchvision.models.densenet", "DenseNet", "_DenseBlock", "_DenseLayer", "_Transition")
	add(class, "torchvision.models.resnet", "ResNet", "Bottleneck", "BasicBlock")
	add(class, "torch.nn.modules.activation", "ReLU")
	add(class, "torch.nn.modules.batchnorm", "BatchNorm2d")
	add(class, "torch.nn.modules.container", "Sequential", "ModuleList")
	add(class, "torch.nn.modules.conv", "Conv2d")
	add(class, "torch.nn.modules.dropout", "Dropout")
	add(class, "torch.nn.modules.linear", "Linear", "Identity")
	add(class, "torch.nn.modules.pooling", "AdaptiveAvgPool2d", "AvgPool2d", "MaxPool2d")
	add(class, "torch.nn.parallel.data_parallel", "DataParallel")
	add(inert, "torch", "device", "float32", "float16", "bfloat16")
	add(inert, "torch.nn.backends.thnn", "_get_thnn_function_backend") // torch before 1.5 left it in every module
	add(inert, "_codecs", "encode")                                    // how bytes are written in protocol 2
	add(inert, "numpy", "ndarray", "dtype")
	for _, module := range []string{"numpy.core.multiarray", "numpy._core.multiarray"} {
		add(inert, module, "_reconstruct", "scalar")
	}
	return all
}()

// call does what a function of the list does; a class and an inert name only keep their arguments.
func call(what any, args tuple) (any, error) {
	g, ok := what.(global)
	if !ok {
		return nil, fmt.Errorf("calls %T, which is no function", what)
	}
	switch known[g] {
	case class, inert:
		return &object{class: g, args: args}, nil
	case function:
		switch g.name {
		case "OrderedDict":
			return orderedDict(args)
		case "set", "Size":
			return first(args, g)
		case "_rebuild_parameter":
			t, err := first(args, g)
			if _, ok := t.(*tensor); err == nil && !ok {
				err = fmt.Errorf("%s of %T, want a tensor", g, t)
			}
			return t, err
		default:
			return rebuildTensor(args)
		}
	}
	return nil, fmt.Errorf("calls %s, which is no function", g)
}

func first(args tuple, g global) (any, error) {
	if len(args) == 0 {
		return nil, fmt.Errorf("%s without an argument", g)
	}
	return args[0], nil
}

func orderedDict(args tuple) (any, error) {
	d := &dict{}
	if len(args) == 0 {
		return d, nil
	}
	pairs, ok := items(args[0])
	if !ok || len(args) > 1 {
		return nil, errors.New("collections.OrderedDict of something else than pairs")
	}
	for _, p := range pairs {
		pair, ok := items(p)
		if !ok || len(pair) != 2 {
			return nil, errors.New("collections.OrderedDict of something else than pairs")
		}
		d.set(pair[0], pair[1])
	}
	return d, nil
}
