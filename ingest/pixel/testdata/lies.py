"""Oracle of TestContradictions: writes a real radiograph as objects whose header is right or contradicts the pixel data.

usage: lies.py FOLDER RADIOGRAPH; prints one JSON line an object: the file, and whether pydicom reads out of it the values that were meant and
torchxrayvision would take them, which refuses values above Bits Stored. Of lossy ones, which have values a little above, it names a file of those
that pydicom reads, cut to Bits Stored.
"""
import json, os, struct, sys, warnings
import jpeg_ls
import numpy as np
from openjpeg.utils import encode_array
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import pixel_array

warnings.simplefilter("ignore")
folder, source = sys.argv[1:]
raw = pixel_array(pydicom.dcmread(source), raw=True).astype(float)
raw = raw.max() - raw
rows, columns = raw.shape[0] // 4, raw.shape[1] // 4
raw = raw[: 4 * rows, : 4 * columns].reshape(rows, 4, columns, 4).mean((1, 3))
low, high = np.percentile(raw, [0.1, 99.9])
share = np.clip((raw - low) / (high - low), 0, 1) * 0.98 + 0.01
EXPLICIT, RLE, JLS = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80"
J2K, LOSSY = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"


def bits(n):
    return np.round(share * (2**n - 1)).astype("<i4")


def write(name, meant, words, stored, high=None, signed=0, allocated=16, syntax=EXPLICIT, frames=None, **attributes):
    """frames are codestreams; without any the words are the pixel data, or are compressed with RLE."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.3.4"
    meta.TransferSyntaxUID = EXPLICIT if syntax == RLE and not frames else syntax
    ds = FileDataset(name, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3.4"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = "1.2.3", "1.2.3.1", "DX"
    ds.Rows, ds.Columns = meant.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = allocated, stored, high or stored - 1, signed
    if frames:
        ds.PixelData = encapsulate(frames)
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    else:
        ds.PixelData = words if isinstance(words, bytes) else (words & (2**allocated - 1)).astype(f"<u{allocated // 8}").tobytes()
        ds["PixelData"].VR = "OW"
        if syntax == RLE:
            ds.compress(RLE, generate_instance_uid=False)
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    path = os.path.join(folder, name + ".dcm")
    ds.save_as(path, enforce_file_format=True)
    read = pixel_array(pydicom.dcmread(path), raw=True, index=None if syntax != EXPLICIT else 0)
    least, most = (-(2 ** (stored - 1)), 2 ** (stored - 1) - 1) if signed else (0, 2**stored - 1)
    if syntax == LOSSY:
        assert read.max() > most or read.min() < least
        np.clip(read, least, most).tofile(path + ".values")
        print(json.dumps({"file": path, "meant": True, "values": path + ".values"}))
        return
    print(json.dumps({"file": path, "meant": bool(read.shape == meant.shape and np.array_equal(read, meant) and least <= read.min() and read.max() <= most)}))


def jls(words, depth):
    return bytes(jpeg_ls.encode_pixel_data(
        words.astype("<u2").tobytes(), lossy_error=0, rows=rows, columns=columns, samples_per_pixel=1, bits_stored=depth, bits_allocated=16, planar_configuration=0))


def j2k(words, depth, signed, **options):
    return bytes(encode_array(words.astype("<i2" if signed else "<u2"), bits_stored=depth, photometric_interpretation=2, **options))


twelve, text = bits(12), np.zeros((rows, columns), "i4")
text[100:110, 50:400] = text[200:260, 60:64] = 1
for n in (8, 10, 12, 14, 15, 16):
    write(f"right{n}", bits(n), bits(n), n)
    write(f"right{n}signed", bits(n) - 2 ** (n - 1), bits(n) - 2 ** (n - 1), n, signed=1)
    write(f"right{n}signed-bits-cleared", bits(n) - 2 ** (n - 1), (bits(n) - 2 ** (n - 1)) & (2**n - 1), n, signed=1)
write("more-bits-than-used", twelve, twelve, 16)
write("high-bit-wrong", twelve, twelve, 12, high=15)
write("overlay-in-high-bits", twelve, twelve | text << 12, 12)
write("noise-in-high-bits", twelve, twelve | np.random.default_rng(1).integers(0, 16, twelve.shape) << 12, 12)
write("marker-white", twelve * (1 - text) + 4095 * text, twelve * (1 - text) + 4095 * text, 12)
write("border-white", np.pad(twelve, 40, constant_values=4095), np.pad(twelve, 40, constant_values=4095), 12)
write("border-black", np.pad(twelve, 40), np.pad(twelve, 40), 12)
write("fewer-bits-12-for-13", twelve * 41 // 40, twelve * 41 // 40, 12)
for n, stored in ((12, 8), (12, 10), (14, 12), (16, 12)):
    write(f"fewer-bits-{stored}-for-{n}", bits(n), bits(n), stored)
write("fewer-bits-signed", twelve - 2048, twelve - 2048, 10, signed=1)
write("stored-high", twelve, twelve << 4, 12, high=15)
write("says-unsigned-12", twelve - 2048, twelve - 2048, 12)
write("says-unsigned-16", twelve - 2048, twelve - 2048, 16)
write("says-unsigned-few", twelve - 200, twelve - 200, 16)
write("says-signed-12", twelve, twelve, 12, signed=1)
write("says-signed-16", bits(16), bits(16), 16, signed=1)
write("jls-right", twelve, None, 12, syntax=JLS, frames=[jls(twelve, 12)])
write("jls-deeper", bits(14), None, 12, syntax=JLS, frames=[jls(bits(14), 14)])
write("jls-shallower", twelve, None, 16, syntax=JLS, frames=[jls(twelve, 12)])
write("jls-shallower-signed", twelve, None, 16, signed=1, syntax=JLS, frames=[jls(twelve, 12)])
write("j2k-right", twelve, None, 12, syntax=J2K, frames=[j2k(twelve, 12, False)])
write("j2k-signed-right", twelve - 2048, None, 12, signed=1, syntax=J2K, frames=[j2k(twelve - 2048, 12, True)])
write("j2k-signed-says-unsigned", twelve - 2048, None, 12, syntax=J2K, frames=[j2k(twelve - 2048, 12, True)])
write("j2k-unsigned-says-signed", twelve, None, 16, signed=1, syntax=J2K, frames=[j2k(twelve, 12, False)])
burnt = bits(10)
burnt[100:200, 100:200], burnt[120:130, 120:130] = 1023, 0
write("j2k-overshoot", burnt, None, 10, syntax=LOSSY, frames=[j2k(burnt, 16, False, compression_ratios=[20])])
write("j2k-overshoot-signed", burnt - 512, None, 10, signed=1, syntax=LOSSY, frames=[j2k(burnt - 512, 16, True, compression_ratios=[20])])
write("two-frames", twelve, np.vstack([twelve, twelve[::-1]]), 12, NumberOfFrames=2)
write("padding-behind", twelve, twelve.astype("<u2").tobytes() + b"\0" * 4096, 12)
write("odd-bytes-behind", twelve, twelve.astype("<u2").tobytes() + b"\1\2" * 5, 12)
fewer = {"Rows": rows - 60}, {"Columns": columns - 1}
for syntax, name in ((EXPLICIT, "native"), (RLE, "rle")):
    write(f"{name}-right", twelve, twelve, 12, syntax=syntax)
    for attributes in fewer:
        write(f"{name}-fewer-{'-'.join(attributes).lower()}", twelve, twelve, 12, syntax=syntax, **attributes)
coded = next(generate_frames(pydicom.dcmread(os.path.join(folder, "rle-right.dcm")).PixelData, number_of_frames=1))
write("rle-padding-behind", twelve, None, 12, syntax=RLE, frames=[coded + b"\0" * 4096])
write("half-the-bits-allocated", twelve, twelve, 12, BitsAllocated=8, BitsStored=8, HighBit=7)
two = [j2k(twelve[::-1].copy(), 12, False), j2k(twelve, 12, False)]
write("fragments-of-two-frames", twelve, None, 12, syntax=J2K, frames=two)
