"""Writes DICOM files anew with other attributes, the UIDs as they were: OUT KEYWORD=VALUE... -- FILE..."""
import pathlib
import sys

import pydicom

split = sys.argv.index("--")
out = pathlib.Path(sys.argv[1])
for path in map(pathlib.Path, sys.argv[split + 1:]):
    ds = pydicom.dcmread(path)
    for change in sys.argv[2:split]:
        keyword, value = change.split("=", 1)
        setattr(ds, keyword, value)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.save_as(out / path.name)
