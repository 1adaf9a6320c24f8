"""Prints what pydicom reads of each signed report among the given files: study, flags, observer, predecessor and its purpose, texts."""
import sys

import pydicom

for path in sys.argv[1:]:
    d = pydicom.dcmread(path)
    if d.get("VerificationFlag") != "VERIFIED":
        continue
    v = d.VerifyingObserverSequence[0]
    p = d.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    texts = [c.TextValue for s in d.ContentSequence if s.ValueType == "CONTAINER" for c in s.ContentSequence]
    print(path, d.SOPInstanceUID, d.CompletionFlag, d.PreliminaryFlag, v.VerifyingObserverName, v.VerifyingOrganization,
          p.ReferencedSOPInstanceUID, p.PurposeOfReferenceCodeSequence[0].CodeValue, " ".join(texts), sep="\t")
