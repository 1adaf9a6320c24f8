#!/usr/bin/env bash
# Installs the peers of `make bench-peers` into .cache/bench: llama.cpp (the package llama-cpp-python, built here for this processor: ten minutes on
# two cores, once), ONNX Runtime and OpenVINO. Does nothing for what is already there.
set -euo pipefail
cd "$(dirname "$0")/../.."

requirements=packaging/setup/bench-requirements.txt
stamp=.cache/bench/bench-requirements.txt
cmp -s "$requirements" "$stamp" && exit 0
missing=()
command -v cmake >/dev/null || missing+=(cmake)
command -v g++ >/dev/null || missing+=(g++)
[ ${#missing[@]} -eq 0 ] || packaging/setup/apt.sh "${missing[@]}"
echo "building llama.cpp and installing ONNX Runtime and OpenVINO into .cache/bench"
python3 -m venv .cache/bench
CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF" .cache/bench/bin/python -m pip install --quiet --disable-pip-version-check \
  --no-binary llama-cpp-python -r "$requirements"
cp "$requirements" "$stamp"
