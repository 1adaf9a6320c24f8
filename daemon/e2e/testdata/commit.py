"""Asks for storage commitment with pynetdicom (PS3.4, annex J).

commit.py PORT CALLING LISTEN [--tls=CERTIFICATE,KEY,AUTHORITY]: each line of standard input is a request {"transaction": UID, "objects": [[class, instance], ...], "action": 1}
to the appliance at PORT. The result is awaited at port LISTEN, or on the same association when LISTEN is 0; "quiet": true awaits none. A
line of standard output for each: {"status": of N-ACTION, "event": type, "committed": [instance], "failed": {instance: reason}}.
"""

import json
import queue
import sys

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel
from secured import contexts

INSTANCE = "1.2.840.10008.1.20.1.1"
server, client = contexts(sys.argv)
port, calling, listen = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
results = queue.Queue()


def reported(event):
    info = event.event_information
    results.put({
        "transaction": str(info.TransactionUID),
        "event": event.event_type,
        "committed": [str(o.ReferencedSOPInstanceUID) for o in info.get("ReferencedSOPSequence", [])],
        "failed": {str(o.ReferencedSOPInstanceUID): o.FailureReason for o in info.get("FailedSOPSequence", [])},
    })
    return 0x0000, None


handlers = [(evt.EVT_N_EVENT_REPORT, reported)]
if listen:
    receiver = AE(ae_title=calling)
    receiver.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
    receiver.start_server(("127.0.0.1", listen), block=False, evt_handlers=handlers, ssl_context=server)
ae = AE(ae_title=calling)
ae.add_requested_context(StorageCommitmentPushModel)
for line in sys.stdin:
    request = json.loads(line)
    data = Dataset()
    if request.get("transaction"):
        data.TransactionUID = request["transaction"]
    data.ReferencedSOPSequence = []
    for sop_class, instance in request["objects"] or []:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
        data.ReferencedSOPSequence.append(item)
    result = {}
    if not request.get("await"):
        assoc = ae.associate("127.0.0.1", port, ae_title="LLAMAXR", evt_handlers=[] if listen else handlers, tls_args=client)
        assert assoc.is_established
        status, _ = assoc.send_n_action(data, request.get("action", 1), StorageCommitmentPushModel, request.get("instance", INSTANCE))
        result["status"] = status.Status
    if result.get("status", 0) == 0 and not request.get("quiet"):
        result.update(results.get(timeout=120))
    if not request.get("await"):
        assoc.release()
    print(json.dumps(result), flush=True)
