"""Golden folders of tiny random models in the shapes of the Llama family, as transformers itself saves them.

Writes under inference/llama/testdata/families, each with expected.json (tokens, the logits after the last, 24 greedy tokens, by
transformers in float32 from the same files): llama2 (bf16 in shards, as many key-value heads as heads, untied head), llama32 (f16, tied, Llama
3 scaling by 32), smollm2 (f32, tied, three heads on one), bnb4 (bitsandbytes NF4 of bf16 weights with nested absmax and one linear layer left
in bf16, as Unsloth ships it) and bnb4plain (without nested absmax); and llama32.gguf, the same weights by llama.cpp's conventions.
Needs bitsandbytes, gguf, torch, transformers (oracles/requirements.txt).
"""

import json
import shutil
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from bitsandbytes import functional as bnb
from llama import TARGETS, answers
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

COMMON = dict(vocab_size=320, hidden_size=64, intermediate_size=128, num_hidden_layers=2, rms_norm_eps=1e-5, eos_token_id=2, bos_token_id=1)
SCALED = {
    "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192, "rope_theta": 500000.0,
}
SHAPES = {
    "llama2": dict(num_attention_heads=4, num_key_value_heads=4, tie_word_embeddings=False, max_position_embeddings=128),
    "llama32": dict(
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True, max_position_embeddings=131072, rope_parameters=SCALED,
        eos_token_id=[2, 5, 7],
    ),
    "smollm2": dict(
        hidden_size=48, num_attention_heads=3, num_key_value_heads=1, head_dim=16, tie_word_embeddings=True, max_position_embeddings=256,
        rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
    ),
    "bnb4": dict(num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False, max_position_embeddings=128),
}
SHAPES["bnb4plain"] = SHAPES["bnb4"]
DTYPES = {"llama2": torch.bfloat16, "llama32": torch.float16, "smollm2": torch.float32, "bnb4": torch.bfloat16, "bnb4plain": torch.bfloat16}
LEFT = "model.layers.1.mlp.down_proj.weight"


def random(name):
    torch.manual_seed(sum(name.encode()))
    model = LlamaForCausalLM(LlamaConfig(**(COMMON | SHAPES[name]))).eval()
    with torch.no_grad():
        for parameter, p in model.named_parameters():
            p.copy_(1 + 0.2 * torch.randn_like(p) if p.dim() == 1 else torch.randn_like(p) * (0.5 if "embed" in parameter else 0.15))
    return model.to(DTYPES[name])


def pack(folder, nested):
    """Packs the linear layers of a saved folder as bitsandbytes does and returns what they give back."""
    path = folder / "model.safetensors"
    state, out, back = load_file(path), {}, {}
    for name, values in state.items():
        if name == LEFT or not any(f".{target}." in name for target in TARGETS):
            out[name] = values
            continue
        packed, quantised = bnb.quantize_4bit(values, blocksize=64, compress_statistics=nested, quant_type="nf4")
        out[name] = packed
        for key, part in quantised.as_dict(packed=True).items():
            out[f"{name}.{key}"] = part.clone()
        # In float32: bitsandbytes itself would round to bf16, as its quant_state says.
        quantised.dtype = torch.float32
        back[name] = bnb.dequantize_4bit(packed, quantised)
    save_file(out, path, metadata={"format": "pt"})
    return back


def expected(folder, model):
    tokens = torch.randint(0, 320, (37,), generator=torch.Generator().manual_seed(3)).tolist()
    (folder / "expected.json").write_text(json.dumps({"tokens": tokens, "base": answers(model, tokens, 24)}) + "\n")


def to_gguf(model, path):
    c = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(c.num_hidden_layers)
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_head_count(c.num_attention_heads)
    writer.add_head_count_kv(c.num_key_value_heads)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    writer.add_rope_freq_base(SCALED["rope_theta"])
    writer.add_rope_dimension_count(16)
    writer.add_string("general.license", "test")
    tokens = [gguf_token(i) for i in range(320)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if i > 317 else 1 for i in range(320)])
    letters = "abcdefghijklmnopqrstuvwxyzABCDE"
    writer.add_token_merges([f"{a} {a}" for a in letters] + [f"{a}{a} {a}" for a in letters])
    writer.add_bos_token_id(318)
    writer.add_eos_token_id(319)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, c.num_hidden_layers)
    for name, p in model.named_parameters():
        values = p.detach().float().numpy()
        heads = c.num_attention_heads if "q_proj" in name else c.num_key_value_heads if "k_proj" in name else 0
        if heads:
            values = values.reshape(heads, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
        values = values.astype(np.float16 if p.dim() == 2 else np.float32)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), np.ascontiguousarray(values))
    plain = 1 / SCALED["rope_theta"] ** (np.arange(0, 16, 2) / 16)
    scaled = model.model.rotary_emb.inv_freq.float().numpy()
    writer.add_tensor("rope_freqs.weight", (plain / scaled).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def gguf_token(i):
    """A byte alphabet, 62 merged tokens and two special ones."""
    bs = list(range(33, 127)) + list(range(0xA1, 0xAD)) + list(range(0xAE, 0x100))
    alphabet = [chr(b) for b in bs] + [chr(256 + n) for n in range(256 - len(bs))]
    merged = [c * n for c in "abcdefghijklmnopqrstuvwxyzABCDE" for n in (2, 3)]
    return (alphabet + merged + ["<|begin_of_text|>", "<|end_of_text|>"])[i]


def main(root):
    base = root / "inference" / "llama" / "testdata" / "families"
    shutil.rmtree(base, ignore_errors=True)
    for name in SHAPES:
        folder = base / name
        model = random(name)
        model.save_pretrained(folder, max_shard_size="60KB" if name == "llama2" else "1GB")
        # Read back in float32: casting the model would leave its rotary frequencies in 16 bits.
        model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        if name.startswith("bnb4"):
            model.load_state_dict(pack(folder, name == "bnb4"), strict=False)
        expected(folder, model)
        if name == "llama32":
            to_gguf(model, base / "llama32.gguf")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
