#!/usr/bin/env bash
# Brings the XLA CPU plugin (PJRT, Apache-2.0) into .cache/xla by its PyPI package name. Without it the appliance runs on GoMLX's
# pure-Go backend, slower, and says so; so a failure here is a plain line, not an error.
set -euo pipefail
cd "$(dirname "$0")/../.."

PACKAGE=lammps-jax-pjrt-cpu
VERSION=0.11.2
DIR=.cache/xla

if ls "$DIR"/*/pjrt_c_api_cpu_plugin.so >/dev/null 2>&1; then
  exit 0
fi
if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
  echo "XLA CPU plugin: none packaged for $(uname -s) $(uname -m); the pure-Go backend will be used"
  exit 0
fi
mkdir -p "$DIR"
echo "XLA CPU plugin: fetching $PACKAGE $VERSION (63 MB, once)"
if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: -d "$DIR" "$PACKAGE==$VERSION"; then
  echo "XLA CPU plugin: could not be fetched; the pure-Go backend will be used"
  exit 0
fi
python3 - "$DIR" <<'PY'
import glob, sys, zipfile
for wheel in glob.glob(sys.argv[1] + "/*.whl"):
    zipfile.ZipFile(wheel).extractall(sys.argv[1])
PY
rm -f "$DIR"/*.whl
ls "$DIR"/*/pjrt_c_api_cpu_plugin.so
