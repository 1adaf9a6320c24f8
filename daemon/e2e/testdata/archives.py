"""Archives by pynetdicom that answer storage commitment each in its own way (PS3.4, annex J).

archives.py [--tls=CERTIFICATE,KEY,AUTHORITY] APPLIANCE-PORT MODE=PORT...: one archive for each mode, called by the mode's name:
  COMMITS  commits on an association of its own
  SAME     commits on the association of the request
  FAILS    fails the first object of its first request, commits to the rest and to all later ones
  SILENT   says nothing to its first request
  NEVER    never answers
A line of standard output for each object stored, {"archive", "stored"}, and for each request, {"archive", "objects"}.
"""

import json
import sys
import threading
import time

from pydicom.dataset import Dataset
from pynetdicom import AE, StoragePresentationContexts, build_role, evt
from pynetdicom.sop_class import StorageCommitmentPushModel
from secured import contexts

INSTANCE = "1.2.840.10008.1.20.1.1"
server, client = contexts(sys.argv)
appliance = int(sys.argv[1])
lock = threading.Lock()


def say(**what):
    with lock:
        print(json.dumps(what), flush=True)


def result(request, failed):
    data = Dataset()
    data.TransactionUID = request.TransactionUID
    data.ReferencedSOPSequence = [o for i, o in enumerate(request.ReferencedSOPSequence) if i not in failed]
    data.FailedSOPSequence = []
    for i in failed:
        item = Dataset()
        item.ReferencedSOPClassUID = request.ReferencedSOPSequence[i].ReferencedSOPClassUID
        item.ReferencedSOPInstanceUID = request.ReferencedSOPSequence[i].ReferencedSOPInstanceUID
        item.FailureReason = 0x0112
        data.FailedSOPSequence.append(item)
    if not failed:
        del data.FailedSOPSequence
    return data, 2 if failed else 1


def archive(mode, port):
    requests = []

    def stored(event):
        say(archive=mode, stored=str(event.request.AffectedSOPInstanceUID))
        return 0x0000

    def report(request, assoc, failed):
        data, kind = result(request, failed)
        if mode == "SAME":
            time.sleep(0.2)  # the response to N-ACTION goes first
            status, _ = assoc.send_n_event_report(data, kind, StorageCommitmentPushModel, INSTANCE)
        else:
            ae = AE(ae_title=mode)
            ae.add_requested_context(StorageCommitmentPushModel)
            role = build_role(StorageCommitmentPushModel, scp_role=True)
            own = ae.associate("127.0.0.1", appliance, ae_title="LLAMAXR", ext_neg=[role], tls_args=client)
            status, _ = own.send_n_event_report(data, kind, StorageCommitmentPushModel, INSTANCE)
            own.release()
        say(archive=mode, reported=status.get("Status", -1))

    def asked(event):
        request = event.action_information
        requests.append(request)
        say(archive=mode, objects=[str(o.ReferencedSOPInstanceUID) for o in request.ReferencedSOPSequence])
        if mode == "NEVER" or (mode == "SILENT" and len(requests) == 1):
            return 0x0000, None
        failed = [0] if mode == "FAILS" and len(requests) == 1 else []
        threading.Thread(target=report, args=(request, event.assoc, failed)).start()
        return 0x0000, None

    ae = AE(ae_title=mode)
    ae.supported_contexts = StoragePresentationContexts
    ae.add_supported_context(StorageCommitmentPushModel)
    ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, stored), (evt.EVT_N_ACTION, asked)], ssl_context=server)


for text in sys.argv[2:]:
    mode, _, port = text.partition("=")
    archive(mode, int(port))
say(archive="", ready=True)
sys.stdin.read()
