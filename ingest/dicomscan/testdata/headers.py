"""Prints {path: {keyword: text}} of the given files as pydicom reads them; files that it refuses are left out."""
import json
import sys
import warnings

import pydicom

warnings.simplefilter("ignore")
KEYWORDS = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "PatientName", "PatientID", "Modality"]
out = {}
for path in sys.argv[1:]:
    try:
        ds = pydicom.dcmread(path, force=True, stop_before_pixels=True)
        out[path] = {k: str(ds.get(k, "") or "") for k in KEYWORDS}
    except Exception:
        continue
json.dump(out, sys.stdout)
