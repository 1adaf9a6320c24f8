"""Reads data sets of storage commitment with pydicom and writes them anew.

Each line of standard input is "implicit HEX" or "explicit HEX"; each of standard output the JSON of what pydicom read, a tab, and the same
data set as pydicom writes it, in hexadecimal, with sequences of undefined length.
"""

import io
import json
import sys

from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from pynetdicom.dsutils import decode

for line in sys.stdin:
    kind, text = line.split()
    implicit = kind == "implicit"
    data = decode(io.BytesIO(bytes.fromhex(text)), implicit, True)
    said = {"transaction": str(data.TransactionUID)}
    for name in ("ReferencedSOPSequence", "FailedSOPSequence"):
        for item in data.get(name, []):
            said.setdefault(name, []).append(
                [str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID), int(item.get("FailureReason", 0))]
            )
        if name in data:
            data[name].is_undefined_length = True
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = implicit, True
    write_dataset(out, data)
    print(json.dumps(said) + "\t" + out.getvalue().hex())
