#!/usr/bin/env bash
# Gives every fuzz target of the project at least so much processor time, and keeps what widened its coverage:
#   packaging/fuzz.sh [MINUTES [FOLDER...]]    ten minutes by default
#   packaging/fuzz.sh list [FOLDER...]         prints the targets
# docs/fuzzing.tsv has what each target got on the code that it is of: stopped, it goes on where it was, and a target whose package has changed
# begins anew. One that fails does not stop the others; its input stays in testdata/fuzz, where `go test` tries it from then on.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOEXPERIMENT=${GOEXPERIMENT:-simd} GOMLX_NO_AUTO_INSTALL=1
minutes=${1:-10}
shift || true

# Lines of "folder target", from the sources: a package that does not build fails when it is run, rather than be left out.
targets() {
  find "${@:-.}" -name '*_test.go' -not -path '*/.*/*' -exec grep -HoE '^func Fuzz[A-Za-z0-9_]*' {} + |
    sed -E 's#^(\./)?(.*)/[^/]*:func #./\2 #' | sort
}
if [ "$minutes" = list ]; then
  targets "$@"
  exit
fi

table=docs/fuzzing.tsv
slice=60 # seconds of one run at most, after which the table is written
# Kept inputs of one target: the smallest ones, so that the repository stays small and `go test` fast.
most=30 largest=4096
cache=$(go env GOCACHE)/fuzz
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
TIMEFORMAT='%U %S'
export LC_ALL=C

# What a target is of: the code of its package, tests left out.
code() { find "$1" -maxdepth 1 \( -name '*.go' -o -name '*.s' \) -not -name '*_test.go' -print0 | sort -z | xargs -0 cat | sha256sum | cut -c1-12; }

# What the table says of a target on this code: seconds of processor time and inputs tried.
had() { awk -F'\t' -v f="$1" -v t="$2" -v c="$3" '$1 == f && $2 == t && $5 == c { s = $3; n = $4 } END { print s + 0, n + 0 }' "$table" 2>/dev/null || echo 0 0; }

# note FOLDER TARGET SECONDS INPUTS CODE puts a line in the place of the target's own.
note() {
  { printf 'package\ttarget\tprocessor seconds\tinputs tried\tcode\tlast run\n'
    { awk -F'\t' -v f="$1" -v t="$2" 'NR > 1 && !($1 == f && $2 == t)' "$table" 2>/dev/null || true
      printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$@" "$(date -u +%F)"; } | sort; } >"$scratch/table"
  cp "$scratch/table" "$table"
}

# keep FOLDER TARGET copies what widened its coverage.
keep() {
  local kept=$1/testdata/fuzz/$2
  mkdir -p "$kept"
  { find "$cache/$(go list "$1")/$2" -type f -size "-${largest}c" -printf '%s %p\n' 2>/dev/null || true; } | sort -n | sed -n "1,${most}p" |
    while read -r _ input; do cp -n "$input" "$kept/"; done
  rmdir --ignore-fail-on-non-empty "$kept"
}

failed=()
while read -r folder target; do
  sum=$(code "$folder")
  read -r seconds inputs < <(had "$folder" "$target" "$sum")
  # Built first, so that the compiler's time is not the target's.
  if [ "$seconds" -lt $((60 * minutes)) ] && ! go test -run '^$' -fuzz "^$target\$" -fuzztime 1x "$folder" </dev/null; then
    failed+=("$folder $target")
    continue
  fi
  while [ "$seconds" -lt $((60 * minutes)) ]; do
    echo "$folder $target: $seconds of $((60 * minutes)) s"
    ok=yes
    # The last run is as long as what is missing takes on these processors.
    run=$(((60 * minutes - seconds) / $(nproc) + 2))
    run=$((run < slice ? run : slice))
    { time go test -run '^$' -fuzz "^$target\$" -fuzztime "${run}s" -fuzzminimizetime 5x "$folder" </dev/null >"$scratch/out" 2>&1; } 2>"$scratch/time" || ok=
    tail -n 2 "$scratch/out"
    # A run whose time ends while an input is tried may say that its deadline passed, and name no input: that is no finding.
    if [ -z "$ok" ] && { grep -q 'Failing input written' "$scratch/out" || ! grep -qx ' *context deadline exceeded' "$scratch/out"; }; then
      cat "$scratch/out"
      failed+=("$folder $target")
      break
    fi
    seconds=$(awk -v s="$seconds" '{ print int(s + $1 + $2) }' "$scratch/time")
    inputs=$((inputs + $(grep -oE 'execs: [0-9]+' "$scratch/out" | tail -n 1 | grep -oE '[0-9]+' || echo 0)))
    note "$folder" "$target" "$seconds" "$inputs" "$sum"
  done
  keep "$folder" "$target"
done < <(targets "$@")
if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
