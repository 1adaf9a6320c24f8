"""Prints study, SOP class and path of the DICOM files that standard input names, one a line."""
import sys

import pydicom

for path in sys.stdin.read().splitlines():
    ds = pydicom.dcmread(path, stop_before_pixels=True)
    print(ds.StudyInstanceUID, ds.SOPClassUID, path, sep="\t")
