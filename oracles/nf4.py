"""Golden file of NF4 with double quantisation: what bitsandbytes makes of given values, and gives back.

Writes inference/quant/testdata/nf4.safetensors. Each case NAME has NAME.values, the parts of bitsandbytes' own state dict under
NAME.weight..., and NAME.back, its dequantised values. Needs bitsandbytes, torch, safetensors (oracles/requirements.txt).
"""

import sys
from pathlib import Path

import torch
from bitsandbytes import functional as bnb
from safetensors.torch import save_file


def cases():
    rng = torch.Generator().manual_seed(20261124)

    def normal(*shape, spread=0.02):
        return torch.randn(*shape, generator=rng) * spread

    yield "normal", normal(130, 130)  # 265 blocks: two nested ones, the last block not whole
    yield "small", normal(6, 10)  # less than one block
    outliers = normal(16, 64)
    outliers[3, 5], outliers[9, 60] = 4.0, -7.5
    yield "outliers", outliers
    zeros = normal(8, 64)
    zeros[2] = 0
    yield "zeros", zeros
    yield "equal", torch.full((4, 64), 0.25)  # every magnitude is the mean: the nested ones are zero
    ties = torch.zeros(2, 64)
    code = bnb.get_4bit_type("nf4", device="cpu")
    ties[:, :15] = (code[1:] + code[:-1]) / 2  # half way between levels
    ties[:, 15] = 1
    yield "ties", ties


def main(folder):
    out = {}
    for name, values in cases():
        packed, state = bnb.quantize_4bit(values, blocksize=64, compress_statistics=True, quant_type="nf4")
        out[f"{name}.values"] = values
        out[f"{name}.weight"] = packed
        for key, part in state.as_dict(packed=True).items():
            out[f"{name}.weight.{key}"] = part.clone()
        out[f"{name}.back"] = bnb.dequantize_4bit(packed, state).contiguous()
        state.dtype = torch.bfloat16
        out[f"{name}.back16"] = bnb.dequantize_4bit(packed, state).contiguous()
        packed, state = bnb.quantize_4bit(values, blocksize=64, compress_statistics=False, quant_type="nf4")
        assert torch.equal(packed, out[f"{name}.weight"])
        out[f"{name}.plain.absmax"] = state.absmax.clone()
        out[f"{name}.plain.back"] = bnb.dequantize_4bit(packed, state).contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(out, folder / "nf4.safetensors")


if __name__ == "__main__":
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    main(root / "inference" / "quant" / "testdata")
