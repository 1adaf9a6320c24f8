"""Prints the sum of the modality values of each given object, as pydicom reads them."""
import sys

import pydicom
from pydicom.pixels import apply_modality_lut

for path in sys.argv[1:]:
    d = pydicom.dcmread(path)
    print(int(apply_modality_lut(d.pixel_array, d).astype("int64").sum()))
