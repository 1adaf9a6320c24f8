"""The peer of training, for `make bench-training`: PEFT on torch. Reads the work as JSON from standard input, writes figures as JSON."""

import json
import resource
import sys
import time

import peft
import torch
from transformers import LlamaConfig, LlamaForCausalLM

work = json.load(sys.stdin)
shape = {name: work["config"][name] for name in (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size",
    "max_position_embeddings", "rms_norm_eps", "rope_theta", "tie_word_embeddings")}
torch.manual_seed(1)
model = LlamaForCausalLM(LlamaConfig(**shape))
model.config.use_cache = False
layers = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
if not work["whole"]:
    model = peft.get_peft_model(model, peft.LoraConfig(r=work["rank"], lora_alpha=work["alpha"], target_modules=layers, task_type="CAUSAL_LM"))
model.train()
if work["checkpointing"]:
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
trained = [p for p in model.parameters() if p.requires_grad]
optimiser = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.0)
steps = []
for step in range(work["warm_ups"] + work["steps"]):
    tokens = torch.randint(0, shape["vocab_size"], (work["size"], work["length"] + 1))
    asked = tokens[:, 1:].clone()
    asked[:, : work["length"] - work["asked"]] = -100
    started = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=work["mixed"]):
        logits = model(input_ids=tokens[:, :-1]).logits.float()
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), asked.flatten(), ignore_index=-100)
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimiser.step()
    loss.item()
    if step >= work["warm_ups"]:
        steps.append(time.perf_counter() - started)
json.dump({
    "step_s": steps, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "engine": f"PEFT {peft.__version__}, torch {torch.__version__}",
}, sys.stdout)
