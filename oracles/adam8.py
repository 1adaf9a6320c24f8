"""Golden file of AdamW with 8-bit moments: what bitsandbytes' AdamW8bit makes of 20 steps on one matrix.

Writes finetune/qlora/testdata/adam8.json: settings and every 16th number of the matrix after the last step. Matrix and gradients
come from the rule in value(), which the Go test repeats.
"""

import json
import sys
from pathlib import Path

import bitsandbytes
import numpy as np
import torch

ROWS, COLUMNS, STEPS, PEAK, DECAY = 96, 80, 20, 1e-2, 0.01


def value(step):
    """Numbers in (-0.007, 0.007): whole-number arithmetic, then one division and one product in 32 bits."""
    i = np.arange(ROWS * COLUMNS, dtype=np.int64)
    whole = (i * 7919 + step * 104729) % 2003 - 1001
    return (whole.astype(np.float32) / np.float32(1001)) * (1 + i % 7).astype(np.float32) * np.float32(0.001)


def main(root):
    p = torch.nn.Parameter(torch.from_numpy(value(0) * np.float32(10)).reshape(ROWS, COLUMNS))
    optimiser = bitsandbytes.optim.AdamW8bit([p], lr=PEAK, betas=(0.9, 0.999), eps=1e-8, weight_decay=DECAY)
    for step in range(1, STEPS + 1):
        p.grad = torch.from_numpy(value(step)).reshape(ROWS, COLUMNS)
        optimiser.step()
    settings = {"rows": ROWS, "columns": COLUMNS, "steps": STEPS, "peak": PEAK, "decay": DECAY}
    final = [float(v) for v in p.detach().flatten()[::16]]
    out = root / "finetune" / "qlora" / "testdata" / "adam8.json"
    out.write_text(json.dumps(settings | {"bitsandbytes": bitsandbytes.__version__, "final": final}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
