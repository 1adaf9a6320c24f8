"""Stores, finds and retrieves by dicomweb-client and holds what comes back against the files: dicomweb.py URL TOKEN FILE..."""
import io
import sys

import pydicom
import requests
from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import create_session

url, token, *paths = sys.argv[1:]
files = [pydicom.dcmread(path) for path in paths]
session = create_session()
session.headers["Authorization"] = "Bearer " + token
client = DICOMwebClient(url, session=session)
study, patient = files[0].StudyInstanceUID, files[0].PatientID
whole = io.BytesIO()
pydicom.dcmwrite(whole, files[0])  # as the client will write it
by_instance = {f.SOPInstanceUID: f for f in files}


def check(what, got, want):
    if got != want:
        sys.exit(f"{what}: {got!r}, want {want!r}")


def found(search, **filters):
    return search(search_filters=filters) if filters else search()


answer = client.store_instances(files)
check("stored", sorted(i.ReferencedSOPInstanceUID for i in answer.ReferencedSOPSequence), sorted(by_instance))
check("failed", "FailedSOPSequence" in answer, False)
check("stored again", len(client.store_instances(files, study_instance_uid=study).ReferencedSOPSequence), len(files))

name = str(files[0].PatientName)
day = files[0].StudyDate
for filters, count in [
    ({}, 1), ({"PatientID": patient}, 1), ({"PatientID": "nobody"}, 0), ({"PatientName": name[:3].lower() + "*"}, 1), ({"PatientName": name[:3]}, 0),
    ({"StudyDate": day}, 1), ({"StudyDate": day + "-" + day}, 1), ({"StudyDate": "-19000101"}, 0), ({"StudyDate": "19000101-"}, 1),
    ({"StudyInstanceUID": "1.2.3," + study}, 1), ({"00100020": patient, "ModalitiesInStudy": files[0].Modality}, 1), ({"ModalitiesInStudy": "MR"}, 0),
]:
    check(f"studies {filters}", len(client.search_for_studies(search_filters=filters)), count)
one = pydicom.Dataset.from_json(client.search_for_studies(fields=["PatientAge"])[0])
for keyword in ["PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime", "AccessionNumber", "StudyID", "PatientAge"]:
    check(keyword, one.get(keyword), files[0].get(keyword) or one.get(keyword))
check("instances of the study", one.NumberOfStudyRelatedInstances, len(files))
series = {f.SeriesInstanceUID for f in files}
check("series", {s["0020000E"]["Value"][0] for s in client.search_for_series(study)}, series)
check("all series", {s["0020000E"]["Value"][0] for s in client.search_for_series()}, series)
check("instances", {i["00080018"]["Value"][0] for i in client.search_for_instances(study)}, set(by_instance))
check("instances of a series", len(client.search_for_instances(study, files[0].SeriesInstanceUID)), sum(f.SeriesInstanceUID == files[0].SeriesInstanceUID for f in files))
check("one page", len(client.search_for_instances(limit=1)), 1)
check("the next page", len(client.search_for_instances(limit=5, offset=1)), len(files) - 1)
truncated = session.get(url + "/instances?limit=1")
check("truncated", truncated.headers.get("Warning", "")[:3], "299")
for key in ["Nonsense", "SOPInstanceUID"]:
    ignored = session.get(url + f"/studies?{key}=1")
    check(key, (ignored.status_code, key in ignored.headers.get("Warning", "")), (200, True))
check("nothing found", session.get(url + "/studies?PatientID=nobody").status_code, 204)

for got in client.retrieve_study(study):
    check("retrieved", got, by_instance[got.SOPInstanceUID])
check("retrieved series", {d.SOPInstanceUID for s in series for d in client.retrieve_series(study, s)}, set(by_instance))
for f in files:
    where = study, f.SeriesInstanceUID, f.SOPInstanceUID
    check("retrieved instance", client.retrieve_instance(*where), f)
    got, want = pydicom.Dataset.from_json(client.retrieve_instance_metadata(*where)), pydicom.Dataset(f)
    del want.PixelData
    del got.SpecificCharacterSet
    if "SpecificCharacterSet" in want:
        del want.SpecificCharacterSet
    check("metadata", got.to_json_dict(), want.to_json_dict())
    for kind, magic in [("image/png", b"\x89PNG"), ("image/jpeg", b"\xff\xd8")]:
        check(kind, client.retrieve_instance_rendered(*where, media_types=(kind,))[: len(magic)], magic)
check("metadata of the study", len(client.retrieve_study_metadata(study)), len(files))

# What is wrong gets the status that says so.
where = f"{url}/studies/{study}"
body = lambda data: b"--b\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n--b--\r\n"
related = {"Content-Type": "multipart/related; type=application/dicom; boundary=b"}  # unquoted, as many send it
odd = pydicom.dcmread(paths[0])
odd.SOPClassUID = odd.file_meta.MediaStorageSOPClassUID = "1.2.3.4"
odd.SOPInstanceUID = odd.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5"
unknown = io.BytesIO()
odd.save_as(unknown)
for what, status, reply in [
    ("no token", 401, requests.get(where)),
    ("a wrong token", 401, requests.get(where, headers={"Authorization": "Bearer llamaxr_x"})),
    ("an unknown study", 404, session.get(url + "/studies/1.2.3")),
    ("no UID", 400, session.get(url + "/studies/abc")),
    ("a value that is none", 400, session.get(url + "/studies?StudyDate=yesterday")),
    ("XML", 406, session.get(where + "/metadata", headers={"Accept": "application/dicom+xml"})),
    ("another transfer syntax", 406, session.get(where, headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.90'})),
    ("JSON to store", 415, session.post(url + "/studies", data=b"[]", headers={"Content-Type": "application/dicom+json"})),
    ("no boundary", 400, session.post(url + "/studies", data=b"", headers={"Content-Type": 'multipart/related; type="application/dicom"'})),
    ("cut off", 400, session.post(url + "/studies", data=body(whole.getvalue())[:-4000], headers=related)),
    ("no DICOM", 409, session.post(url + "/studies", data=body(b"GIF89a" * 100), headers=related)),
    ("another study", 409, session.post(url + "/studies/1.2.3", data=body(whole.getvalue()), headers=related)),
    ("an unknown SOP class", 409, session.post(url + "/studies", data=body(unknown.getvalue()), headers=related)),
    ("half of them", 202, session.post(url + "/studies", data=body(whole.getvalue())[:-9] + b"\r\n" + body(b"GIF89a" * 100), headers=related)),
    ("stored", 200, session.post(url + "/studies", data=body(whole.getvalue()), headers=related)),
]:
    check(what, (reply.status_code, reply.text if reply.status_code != status else ""), (status, ""))
reason = lambda data, path="": pydicom.Dataset.from_json(session.post(url + "/studies" + path, data=body(data), headers=related).json())
check("reason", reason(unknown.getvalue()).FailedSOPSequence[0].FailureReason, 0x0122)
check("reason", reason(whole.getvalue(), "/1.2.3").FailedSOPSequence[0].FailureReason, 0xA900)
print("ok")
