"""Gives studies the names of other files, byte for byte as those have them: OUT NAMES,IMAGE...

The image takes Specific Character Set and the name from NAMES; a name that stands in a sequence there stands in one here, under that
item's own character set. Prints what pydicom reads of the names in NAMES and of the texts here, as JSON by
the image's Study Instance UID."""
import json
import pathlib
import sys
import warnings

import pydicom
from pydicom.tag import Tag

warnings.simplefilter("ignore")
NAME, DOCTOR = Tag("PatientName"), Tag("RequestingPhysician")


def groups(name):
    """Family and given name of each way of writing a name."""
    return [(g.split("^") + [""])[:2] for g in str(name).rstrip("=").split("=")]


def stored(ds, tag):
    """An element's bytes as the file has them: read before pydicom decodes it."""
    return ds.get_item(tag).value


out, read = pathlib.Path(sys.argv[1]), {}
for i, pair in enumerate(sys.argv[2:]):
    names, image = pair.split(",")
    src, ds = pydicom.dcmread(names), pydicom.dcmread(image)
    item = src if NAME in src else src.RequestedProcedureCodeSequence[0]
    name, top = stored(item, NAME), stored(src, NAME if NAME in src else DOCTOR)
    inner, outer = item.get("SpecificCharacterSet"), src.SpecificCharacterSet
    again = pydicom.dcmread(names)
    read[str(ds.StudyInstanceUID)] = {
        "file": pathlib.Path(names).stem,
        "name": groups(again.PatientName if NAME in src else again.RequestingPhysician),
    }

    # pydicom would encode the texts anew: places are written, and the bytes put there.
    code = pydicom.Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "CHEST", "99TEST"
    request = pydicom.Dataset()
    if item is not src and inner is not None:
        request.SpecificCharacterSet = inner
    markers = {}

    def mark(text, raw):
        marker = (text + "#" * len(raw))[:len(raw)]
        markers[marker.encode()] = raw
        return marker

    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName, ds.ReferringPhysicianName = mark("@P", top), mark("@R", top)
    ds.StudyDescription = mark("@D", top)
    code.CodeMeaning = mark("@C", name)
    request.RequestedProcedureCodeSequence = [code]
    request.RequestedProcedureID, request.RequestedProcedureDescription = "1", mark("@Q", name)
    ds.RequestAttributesSequence = [request]
    ds.PatientID, ds.AccessionNumber = f"NAMED{i}", f"NAMED{i}"
    path = out / f"{pathlib.Path(names).stem}.dcm"
    ds.SpecificCharacterSet = outer
    ds.save_as(path)
    data = path.read_bytes()
    for marker, raw in markers.items():
        assert data.count(marker) == 1, (names, marker)
        data = data.replace(marker, raw)
    path.write_bytes(data)
    # As the text that it is here: a name's last empty group is of no account, a text's last sign is.
    read[str(ds.StudyInstanceUID)]["procedure"] = pydicom.dcmread(path).RequestAttributesSequence[0].RequestedProcedureDescription
print(json.dumps(read))
