"""Oracle of TestGrayAgainstPydicom: writes synthetic objects and, for these and given files, what pydicom makes of them.

usage: greys.py FOLDER [FILE...]; prints one JSON line a file: the file, and a file of little endian float32 in [0, 1],
and one of the modality values, not a number where there is padding.
"""
import itertools, json, os, sys, warnings
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut, apply_windowing, pixel_array
from pydicom.sequence import Sequence

warnings.simplefilter("ignore")
folder = sys.argv[1]
rng = np.random.default_rng(7)


def base(name, bits, signed, photometric, syntax):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    meta.TransferSyntaxUID = syntax
    ds = FileDataset(name, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3.4"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = "1.2.3", "1.2.3.1", "DX"
    ds.Rows, ds.Columns, ds.SamplesPerPixel = 48, 64, 1
    ds.BitsAllocated = 8 if bits <= 8 else 16
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = bits, bits - 1, int(signed)
    ds.PhotometricInterpretation = photometric
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    kind = ("i" if signed else "u") + ("1" if bits <= 8 else "2")
    ds.PixelData = rng.integers(low, high + 1, (48, 64)).astype("<" + kind).tobytes()
    return ds, low, high


def lut(entries, first, bits, signed, ow):
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if signed else "US", [entries if entries < 65536 else 0, first, bits])
    values = np.sort(rng.integers(0, 1 << bits, entries)).astype("<u2")
    if ow:
        item.add_new("LUTData", "OW", values.tobytes())
    else:
        item.add_new("LUTData", "US", [int(v) for v in values])
    return item


def expected(ds):
    arr = apply_modality_lut(pixel_array(ds, raw=True), ds)
    y = apply_voi_lut(arr, ds)
    if ds.get("VOILUTSequence"):
        x = y / float(2 ** ds.VOILUTSequence[0].LUTDescriptor[2] - 1)
    elif "WindowCenter" in ds:
        low, high = apply_windowing(np.array([-1e12, 1e12]), ds)
        x = (y - low) / (high - low)
    else:
        return None
    if ds.PhotometricInterpretation == "MONOCHROME1" or ds.get("PresentationLUTShape") == "INVERSE":
        x = 1 - x
    padding = ds.get("PixelPaddingValue")
    if padding is not None:
        x = np.where(pixel_array(ds, raw=True) == padding, 0, x)
    return np.clip(x, 0, 1).astype("<f4")


def emit(path, ds):
    x = expected(ds)
    if x is None:
        return
    out = os.path.join(folder, "expected%d" % emit.count)
    emit.count += 1
    x.tofile(out)
    raw = pixel_array(ds, raw=True)
    modality = apply_modality_lut(raw, ds).astype("<f4")
    if ds.get("PixelPaddingValue") is not None:
        modality[raw == ds.PixelPaddingValue] = np.nan
    modality.tofile(out + ".modality")
    print(json.dumps({"file": path, "expected": out, "modality": out + ".modality", "rows": ds.Rows, "columns": ds.Columns}))


emit.count = 0
n = 0
for bits, signed, photometric, voi, modality, syntax in itertools.product(
    (8, 10, 12, 15, 16), (False, True), ("MONOCHROME1", "MONOCHROME2"),
    ("LINEAR", "LINEAR_EXACT", "SIGMOID", "LUT", "LUT-OW"), ("none", "rescale", "lut"),
    ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1"),
):
    n += 1
    if n % 3:  # a third of the combinations
        continue
    ds, low, high = base("x", bits, signed, photometric, syntax)
    middle, width = (low + high) / 2, (high - low) / 2
    if modality == "rescale":
        slope = 1.5 if n // 6 % 2 else -1.5
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = str(slope), "-100", "US"
        middle, width = middle * slope - 100, width * 1.5
    if modality == "lut":
        # pydicom subtracts the first value in the pixels' own type, which overflows for 16 bits
        first = 0 if bits in (8, 16) else max(low, -300)
        ds.ModalityLUTSequence = Sequence([lut(min(high - low + 1, 4096), first, 16, signed, False)])
        middle, width = 32768, 20000
    if voi.startswith("LUT"):
        start = 0 if modality == "lut" else int(middle - width / 4)
        # pydicom indexes tables of 8 bits with 8 bits: only then is it right
        depth = 8 if (bits, signed, modality) == (8, False, "none") else (10, 12, 14, 16)[n % 4]
        ds.VOILUTSequence = Sequence([lut(256 if n % 2 or depth == 8 else 1000, max(start, -32768) if signed else max(start, 0), depth, signed, voi == "LUT-OW")])
    else:
        ds.WindowCenter, ds.WindowWidth = [f"{middle:.6g}", "17"], [f"{width:.6g}", "9"]
        if voi != "LINEAR" or n % 2:
            ds.VOILUTFunction = voi
    if photometric == "MONOCHROME1" and n % 2:
        ds.PresentationLUTShape = "INVERSE"
    if photometric == "MONOCHROME2" and n % 5 == 0:
        ds.PresentationLUTShape = "INVERSE"
    if n % 4 == 0:
        ds.add_new("PixelPaddingValue", "SS" if signed else "US", int(pixel_array(ds, raw=True)[3, 3]))
    path = os.path.join(folder, "synthetic%d.dcm" % n)
    ds.save_as(path, enforce_file_format=True)
    emit(path, pydicom.dcmread(path))

# The first value of a VOI LUT has the sign of the values that come in, which a rescale makes of the stored ones.
for name, signed, intercept, first in (
    ("negative", False, -1024, -1024), ("negative-written-as-positive", False, -1024, -1024), ("positive", True, 32768, 32768),
):
    ds, low, high = base("x", 12 if not signed else 16, signed, "MONOCHROME2", "1.2.840.10008.1.2.1")
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = "1", str(intercept), "US"
    ds.VOILUTSequence = Sequence([lut(4096 if not signed else 20000, first, 16, first < 0, True)])
    path = os.path.join(folder, name + ".dcm")
    if name.endswith("written-as-positive"):
        del ds.VOILUTSequence[0]["LUTDescriptor"]
        ds.VOILUTSequence[0].add_new("LUTDescriptor", "US", [4096, first & 0xFFFF, 16])
    ds.save_as(path, enforce_file_format=True)
    ds = pydicom.dcmread(path)
    ds.VOILUTSequence[0].LUTDescriptor[1] = first
    emit(path, ds)

for path in sys.argv[2:]:
    emit(path, pydicom.dcmread(path))
