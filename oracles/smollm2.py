"""Golden file of a real model: what transformers makes of SmolLM2-135M-Instruct (GGUF, Q4_1) in float32.

Writes inference/llama/testdata/smollm2.json: for 50 prompts of at most 60 tokens their ids, every 256th logit after the last one, the
eight highest logits with their tokens, and 64 greedy tokens. Needs gguf, torch, transformers (oracles/requirements.txt).
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SPACING, LIMIT, LENGTH = 256, 60, 64
OPENINGS = [
    "FINDINGS: The heart is",
    "The frontal and lateral chest radiographs show",
    "<|im_start|>user\nWhat is a pleural effusion?<|im_end|>\n<|im_start|>assistant\n",
    "Effusion: 0.82 0.10\nCardiomegaly: 0.55 n/a\nPneumothorax: 0.03 0.04\nReport:",
    "def area(width, height):\n    return",
    "Once upon a time, in a small town by the sea,",
    "1, 1, 2, 3, 5, 8, 13,",
    "IMPRESSION: 1. No acute cardiopulmonary",
    "Größe, naïve, 東京, \U0001fac1:",
    "The capital of France is",
]
ENDINGS = ["", " There is", " No", "\n\n", " In summary, the"]


@torch.no_grad()
def main(root):
    folder = root / ".cache" / "models"
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=FILE, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
    out = []
    for opening in OPENINGS:
        for ending in ENDINGS:
            ids = tokenizer(opening + ending, add_special_tokens=False).input_ids[:LIMIT]
            logits = model(torch.tensor([ids])).logits[0, -1]
            top = logits.topk(8)
            case = {
                "text": opening + ending, "ids": ids, "spaced": [round(v, 5) for v in logits[::SPACING].tolist()],
                "top": top.indices.tolist(), "top_logits": [round(v, 5) for v in top.values.tolist()],
            }
            greedy = model.generate(
                torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), max_new_tokens=LENGTH, do_sample=False,
                eos_token_id=None, pad_token_id=0,
            )
            case["greedy"] = greedy[0, len(ids) :].tolist()
            out.append(case)
    text = ",\n".join(json.dumps(case) for case in out)
    (root / "inference" / "llama" / "testdata" / "smollm2.json").write_text(f"[\n{text}\n]\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
