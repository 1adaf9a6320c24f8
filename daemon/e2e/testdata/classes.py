"""Prints study, SOP class and path of DICOM files."""
import sys

import pydicom

for path in sys.argv[1:]:
    ds = pydicom.dcmread(path, stop_before_pixels=True)
    print(ds.StudyInstanceUID, ds.SOPClassUID, path, sep="\t")
