#!/usr/bin/env bash
# gosec over all packages, held against gosec.txt: what it finds must be mended there, or stand in that file with its reason.
set -euo pipefail
cd "$(dirname "$0")/../.."
export GOEXPERIMENT=simd
found=$(mktemp)
trap 'rm -f "$found"' EXIT
# Exit status 1 means findings, which gosec.py judges; packages that do not load are among its errors.
go tool -modfile=packaging/lint/go.mod gosec -quiet -fmt=json -out="$found" -exclude-dir=.cache -exclude-dir=out ./... || [ -s "$found" ]
python3 packaging/lint/gosec.py "$found" packaging/lint/gosec.txt
