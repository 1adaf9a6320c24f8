"""Reads ER7 messages, one a file: hl7apy holds each against HL7 v2.5.1, python-hl7 decodes fields of it. One JSON line a file."""
import json
import re
import sys

import hl7
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message


def clipped(text):
    """The message with the texts of OBX-5 cut: hl7apy takes a value of any type there for an ST of at most 199 characters."""
    lines = []
    for line in text.split("\r"):
        parts = line.split("|")
        if parts[0] == "OBX":
            parts[5] = "~".join(re.sub(r"\\[^\\]*$", "", r[:199]) if len(r) > 199 else r for r in parts[5].split("~"))
        lines.append("|".join(parts))
    return "\r".join(lines)


def field(message, name, number):
    """Components of the first repetition, unescaped, by python-hl7."""
    repetition = message.segment(name)[number][0]
    parts = [repetition] if isinstance(repetition, str) else [str(c) for c in repetition]
    return [message.unescape(p) for p in parts]


for path in sys.argv[1:]:
    text = open(path, "rb").read().decode("utf-8")
    parse_message(clipped(text), validation_level=VALIDATION_LEVEL.STRICT, find_groups=True).validate()
    message = hl7.parse(text)
    out = {
        "type": field(message, "MSH", 9), "control": field(message, "MSH", 10), "version": field(message, "MSH", 12), "charset": field(message, "MSH", 18),
        "patient": field(message, "PID", 3), "name": field(message, "PID", 5), "birth": field(message, "PID", 7), "sex": field(message, "PID", 8),
        "filler": field(message, "OBR", 3), "procedure": field(message, "OBR", 4), "accession": field(message, "OBR", 18), "status": field(message, "OBR", 25),
        "observations": [
            [message.unescape(str(o[3][0][0] if not isinstance(o[3][0], str) else o[3])), str(o[11]), [message.unescape(str(r)) for r in o[5]]]
            for o in message.segments("OBX")
        ],
    }
    print(json.dumps(out))
