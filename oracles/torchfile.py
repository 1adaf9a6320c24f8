"""Golden files for reading torch.save: a tiny torchxrayvision DenseNet, random, in every form that weights come in.

Writes inference/torchfile/testdata: module.pt (a whole module as torchxrayvision 1.5.7 has it in memory after loading its "nih" weights: labels
and operating points inside), released.pt (a whole module in the older form, as the released files are: torch before 1.6 on a GPU, no label or
operating point, "_backend" in every module), state.pt (a state dict) and tensors.safetensors, what all of them hold.
Needs safetensors, torch, torchxrayvision.
"""

import sys
import types
from pathlib import Path

import torch
import torchxrayvision as xrv
from safetensors.torch import save_file
from xrv_weights import fill


def tiny():
    model = xrv.models.DenseNet(weights=None, growth_rate=4, block_config=(2, 1, 1, 1), num_init_features=8, bn_size=2)
    return fill(model, "features.conv0.weight", "classifier")


def as_loaded(model, weights):
    """Sets what torchxrayvision.models.DenseNet(weights=...) sets after loading."""
    about = xrv.models.model_urls[weights]
    model.weights = weights
    model.targets = model.pathologies = about["labels"]
    model.op_threshs = torch.tensor(about["op_threshs"])
    model.input_resolution = about["input_resolution"]
    return model


def as_released(model):
    """Makes a module what torch 1.2 would have pickled: its backend, and no list of temporary buffers."""
    backends = types.ModuleType("torch.nn.backends.thnn")

    def _get_thnn_function_backend():
        raise AssertionError("never called")

    _get_thnn_function_backend.__module__, _get_thnn_function_backend.__qualname__ = backends.__name__, "_get_thnn_function_backend"
    backends._get_thnn_function_backend = _get_thnn_function_backend
    sys.modules[backends.__name__] = backends

    class Backend:
        def __reduce__(self):
            return backends._get_thnn_function_backend, ()

    for module in model.modules():
        module._backend = Backend()
        del module.__dict__["_non_persistent_buffers_set"]
    del model.__dict__["weights"], model.__dict__["apply_sigmoid"], model._buffers["op_threshs"]
    return model


def main(root):
    out = root / "inference" / "torchfile" / "testdata"
    out.mkdir(parents=True, exist_ok=True)
    state = {name: t for name, t in tiny().state_dict().items() if t.is_floating_point()}
    save_file(state, out / "tensors.safetensors")
    torch.save(tiny().state_dict(), out / "state.pt")
    torch.save(as_loaded(tiny(), "densenet121-res224-nih"), out / "module.pt")
    torch.serialization.location_tag = lambda storage: "cuda:0"
    sources = torch.serialization.get_source_lines_and_file
    torch.serialization.get_source_lines_and_file = lambda of: (*sources(of)[:2], Path(sources(of)[2]).name)  # no path of this machine
    torch.save(as_released(tiny()), out / "released.pt", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
