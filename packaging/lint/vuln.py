"""Reads govulncheck's JSON from stdin, tells what our code calls, and exits 1 when something must be done about it."""
import json
import sys

database, strict = sys.argv[1], sys.argv[2] == "newest"
text, decoder, position = sys.stdin.read(), json.JSONDecoder(), 0
summaries, called, scanned = {}, {}, None
while position < len(text):
    if text[position].isspace():
        position += 1
        continue
    message, position = decoder.raw_decode(text, position)
    scanned = message.get("config", scanned)
    if "osv" in message:
        summaries[message["osv"]["id"]] = message["osv"]["summary"]
    finding = message.get("finding")
    if finding and "function" in finding["trace"][0]:  # others are only imported or required
        called[finding["osv"]] = (finding["trace"][0]["module"], finding.get("fixed_version", ""))
if scanned is None:
    sys.exit("govulncheck did not say what it looked at")

ours = {id for id, (module, _) in called.items() if module != "stdlib"}
for id, (module, fixed) in sorted(called.items()):
    print(f"{id}: {module}: {summaries.get(id, '')}; fixed in {fixed or 'no version yet'}")
if set(called) - ours:
    print(f"the standard library of {scanned.get('go_version', 'this Go')} has {len(called) - len(ours)} of them: build a release with a newer Go")
print(f"govulncheck: {len(called)} published vulnerabilities are called, {len(ours)} of them in modules (database {database})")
sys.exit(1 if ours or strict and called else 0)
