"""Encodes images made by seed with CharLS (pyjpegls) into a folder, one NNN.jls and what CharLS decodes it to as NNN.raw each.

usage: jpegls.py FOLDER; prints a line of JSON a case. CharLS takes the depth of an image from its largest value.
"""

import json
import sys

import jpeg_ls
import numpy as np


def image(seed, rows, columns, components, bits, flat):
    random = np.random.default_rng(seed)
    y, x, c = np.mgrid[0:rows, 0:columns, 0:components]
    full = 2**bits - 1
    v = 0.5 + 0.4 * np.sin(x / 9 + c) * np.cos(y / 7)
    v[(x > columns * 0.6) & (y > rows * 0.3)] = 0.25  # runs
    v += random.normal(0, 0 if flat else 0.02, v.shape)
    a = np.clip(np.rint(v * full), 0, full).astype(np.uint8 if bits <= 8 else np.uint16)
    a[0, 0, :] = full
    return a[:, :, 0] if components == 1 else a


def cases():
    for bits in (2, 5, 8, 9, 10, 12, 14, 15, 16):
        for near in (0, 1, 2, 3, 7):
            if 2 * near < 2**bits - 1:
                for flat in (False, True):
                    yield 57, 83, 1, bits, near, flat, 0
    for rows, columns in ((1, 60), (60, 1), (2, 90), (3, 200), (200, 3), (301, 257)):
        for near in (0, 2):
            yield rows, columns, 1, 12, near, False, 0
    for interleave in (0, 1, 2):
        for bits in (8, 12):
            for near in (0, 3):
                for flat in (False, True):
                    yield 31, 45, 3, bits, near, flat, interleave


for n, (rows, columns, components, bits, near, flat, interleave) in enumerate(cases()):
    a = image(n, rows, columns, components, bits, flat)
    if components == 3:
        planes = {0: a.transpose(2, 0, 1), 1: a, 2: a}[interleave]
        code = jpeg_ls.encode_array(np.ascontiguousarray(planes), lossy_error=near, interleave_mode=interleave)
    else:
        code = jpeg_ls.encode_array(a, lossy_error=near)
    back, info = jpeg_ls.decode_pixel_data(bytes(code))
    back = np.frombuffer(back, a.dtype)
    if components == 3 and interleave == 0:
        back = back.reshape(3, rows, columns).transpose(1, 2, 0)
    back = back.reshape(a.shape)
    assert np.abs(back.astype(int) - a).max() <= near
    with open(f"{sys.argv[1]}/{n:03}.jls", "wb") as file:
        file.write(code)
    with open(f"{sys.argv[1]}/{n:03}.raw", "wb") as file:
        file.write(back.tobytes())
    print(json.dumps({"name": f"{n:03}", "rows": rows, "columns": columns, "samples": components,
                      "bits": info["bits_per_sample"], "near": near, "interleave": info["interleave_mode"]}))
