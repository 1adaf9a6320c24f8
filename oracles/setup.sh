#!/usr/bin/env bash
# Installs the heavy reference programs (torch and kin) into .cache/oracles. Does nothing for what is already there.
set -euo pipefail
cd "$(dirname "$0")/.."

stamp=.cache/oracles/requirements.txt
if ! cmp -s oracles/requirements.txt "$stamp"; then
  echo "installing the heavy oracles into .cache/oracles"
  python3 -m venv .cache/oracles
  .cache/oracles/bin/python -m pip install --quiet --disable-pip-version-check -r oracles/requirements.txt
  cp oracles/requirements.txt "$stamp"
fi
