"""Prints {path: [levels]} : 64 grey levels of each file after pydicom's modality and VOI LUT, scaled to [0, 1], MONOCHROME1 inverted.

The scale is that of the window (pydicom's output range), or least to greatest without one.
"""
import json
import sys
import warnings

import numpy as np
import pydicom
from pydicom.pixels import apply_modality_lut, apply_voi_lut

warnings.simplefilter("ignore")
out = {}
for path in sys.argv[1:]:
    ds = pydicom.dcmread(path)
    raw = ds.pixel_array
    values = apply_modality_lut(raw, ds)
    if "WindowWidth" in ds or "VOILUTSequence" in ds:
        values = apply_voi_lut(values, ds).astype(float)
        if "VOILUTSequence" in ds:
            low, high = 0, 2 ** int(ds.VOILUTSequence[0].LUTDescriptor[2]) - 1
        else:
            signed = ds.PixelRepresentation == 1
            low = -(2 ** (ds.BitsStored - 1)) if signed else 0
            high = 2 ** (ds.BitsStored - (1 if signed else 0)) - 1
            slope, intercept = float(ds.get("RescaleSlope", 1)), float(ds.get("RescaleIntercept", 0))
            if "ModalityLUTSequence" not in ds:
                low, high = low * slope + intercept, high * slope + intercept
    else:
        values = values.astype(float)
        low, high = values.min(), values.max()
    levels = (values - low) / max(high - low, 1e-9)
    if ds.PhotometricInterpretation == "MONOCHROME1":
        levels = 1 - levels
    flat = levels.reshape(-1)
    out[path] = [float(v) for v in flat[:: max(len(flat) // 64, 1)][:64]]
json.dump(out, sys.stdout)
