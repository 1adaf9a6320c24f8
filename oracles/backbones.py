"""Golden files of other backbones: what torchvision's own modules make of the first radiographs of ../shared/data/chest.

Writes oracles/testdata/backbones.json (how each network's weights are drawn, its tensors' names and shapes) and backbones.safetensors: logits [4, 18] of ResNet50, EfficientNet-B0 and ViT-B/16 with weights drawn from a hash
(xrv_weights.py), three equal channels normalised by ImageNet's means and deviations, 224 pixels.
Needs safetensors, scikit-image, torch, torchvision, torchxrayvision.
"""

import csv
import json
import sys
from pathlib import Path

import torch
import torchvision
from safetensors.torch import save_file
from xrv import picture
from xrv_weights import fill

IMAGES = 4
LABELS = 18
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
NETWORKS = {
    "resnet50": ("conv1.weight", "fc", "bn3", 1.0),
    "efficientnet_b0": ("features.0.0.weight", "classifier.1", "block.3.1", 1.3),
    "vit_b_16": ("conv_proj.weight", "heads.head", "", 1.0),
}


@torch.no_grad()
def main(root):
    data = root.parent / "shared" / "data" / "chest"
    names = [row["file"] for row in csv.DictReader(open(data / "manifest.csv"))][:IMAGES]
    levels = torch.cat([picture(data / name, 224) for name in names]) / 2048 + 0.5
    x = (levels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    out, about = {}, {}
    for name, (stem, head, residual, gain) in NETWORKS.items():
        model = fill(getattr(torchvision.models, name)(weights=None, num_classes=LABELS), stem, head, residual, gain)
        out[name] = model(x)
        shapes = {n: list(t.shape) for n, t in model.state_dict().items() if t.is_floating_point()}
        about[name] = {"stem": stem, "head": head, "residual": residual, "gain": gain, "tensors": shapes}
        print(f"  {name}: logits from {out[name].min():.3f} to {out[name].max():.3f}, spread over the images {out[name].std(dim=0).mean():.4f}")
    save_file(out, root / "oracles" / "testdata" / "backbones.safetensors")
    (root / "oracles" / "testdata" / "backbones.json").write_text(json.dumps(about, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
