"""Prints what pydicom reads of a signed report."""
import sys

import pydicom

d = pydicom.dcmread(sys.argv[1])
print(d.PreliminaryFlag, d.CompletionFlag, d.VerificationFlag)
v = d.VerifyingObserverSequence[0]
print(v.VerifyingObserverName, v.VerifyingOrganization, v.VerificationDateTime, sep=" | ")
print(d.AuthorObserverSequence[0].ObserverType, d.AuthorObserverSequence[0].PersonName)
p = d.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
print(p.ReferencedSOPInstanceUID, p.PurposeOfReferenceCodeSequence[0].CodeValue)
for item in d.ContentSequence:
    if item.ValueType == "CONTAINER":
        print(item.ConceptNameCodeSequence[0].CodeMeaning + ":", " ".join(c.TextValue for c in item.ContentSequence))
