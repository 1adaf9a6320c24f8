"""Writes rejection notes (IHE IOCM) for DICOM files with highdicom: TITLE OUT FILE... [-- TITLE OUT FILE...]..."""
import itertools
import sys

import highdicom
import pydicom
from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from highdicom.sr import ObserverContext, PersonObserverIdentifyingAttributes
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian

titles = {
    "113001": "Rejected for Quality Reasons", "113037": "Rejected for Patient Safety Reasons",
    "113038": "Incorrect Modality Worklist Entry", "113039": "Data Retention Policy Expired",
}
observer = ObserverContext(
    observer_type=Code("121006", "DCM", "Person"), observer_identifying_attributes=PersonObserverIdentifyingAttributes(name="Tech^One"))
for title, out, *paths in (list(g) for last, g in itertools.groupby(sys.argv[1:], lambda a: a == "--") if not last):
    images = [pydicom.dcmread(p) for p in paths]
    content = KeyObjectSelection(
        document_title=Code(title, "DCM", titles[title]), referenced_objects=images, observer_person_context=observer)
    KeyObjectSelectionDocument(
        evidence=images, content=content, series_instance_uid=highdicom.UID(), series_number=99, sop_instance_uid=highdicom.UID(),
        instance_number=1, manufacturer="test", transfer_syntax_uid=ExplicitVRLittleEndian).save_as(out)
