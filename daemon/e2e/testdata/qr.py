"""An archive by pynetdicom for each MODE=PORT, all with the same FILES: qr.py APPLIANCE-PORT MODE=PORT... -- FILE...

  KEEPS     answers C-FIND, C-MOVE and C-GET as it should
  LIES      answers C-FIND with everything that it has, whatever was asked for
  SILENT    never answers C-FIND
  MOVELESS  does not know where to move to
A line of standard output for each request: {"archive", "request", "level", "keys"}."""
import json
import sys
import threading
import time

import pydicom
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation, StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet, StudyRootQueryRetrieveInformationModelMove)

split = sys.argv.index("--")
appliance, modes = int(sys.argv[1]), dict(m.split("=") for m in sys.argv[2:split])
files = [pydicom.dcmread(f) for f in sys.argv[split + 1:]]
UNIQUE = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
lock = threading.Lock()


def say(archive, request, query):
    with lock:
        keys = {e.keyword: str(e.value) for e in query if e.value and e.keyword != "QueryRetrieveLevel"}
        print(json.dumps({"archive": archive, "request": request, "level": query.QueryRetrieveLevel, "keys": keys}), flush=True)


def fits(ds, query):
    for e in query:
        if e.keyword in ("QueryRetrieveLevel", "SpecificCharacterSet") or not e.value:
            continue
        wanted = [str(v) for v in e.value] if e.VM > 1 else [str(e.value)]
        if str(ds.get(e.keyword, "")) not in wanted:
            return False
    return True


def serve(mode, port):
    def find(event):
        query = event.identifier
        say(mode, "find", query)
        if mode == "SILENT":
            time.sleep(30)
        seen = set()
        for ds in files:
            unique = ds.get(UNIQUE[query.QueryRetrieveLevel])
            if unique in seen or not (fits(ds, query) or mode == "LIES" and query.QueryRetrieveLevel == "STUDY"):
                continue
            seen.add(unique)
            match = pydicom.Dataset()
            match.QueryRetrieveLevel = query.QueryRetrieveLevel
            for e in query:
                if e.keyword in ds:
                    match[e.keyword] = ds[e.keyword]
            yield 0xFF00, match
        yield 0x0000, None

    def move(event):
        say(mode, "move", event.identifier)
        if mode == "MOVELESS" or event.move_destination != "LLAMAXR":
            yield None, None
            return
        found = [ds for ds in files if fits(ds, event.identifier)]
        yield "127.0.0.1", appliance
        yield len(found)
        for ds in found:
            yield 0xFF00, ds

    def get(event):
        say(mode, "get", event.identifier)
        found = [ds for ds in files if fits(ds, event.identifier)]
        yield len(found)
        for ds in found:
            yield 0xFF00, ds

    ae = AE(ae_title=mode)
    for model in (StudyRootQueryRetrieveInformationModelFind, StudyRootQueryRetrieveInformationModelMove, StudyRootQueryRetrieveInformationModelGet):
        ae.add_supported_context(model)
    for storage in (ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation):
        ae.add_supported_context(storage, scu_role=False, scp_role=True)
        ae.add_requested_context(storage)
    ae.start_server(("127.0.0.1", int(port)), block=False, evt_handlers=[(evt.EVT_C_FIND, find), (evt.EVT_C_MOVE, move), (evt.EVT_C_GET, get)])


for mode, port in modes.items():
    serve(mode, port)
print(json.dumps({"archive": "", "request": "ready"}), flush=True)
sys.stdin.read()
