"""Sends messages, one a file, to PORT by python-hl7's MLLP client on one connection, and prints MSA-1, MSA-2 and ERR-3 of each answer."""
import sys

import hl7
from hl7.client import MLLPClient

with MLLPClient("127.0.0.1", int(sys.argv[1])) as client:
    for path in sys.argv[2:]:
        answer = hl7.parse(client.send_message(open(path, "rb").read()).strip(b"\x0b\x1c\r").decode("utf-8"))
        errors = [str(s[3][0][0]) for s in answer.segments("ERR")] if "ERR" in str(answer) else []
        print(answer.segment("MSA")[1], answer.segment("MSA")[2], *errors)
