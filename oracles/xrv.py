"""Golden files of the classifier: what torchxrayvision itself makes of the chest radiographs of ../shared/data/chest.

Writes oracles/testdata/xrv.json (labels, operating points and size of every released set of weights, and the images' names) and xrv.safetensors:
"scores" [images, variants, 18] of torchxrayvision's DenseNet with weights drawn from a hash (xrv_weights.py) and each variant's operating
points, "cam" [images, 6, 7, 7] for the labels l with (l + image) % 3 = 0, scaled by its largest value with nothing below 0, and
"resnet" [8, 18] of its ResNet50 at 512 on the first 8 images. The modules themselves go to .cache/xrv, as torch.save and as torchxrayvision's
own loading code take them. Needs safetensors, scikit-image, torch, torchxrayvision.
"""

import csv
import json
import math
import sys
from pathlib import Path

import numpy as np
import skimage.io
import torch
import torchxrayvision as xrv
from safetensors.torch import save_file
from torchfile import as_loaded
from xrv_weights import fill

VARIANTS = [f"densenet121-res224-{name}" for name in ("all", "nih", "pc", "chex", "mimic_nb", "mimic_ch", "rsna")]
RESNET = "resnet50-res512-all"
RESNET_IMAGES = 8


def densenet():
    return fill(xrv.models.DenseNet(weights=None), "features.conv0.weight", "classifier")


def resnet(cache):
    """Lets torchxrayvision load its ResNet from a file of drawn weights under the released file's name."""
    import torchvision

    inner = torchvision.models.resnet50(num_classes=18, weights=None)
    inner.conv1 = torch.nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    fill(inner, "conv1.weight", "fc", "bn3")
    torch.save(inner.state_dict(), cache / Path(xrv.models.model_urls[RESNET]["weights_url"]).name)
    return xrv.models.ResNet(weights=RESNET, cache_dir=str(cache)).eval()


def picture(path, size):
    image = skimage.io.imread(path)
    if image.ndim == 3:
        image = image[..., :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    image = xrv.datasets.normalize(image, 255)[None]
    return torch.from_numpy(xrv.datasets.XRayResizer(size)(xrv.datasets.XRayCenterCrop()(image)))[None]


def cams(model, x, labels):
    features = torch.relu(model.features(x))[0]
    maps = torch.einsum("lc,chw->lhw", model.classifier.weight[labels], features).clamp(min=0)
    return maps / maps.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)


def released():
    table = {}
    for name in VARIANTS + [RESNET]:
        about = xrv.models.model_urls[name]
        table[name] = {
            "file": Path(about["weights_url"]).name, "labels": about["labels"], "size": about["input_resolution"],
            "thresholds": [None if math.isnan(t) else t for t in about["op_threshs"]],
        }
    return table


@torch.no_grad()
def main(root):
    out, cache = root / "oracles" / "testdata", root / ".cache" / "xrv"
    out.mkdir(parents=True, exist_ok=True)
    cache.mkdir(parents=True, exist_ok=True)
    data = root.parent / "shared" / "data" / "chest"
    names = [row["file"] for row in csv.DictReader(open(data / "manifest.csv"))]
    model = densenet()
    torch.save(model, cache / "densenet121.pt")
    scores, maps = [], []
    for i, name in enumerate(names):
        x = picture(data / name, 224)
        scores.append(torch.stack([as_loaded(model, v)(x)[0] for v in VARIANTS]))
        maps.append(cams(model, x, [l for l in range(18) if (l + i) % 3 == 0]))
    big = resnet(cache)
    rest = torch.cat([big(picture(data / name, 512)) for name in names[:RESNET_IMAGES]])
    spread = torch.stack(scores)[:, 0].std(dim=0)
    print(f"  spread of the scores over the images: {spread.min():.4f} to {spread.max():.4f}; resnet {rest.std(dim=0).max():.4f}")
    (out / "xrv.json").write_text(json.dumps({"released": released(), "variants": VARIANTS, "images": names}, indent=1) + "\n")
    save_file({"scores": torch.stack(scores), "cam": torch.stack(maps).contiguous(), "resnet": rest}, out / "xrv.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
