"""Tells two revisions of a narrative apart: flags, and which replaces which."""
import sys

import pydicom

first, second = sorted((pydicom.dcmread(p) for p in sys.argv[1:]), key=lambda ds: int(ds.InstanceNumber))
replaced = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
assert "PredecessorDocumentsSequence" not in first
assert replaced.ReferencedSOPInstanceUID == first.SOPInstanceUID
assert replaced.PurposeOfReferenceCodeSequence[0].CodeValue == "121360"
print(first.InstanceNumber, first.CompletionFlag, first.CompletionFlagDescription, "->", second.InstanceNumber, second.CompletionFlag,
      "replaces", first.InstanceNumber)
