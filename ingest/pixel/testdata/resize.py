"""Golden values of TestResizeAgainstSkimage: python resize.py > resize.json, with scikit-image installed."""
import json
import numpy as np
import skimage
from skimage.transform import resize

cases = []
for side, offset in ((100, 0), (224, 0), (300, 0), (1000, 0), (100, -2000), (300, 2000)):
    y, x = np.mgrid[0:side, 0:side].astype(np.float64)
    # the same formula is in the test
    image = (1000 * np.sin(x * 0.07 + y * 0.013) * np.cos(y * 0.05) + ((x.astype(int) * 7 + y.astype(int) * 13) % 31) - 15 + offset).astype(np.float32)
    out = resize(image[None], (1, 224, 224), mode="constant", preserve_range=True).astype(np.float32)[0]
    points = [(0, 0), (0, 223), (223, 0), (223, 223), (1, 1), (112, 112), (50, 200), (17, 3), (222, 100)]
    cases.append({"side": side, "offset": offset, "points": [[px, py, float(out[py, px])] for px, py in points], "mean": float(out.mean())})
print(json.dumps({"skimage": skimage.__version__, "cases": cases}, indent=1))
