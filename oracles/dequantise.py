"""Golden file of GGUF's block formats: what the reference implementation makes of given bytes.

Writes inference/gguf/testdata/golden.gguf with, for each format, a tensor NAME and NAME.values, its values as F32 by gguf.quants.
Where the package can quantise, real values are; elsewhere the blocks are random bytes with scales that are finite.
Needs gguf, numpy (oracles/requirements.txt).
"""

import sys
from pathlib import Path

import gguf
import numpy as np

ROWS, LENGTH = 3, 512
QUANTS = gguf.GGMLQuantizationType
# Where the 16-bit scales of a block lie.
SCALES = {QUANTS.Q4_K: (0, 2), QUANTS.Q5_K: (0, 2), QUANTS.Q6_K: (208,)}


def blocks(kind, rng):
    if kind not in SCALES:
        values = (rng.standard_normal((ROWS, LENGTH)) * 0.05).astype(np.float32)
        values[1, :64] = 0  # whole blocks of zeros
        values[2, 7] = 9.5  # an outlier
        return gguf.quants.quantize(values, kind)
    size, width = gguf.GGML_QUANT_SIZES[kind]
    raw = rng.integers(0, 256, (ROWS * LENGTH // size, width), dtype=np.uint8)
    for at in SCALES[kind]:
        scale = (rng.standard_normal(len(raw)) * 0.01).astype(np.float16)
        scale[0] = np.float16(6e-8)  # the smallest denormal
        raw[:, at : at + 2] = scale.view(np.uint8).reshape(-1, 2)
    return raw.reshape(ROWS, -1)


def main(root):
    rng = np.random.default_rng(20261124)
    folder = root / "inference" / "gguf" / "testdata"
    folder.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(folder / "golden.gguf", "llama")
    writer.add_uint32("golden.uint32", 7)
    writer.add_int32("golden.int32", -7)
    writer.add_float32("golden.float32", 0.5)
    writer.add_bool("golden.bool", True)
    writer.add_string("golden.string", "größe")
    writer.add_uint64("golden.uint64", 1 << 40)
    writer.add_array("golden.strings", ["a", "", "b c"])
    writer.add_array("golden.ints", [1, -2, 3])
    writer.add_array("golden.floats", [0.25, -1.5])
    for kind in [QUANTS.F32, QUANTS.F16, QUANTS.BF16, QUANTS.Q8_0, QUANTS.Q4_0, QUANTS.Q4_1, *SCALES]:
        data = blocks(kind, rng)
        writer.add_tensor(kind.name, data, raw_dtype=kind)
        writer.add_tensor(kind.name + ".values", gguf.quants.dequantize(data, kind).astype(np.float32).reshape(ROWS, LENGTH))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
