"""Wraps the shared chest radiographs (PNG, JPEG) as DX objects, one study for each study_id of the manifest.

Usage: wrap.py MANIFEST OUTPUT_FOLDER [STUDY_ID...]   Prints one line a file: study_id, projection, path, Study Instance UID.
"""
import csv
import hashlib
import os
import sys

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

DX = "1.2.840.10008.5.1.4.1.1.1.1"


def uid(text):
    return "2.25." + str(int.from_bytes(hashlib.sha256(text.encode()).digest()[:15], "big"))


def wrap(row, folder, out):
    pixels = np.asarray(Image.open(os.path.join(folder, row["file"])).convert("L")).astype(np.uint16) * 16
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = DX
    ds.SOPInstanceUID = uid("image" + row["file"])
    ds.StudyInstanceUID = uid("study" + row["study_id"])
    ds.SeriesInstanceUID = uid("series" + row["file"])
    ds.StudyDate = ds.ContentDate = ds.AcquisitionDate = "20260101"
    ds.StudyTime = ds.ContentTime = ds.AcquisitionTime = "120000"
    ds.AccessionNumber = hashlib.sha256(row["study_id"].encode()).hexdigest()[:12]
    ds.Modality = "DX"
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.PatientName = "Wrapped^" + row["patient"]
    ds.PatientID = row["patient"]
    ds.PatientBirthDate = ""
    ds.PatientSex = row["sex"] if row["sex"] in ("M", "F") else ""
    ds.PatientAge = "050Y"
    ds.StudyID = "1"
    ds.ReferringPhysicianName = ""
    ds.SeriesNumber = 1
    ds.InstanceNumber = 1
    ds.BodyPartExamined = "CHEST"
    ds.ViewPosition = ""
    ds.PatientOrientation = ""
    ds.Manufacturer = "llamaxr test"
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.WindowCenter, ds.WindowWidth = 2048, 4096
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    ds.PresentationLUTShape = "IDENTITY"
    ds.PixelData = pixels.tobytes()
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta = meta
    path = os.path.join(out, os.path.basename(row["file"]) + ".dcm")
    ds.save_as(path, enforce_file_format=True)
    print(row["study_id"], row["projection"], path, ds.StudyInstanceUID, sep="\t")


def main():
    manifest, out, wanted = sys.argv[1], sys.argv[2], set(sys.argv[3:])
    with open(manifest, newline="") as file:
        for row in csv.DictReader(file):
            if not wanted or row["study_id"] in wanted:
                wrap(row, os.path.dirname(manifest), out)


main()
