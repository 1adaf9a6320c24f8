"""Holds gosec's findings against the exclusions: tells those that none covers, and exclusions that cover none. Exits 1 for either."""
import fnmatch
import json
import os
import sys

report, exclusions = sys.argv[1:]
rules = []
for number, line in enumerate(open(exclusions), 1):
    if line.strip() and not line.startswith("#"):
        fields = line.split(maxsplit=2)
        if len(fields) < 3:
            sys.exit(f"{exclusions}:{number}: a rule, files, and a reason")
        rules.append([number, *fields, 0])
with open(report) as file:
    result = json.load(file)
faults = 0
for package, errors in result.get("Golang errors", {}).items():
    for error in errors:
        # The kernels' functions have their bodies in assembly, which gosec does not read; of many it tells ten. `go vet` has loaded them whole.
        lines = [l for l in error["error"].splitlines() if not l.startswith("#") and "missing function body" not in l]
        bodies = "missing function body" in error["error"]
        for line in lines:
            if bodies and line.endswith("too many errors"):
                continue
            print(f"gosec: {package}: {line}")
            faults += 1
for issue in result["Issues"]:
    path = os.path.relpath(issue["file"])
    covering = [r for r in rules if r[1] == issue["rule_id"] and fnmatch.fnmatch(path, r[2])]
    if not covering:
        print(f"{path}:{issue['line']}: {issue['rule_id']}: {issue['details']}")
        faults += 1
    for rule in covering:
        rule[4] += 1
for number, rule, files, _, used in rules:
    if not used:
        print(f"{exclusions}:{number}: {rule} {files} covers nothing any more")
        faults += 1
stats = result["Stats"]
print(f"gosec: {stats['files']} files, {stats['found']} findings, {faults} without a reason in {exclusions}")
sys.exit(1 if faults else 0)
