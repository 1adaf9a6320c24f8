"""Golden files of QLoRA and prefix tuning: what torch and PEFT make of 20 AdamW steps on the tiny model of oracles/llama.py.

Writes finetune/qlora/testdata/{steps.json,adapter.safetensors} of LoRA and {prefix.json,prefix.safetensors} of a prefix: batches, losses,
versions, and the adapter after the last step. The base stays what NF4 gives back; the loss is the weighted mean cross-entropy of the next token; the rate warms up over a twentieth of the steps
(at least one) and falls by a cosine to a twentieth; the whole gradient's norm is cut to 1.
Needs what oracles/llama.py needs.
"""

import json
import math
import sys
from pathlib import Path

import peft
import torch
import transformers
from llama import pack, tiny
from peft import PeftConfig, PeftModel, get_peft_model, load_peft_weights
from safetensors.torch import save_file

STEPS, PEAK, DECAY = 20, 5e-3, 0.1
SIZE, LENGTH = 3, 20


def rate(step):
    warm = max(STEPS // 20, 1)
    if step < warm:
        return PEAK * (step + 1) / warm
    return PEAK * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(STEPS - warm, 1))))


def train(root, adapter):
    """Trains on from an adapter's folder; returns the record and what has trained."""
    _, model = tiny()
    pack(model)
    folder = root / "inference" / "llama" / "testdata" / "tiny" / adapter
    if adapter == "prefix":  # which PEFT does not train on from a folder
        settings = PeftConfig.from_pretrained(folder)
        settings.inference_mode = False
        model = get_peft_model(model, settings)
        model.prompt_encoder["default"].load_prompt_embeddings(load_peft_weights(folder, device="cpu")["prompt_embeddings"])
    else:
        model = PeftModel.from_pretrained(model, folder, is_trainable=True)
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=PEAK, betas=(0.9, 0.98), eps=1e-8, weight_decay=DECAY)
    rng = torch.Generator().manual_seed(11)
    batches, losses, norms = [], [], []
    for step in range(STEPS):
        tokens = torch.randint(0, 320, (SIZE, LENGTH + 1), generator=rng)
        weights = (torch.rand(SIZE, LENGTH, generator=rng) * 4).round() / 2
        logits = model(tokens[:, :-1]).logits
        each = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
        loss = (each * weights.flatten()).sum() / weights.sum()
        optimiser.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(trained, 1.0)))
        for group in optimiser.param_groups:
            group["lr"] = rate(step)
        optimiser.step()
        batches.append({"tokens": tokens.flatten().tolist(), "weights": weights.flatten().tolist()})
        losses.append(loss.item())
    settings = {"steps": STEPS, "peak": PEAK, "decay": DECAY, "size": SIZE, "length": LENGTH}
    versions = {m.__name__: m.__version__ for m in (peft, torch, transformers)}
    state = {name.replace(".default", ""): p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    return settings | {"versions": versions, "losses": losses, "norms": norms, "batches": batches}, state


def main(root):
    out = root / "finetune" / "qlora" / "testdata"
    out.mkdir(parents=True, exist_ok=True)
    record, state = train(root, "adapter")
    (out / "steps.json").write_text(json.dumps(record) + "\n")
    save_file(state, out / "adapter.safetensors")
    record, state = train(root, "prefix")
    (out / "prefix.json").write_text(json.dumps(record) + "\n")
    save_file({"prompt_embeddings": next(iter(state.values()))}, out / "prefix.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
