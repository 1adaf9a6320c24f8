#!/usr/bin/env bash
# Runs every fuzz target of the project for the given time each and keeps what widened its coverage: packaging/fuzz.sh 30s [PACKAGE...]
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-30s}
shift || true
# Kept inputs of one target: the smallest ones, so that the repository stays small and `go test` fast.
most=30 largest=4096
cache=$(go env GOCACHE)/fuzz
for package in $(go list "${@:-./...}"); do
  for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
    echo "$package $target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 5x "$package"
    kept=$(go list -f '{{.Dir}}' "$package")/testdata/fuzz/$target
    mkdir -p "$kept"
    find "$cache/$package/$target" -type f -size "-${largest}c" -printf '%s %p\n' 2>/dev/null | sort -n | head -"$most" |
      while read -r _ input; do cp -n "$input" "$kept/"; done
    rmdir --ignore-fail-on-non-empty "$kept"
  done
done
