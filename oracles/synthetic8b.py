"""A Hugging Face folder in the shape of Llama 3.1 8B: its config, bf16 shards of random weights, and a small tokenizer filled up with special tokens.

Writes 16 GB into the folder given. It stands in for the real weights where those cannot be had: `llamaxr models import` must take it within
3 GB of memory. Needs nothing but Python.
"""

import json
import random
import struct
import sys
from array import array
from pathlib import Path

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "attention_bias": False, "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009],
    "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 131072, "mlp_bias": False,
    "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192, "rope_type": "llama3",
    },
    "rope_theta": 500000.0, "tie_word_embeddings": False, "torch_dtype": "bfloat16", "vocab_size": 128256,
}
SHARDS = 4


def shapes():
    hidden, middle, kv = 4096, 14336, 1024
    out = {"model.embed_tokens.weight": [128256, hidden], "lm_head.weight": [128256, hidden], "model.norm.weight": [hidden]}
    for i in range(32):
        base = f"model.layers.{i}."
        for name in ("input_layernorm", "post_attention_layernorm"):
            out[f"{base}{name}.weight"] = [hidden]
        for name, shape in {"q": [hidden, hidden], "k": [kv, hidden], "v": [kv, hidden], "o": [hidden, hidden]}.items():
            out[f"{base}self_attn.{name}_proj.weight"] = shape
        for name, shape in {"gate": [middle, hidden], "up": [middle, hidden], "down": [hidden, middle]}.items():
            out[f"{base}mlp.{name}_proj.weight"] = shape
    return out


def bf16(values):
    return array("H", (struct.unpack("<I", struct.pack("<f", v))[0] >> 16 for v in values)).tobytes()


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Path(__file__).resolve().parent.parent / "inference" / "llama" / "testdata" / "tokenizer" / "llama3" / "tokenizer.json"
    words = json.loads(tokenizer.read_text())
    known = len(words["model"]["vocab"]) + len(words["added_tokens"])
    words["added_tokens"] += [
        {"id": i, "content": f"<|filler_{i}|>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        for i in range(known, CONFIG["vocab_size"])
    ]
    (folder / "tokenizer.json").write_text(json.dumps(words) + "\n")
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=1) + "\n")
    (folder / "README.md").write_text("---\nlicense: synthetic\n---\n")
    rng = random.Random(8)
    block = bf16(rng.gauss(0, 0.02) for _ in range(1 << 20))
    ones = bf16([1.0] * 4096)
    names = sorted(shapes())
    weight_map, total = {}, 0
    for shard in range(SHARDS):
        file = f"model-{shard + 1:05d}-of-{SHARDS:05d}.safetensors"
        mine, header, at = names[shard::SHARDS], {}, 0
        for name in mine:
            shape = shapes()[name]
            size = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
            header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
            at += size
            weight_map[name] = file
        text = json.dumps(header).encode()
        with open(folder / file, "wb") as out:
            out.write(struct.pack("<Q", len(text)) + text)
            for name in mine:
                size = header[name]["data_offsets"][1] - header[name]["data_offsets"][0]
                if len(header[name]["shape"]) == 1:
                    out.write(ones)
                    continue
                for start in range(0, size, len(block)):
                    out.write(block[: size - start])
        total += at
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
