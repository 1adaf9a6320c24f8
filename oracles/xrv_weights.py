"""Weights that Go makes again: each number is drawn from a hash of its tensor's name and its place, and no file has to hold them.

Element i of tensor NAME is v = 2 u - 1 with u = (splitmix64(fnv1a64(NAME) + i) >> 40) / 2^24, then scale * v + offset in float32;
oracles/drawn_test.go has the same and says which scale and offset a name gets.
"""

import math

import numpy as np
import torch

MASK = (1 << 64) - 1


def fnv1a64(text):
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = (h ^ byte) * 0x100000001B3 & MASK
    return h


def drawn(name, count):
    """Returns count float32 values in [-1, 1) for a tensor's name."""
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a64(name)) + np.arange(count, dtype=np.uint64)
        z += np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)


def scale_of(name, shape, stem, residual, head, gain):
    """Scale and offset of a tensor: kernels as He et al. 2015, norms around the identity, the stem for inputs up to 1024."""
    if name == head + ".bias":
        return 2.0, -2.0
    if name.endswith("running_var"):
        return 0.5, 1.0
    if len(shape) == 1 and name.endswith(".weight"):
        return (0.1, 0.3) if residual and residual in name else (0.5, 1.0)
    if len(shape) == 1 or "token" in name or "pos_embedding" in name:
        return 0.3, 0.0
    spread = gain * math.sqrt(6 / math.prod(shape[1:]))
    return (spread / 512 if name == stem and shape[1] == 1 else spread), 0.0


def fill(model, stem, head, residual="", gain=1.0):
    """Gives every floating tensor of a module's state its drawn values; gain makes up for what gates take from kernels' outputs."""
    state = model.state_dict()
    for name, t in state.items():
        if not t.is_floating_point() or name.endswith("op_threshs"):
            continue
        scale, offset = scale_of(name, list(t.shape), stem, residual, head, gain)
        values = drawn(name, t.numel()) * np.float32(scale) + np.float32(offset)
        state[name] = torch.from_numpy(values.astype(np.float32)).reshape(t.shape)
    model.load_state_dict(state)
    return model.eval()
