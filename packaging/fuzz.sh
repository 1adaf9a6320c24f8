#!/usr/bin/env bash
# Runs every fuzz target of the project for the given time each and keeps what widened its coverage:
#   packaging/fuzz.sh [TIME [FOLDER...]]    5m on two cores is ten minutes of processor time a target
#   packaging/fuzz.sh list [FOLDER...]      prints them
# A target that fails does not stop the others; its input stays in testdata/fuzz, where `go test` tries it from then on.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOEXPERIMENT=${GOEXPERIMENT:-simd} GOMLX_NO_AUTO_INSTALL=1
time=${1:-30s}
shift || true

# Lines of "folder target", from the sources: a package that does not build fails when it is run, rather than be left out.
targets() {
  find "${@:-.}" -name '*_test.go' -not -path '*/.*/*' -exec grep -HoE '^func Fuzz[A-Za-z0-9_]*' {} + |
    sed -E 's#^(\./)?(.*)/[^/]*:func #./\2 #' | sort
}
if [ "$time" = list ]; then
  targets "$@"
  exit
fi

# Kept inputs of one target: the smallest ones, so that the repository stays small and `go test` fast.
most=30 largest=4096
cache=$(go env GOCACHE)/fuzz
failed=()
while read -r folder target; do
  echo "$folder $target"
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 5x "$folder" </dev/null || failed+=("$folder $target")
  kept=$folder/testdata/fuzz/$target
  mkdir -p "$kept"
  { find "$cache/$(go list "$folder")/$target" -type f -size "-${largest}c" -printf '%s %p\n' 2>/dev/null || true; } | sort -n | sed "${most}q" |
    while read -r _ input; do cp -n "$input" "$kept/"; done
  rmdir --ignore-fail-on-non-empty "$kept"
done < <(targets "$@")
if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
