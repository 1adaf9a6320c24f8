"""Reads a report as OHIF's viewer does (extensions/cornerstone-dicom-sr/src/getSopClassHandlerModule.ts), which takes for granted more than the standard
asks for, and prints the images that it finds and each measurement with its labels and coordinates. It ends with an error where OHIF would."""
import sys

import pydicom


def named(items, code):
    """The items of a concept name; OHIF reads the name of every item of a level, so that one without a name ends it."""
    return [item for item in items if item.ConceptNameCodeSequence[0].CodeValue == code]


def coordinates(item):
    if item.RelationshipType not in ("INFERRED FROM", "CONTAINS"):
        return None
    assert item.ValueType == "SCOORD", item.ValueType
    return item.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID, item.GraphicType, list(item.GraphicData)


def label(number):
    measured = number.MeasuredValueSequence[0]
    unit = measured.MeasurementUnitsCodeSequence[0].CodeValue
    return f"{number.ConceptNameCodeSequence[0].CodeMeaning}: {float(measured.NumericValue):.2f} {unit}"


sr = pydicom.dcmread(sys.argv[1])
assert sr.ConceptNameCodeSequence[0].CodeValue == "126000", "not an Imaging Measurement Report: OHIF shows no measurement"
library = named(sr.ContentSequence, "111028")[0]
images = [ref.ReferencedSOPInstanceUID for item in named(library.ContentSequence, "126200")[0].ContentSequence
          for ref in item.get("ReferencedSOPSequence", []) if ref.ReferencedSOPClassUID]
print("images", *images)
merged = {}
for group in named(named(sr.ContentSequence, "126010")[0].ContentSequence, "125007"):
    tracking = named(group.ContentSequence, "112040")[0].UID
    merged.setdefault(tracking, []).extend(group.ContentSequence)
shapeless = 0
for tracking, items in merged.items():
    name = named(items, "112039")[0].TextValue
    assert [item for item in items if item.ValueType == "UIDREF"][0].UID == tracking
    numbers = [item for item in items if item.ValueType == "NUM"]
    regions = [item for item in items if item.ValueType == "SCOORD"]
    if regions:
        image, kind, points = coordinates(regions[0])
        assert image in images, image
        print(name, *map(label, numbers), image, kind, points)
        continue
    named(items, "G-C0E3")
    for number in numbers:
        assert coordinates(number.ContentSequence[0]) is None, "a region that belongs to one number"
        label(number)
    shapeless += 1
print("without a region", shapeless)
