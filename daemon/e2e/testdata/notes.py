"""Prints what rejection notes say: study, title, Patient ID, and the SOP Instance UIDs that evidence and content tree agree on."""
import sys

import pydicom

for path in sys.argv[1:]:
    ds = pydicom.dcmread(path)
    if ds.SOPClassUID != "1.2.840.10008.5.1.4.1.1.88.59":
        continue
    (study,) = ds.CurrentRequestedProcedureEvidenceSequence
    evidence = {r.ReferencedSOPInstanceUID for s in study.ReferencedSeriesSequence for r in s.ReferencedSOPSequence}
    tree = {c.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for c in ds.ContentSequence if c.ValueType in ("IMAGE", "COMPOSITE")}
    assert evidence == tree, path
    assert study.StudyInstanceUID == ds.StudyInstanceUID, path
    print(ds.StudyInstanceUID, ds.ConceptNameCodeSequence[0].CodeValue, ds.PatientID, ",".join(sorted(evidence)), path, sep="\t")
