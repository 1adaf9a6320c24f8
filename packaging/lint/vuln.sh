#!/usr/bin/env bash
# Published vulnerabilities that our code calls, by govulncheck.
#
#   vuln.sh           against the database as of $pinned: the same answer on every machine, for `make lint`. It fails on one in a module of ours;
#                     one in Go's standard library is told, with the Go that mends it: which Go is here is not this repository's choice.
#   vuln.sh newest    against the newest database; fails on both. For `make vuln`, before a release.
#
# The database is the Go module golang.org/x/vulndb, which the module proxy has: vuln.go.dev need not be reached.
set -euo pipefail
cd "$(dirname "$0")/../.."

pinned=v0.0.0-20261105234957-e22db6528018
digest=h1:mfngRv0Yoh0VApsXKEN82CjD99kl7mtparN3bs3JnqI=

version=$pinned
[ "${1:-}" != newest ] || version=latest
if ! answer=$(cd / && go mod download -json "golang.org/x/vulndb@$version"); then
  echo "the vulnerability database cannot be fetched: golang.org/x/vulndb@$version needs the Go module proxy (GOPROXY), once for each version" >&2
  exit 1
fi
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1" <<<"$answer"; }
if [ "$version" = "$pinned" ] && [ "$(field Sum)" != "$digest" ]; then
  echo "golang.org/x/vulndb@$pinned is not what was pinned: $(field Sum)" >&2
  exit 1
fi

export GOEXPERIMENT=simd
go tool govulncheck -format json -db "file://$(field Dir)/data/osv" ./... | python3 packaging/lint/vuln.py "$(field Version)" "${1:-}"
