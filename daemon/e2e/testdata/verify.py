"""Makes of a draft narrative SR, read by pydicom, what a PACS's report station would store: OUT is VERIFIED, signed by another, with TEXT as its
findings, and names the draft as its predecessor."""
import sys

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

draft, out, text = sys.argv[1:4]
d = pydicom.dcmread(draft)
sop = Dataset()
sop.ReferencedSOPClassUID, sop.ReferencedSOPInstanceUID = d.SOPClassUID, d.SOPInstanceUID
series = Dataset()
series.SeriesInstanceUID, series.ReferencedSOPSequence = d.SeriesInstanceUID, [sop]
study = Dataset()
study.StudyInstanceUID, study.ReferencedSeriesSequence = d.StudyInstanceUID, [series]
d.PredecessorDocumentsSequence = [study]
observer = Dataset()
observer.VerifyingOrganization, observer.VerificationDateTime = "Elsewhere", "20260102101112"
observer.VerifyingObserverName, observer.VerifyingObserverIdentificationCodeSequence = "Winterbottom^Ada", []
d.VerifyingObserverSequence = [observer]
d.VerificationFlag, d.CompletionFlag, d.PreliminaryFlag = "VERIFIED", "COMPLETE", "FINAL"
d.SOPInstanceUID = d.file_meta.MediaStorageSOPInstanceUID = generate_uid()
d.SeriesInstanceUID = generate_uid()
for section in d.ContentSequence:
    if section.ValueType == "CONTAINER" and section.ConceptNameCodeSequence[0].CodeValue == "59776-5":
        section.ContentSequence = section.ContentSequence[:1]
        section.ContentSequence[0].TextValue = text
d.save_as(out)
