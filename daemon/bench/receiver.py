"""A receiver by pynetdicom that syncs each object and its folder before it answers. Arguments: port, folder."""

import os
import sys

from pynetdicom import AE, AllStoragePresentationContexts, evt

port, folder = int(sys.argv[1]), sys.argv[2]
directory = os.open(folder, os.O_RDONLY)


def store(event):
    path = os.path.join(folder, event.request.AffectedSOPInstanceUID + ".dcm")
    with open(path, "wb") as file:
        file.write(event.encoded_dataset())
        file.flush()
        os.fsync(file.fileno())
    os.fsync(directory)
    return 0


ae = AE("PEER")
ae.supported_contexts = AllStoragePresentationContexts
ae.maximum_associations = 64
ae.maximum_pdu_size = 131072
ae.start_server(("127.0.0.1", port), evt_handlers=[(evt.EVT_C_STORE, store)])
