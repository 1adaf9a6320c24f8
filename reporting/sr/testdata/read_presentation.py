"""Reads a presentation state with pydicom and prints what it draws, and which images a report refers to together with it."""
import sys

import pydicom

state = pydicom.dcmread(sys.argv[1])
series = state.ReferencedSeriesSequence[0]
image = series.ReferencedImageSequence[0]
print(state.SOPClassUID.name, "of", series.SeriesInstanceUID, image.ReferencedSOPInstanceUID, image.get("ReferencedFrameNumber", "every frame"))
order = {layer.GraphicLayer: layer.GraphicLayerOrder for layer in state.GraphicLayerSequence}
for annotation in state.GraphicAnnotationSequence:
    for text in annotation.TextObjectSequence:
        print(order[annotation.GraphicLayer], annotation.GraphicLayer, repr(text.UnformattedTextValue))
    for graphic in annotation.get("GraphicObjectSequence", []):
        print(graphic.GraphicType, graphic.NumberOfGraphicPoints, graphic.GraphicAnnotationUnits, [float(v) for v in graphic.GraphicData])
print(state.PresentationLUTShape)
for path in sys.argv[2:]:
    report, shown, listed = pydicom.dcmread(path), set(), set()

    def visit(item):
        if item.ValueType == "IMAGE":
            for reference in item.ReferencedSOPSequence:
                for with_state in reference.get("ReferencedSOPSequence", []):
                    shown.add((reference.ReferencedSOPInstanceUID, with_state.ReferencedSOPInstanceUID == state.SOPInstanceUID, with_state.ReferencedSOPClassUID == state.SOPClassUID))
        for child in item.get("ContentSequence", []):
            visit(child)

    visit(report)
    for study in report.CurrentRequestedProcedureEvidenceSequence:
        for listed_series in study.ReferencedSeriesSequence:
            for instance in listed_series.ReferencedSOPSequence:
                if instance.ReferencedSOPInstanceUID == state.SOPInstanceUID:
                    listed.add((study.StudyInstanceUID, listed_series.SeriesInstanceUID == state.SeriesInstanceUID))
    print(report.SeriesDescription, sorted(shown), sorted(listed))
