"""Golden folder of a tiny random Llama: what transformers and PEFT make of NF4 weights, a LoRA adapter and a prefix.

Writes under inference/llama/testdata/tiny: config.json and model.safetensors (linear layers packed by bitsandbytes), the PEFT folders
adapter/ (LoRA) and prefix/ (prefix tuning), and expected.json: tokens, the last logits of the base and with each adapter, and the greedy
continuation.
Rows are multiples of 64: bitsandbytes 0.50's CPU kernel scales blocks that straddle two rows wrongly.
Needs bitsandbytes, peft, safetensors, torch, transformers (oracles/requirements.txt).
"""

import json
import sys
from pathlib import Path

import torch
from bitsandbytes import functional as bnb
from peft import LoraConfig, PrefixTuningConfig, get_peft_model
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
    "rope_theta": 500.0,
}


def tiny():
    torch.manual_seed(20261124)
    config = LlamaConfig(
        vocab_size=320, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=16, max_position_embeddings=128, rms_norm_eps=1e-5, rope_parameters=ROPE, tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(1 + 0.2 * torch.randn_like(p) if p.dim() == 1 else torch.randn_like(p) * (0.5 if "embed" in name else 0.15))
    return config, model


def pack(model):
    """Returns the state dict with NF4 linear layers and puts what they give back into the model."""
    out = {}
    with torch.no_grad():
        for name, p in model.named_parameters():
            if not any(f".{target}." in name for target in TARGETS):
                out[name] = p.detach().clone()
                continue
            packed, state = bnb.quantize_4bit(p.detach().clone(), blocksize=64, compress_statistics=True, quant_type="nf4")
            out[name] = packed
            for key, part in state.as_dict(packed=True).items():
                out[f"{name}.{key}"] = part.clone()
            p.copy_(bnb.dequantize_4bit(packed, state))
    return out


@torch.no_grad()
def answers(model, tokens, length, cached=True):
    ids = torch.tensor([tokens])
    logits = model(ids).logits[0]
    if cached:
        greedy = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=length, do_sample=False, eos_token_id=None, pad_token_id=0,
        )
    else:
        greedy = ids
        for _ in range(length):
            greedy = torch.cat([greedy, model(greedy).logits[:, -1:].argmax(-1)], 1)
    return {
        "last": [round(v, 6) for v in logits[-1].tolist()],
        "best": logits.argmax(-1).tolist(),
        "greedy": greedy[0, len(tokens) :].tolist(),
    }


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    config, model = tiny()
    save_file(pack(model), folder / "model.safetensors")
    shape = config.to_dict()
    keep = [
        "model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "head_dim", "vocab_size", "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings",
    ]
    written = {key: shape[key] for key in keep}
    written["architectures"] = ["LlamaForCausalLM"]
    # As Llama 3.1's own config.json has it; transformers 5 writes rope_parameters instead.
    written["rope_theta"] = ROPE["rope_theta"]
    written["rope_scaling"] = {key: value for key, value in ROPE.items() if key != "rope_theta"}
    (folder / "config.json").write_text(json.dumps(written, indent=1) + "\n")
    tokens = torch.randint(0, 256, (45,), generator=torch.Generator().manual_seed(5)).tolist()
    expected = {"tokens": tokens, "base": answers(model, tokens, 30)}
    prefixed = get_peft_model(model, PrefixTuningConfig(num_virtual_tokens=6, task_type="CAUSAL_LM"))
    torch.manual_seed(8)
    torch.nn.init.normal_(prefixed.prompt_encoder["default"].embedding.weight)
    # PEFT 0.21 hands generate() of transformers 5.24 its prefix under a name that is ignored there; the forward pass is right.
    expected["prefixed"] = answers(prefixed.eval(), tokens, 30, cached=False)
    prefixed.save_pretrained(folder / "prefix", safe_serialization=True)
    (folder / "prefix" / "README.md").unlink(missing_ok=True)
    model = get_peft_model(model, LoraConfig(r=4, lora_alpha=10, target_modules=TARGETS, bias="none", task_type="CAUSAL_LM"))
    torch.manual_seed(7)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_" in name:
                p.copy_(torch.randn_like(p) * 0.1)
    model.save_pretrained(folder / "adapter", safe_serialization=True)
    (folder / "adapter" / "README.md").unlink(missing_ok=True)
    settings = folder / "adapter" / "adapter_config.json"
    content = json.loads(settings.read_text())
    content["target_modules"].sort()  # PEFT writes a set, in any order
    settings.write_text(json.dumps(content, indent=1) + "\n")
    expected["adapted"] = answers(model, tokens, 30)
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    main(root / "inference" / "llama" / "testdata" / "tiny")
