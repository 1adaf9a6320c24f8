#!/usr/bin/env bash
# Brings XLA's CUDA plugin and the libraries of NVIDIA's that it loads into .cache/xla and .cache/cuda by their PyPI names, and checks that there is
# a GPU at all: without one it says so and fails. Only the driver must be installed.
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L 2>/dev/null | grep -q GPU; then
  echo "no NVIDIA GPU on this machine (nvidia-smi lists none): nothing was checked" >&2
  exit 1
fi
nvidia-smi -L
if ! ls .cache/xla/jax_plugins/xla_cuda_plugin.so >/dev/null 2>&1; then
  echo "XLA CUDA plugin: fetching jax-cuda12-pjrt and its libraries (2 GB, once)"
  python3 -m pip install --quiet --disable-pip-version-check --only-binary=:all: --target .cache/cuda jax-cuda12-pjrt \
    nvidia-cublas-cu12 nvidia-cuda-cupti-cu12 nvidia-cuda-nvcc-cu12 nvidia-cuda-nvrtc-cu12 nvidia-cuda-runtime-cu12 nvidia-cudnn-cu12 \
    nvidia-cufft-cu12 nvidia-cusolver-cu12 nvidia-cusparse-cu12 nvidia-nccl-cu12 nvidia-nvjitlink-cu12
  mkdir -p .cache/xla/jax_plugins
  ln -sf "$(find "$PWD/.cache/cuda" -name xla_cuda_plugin.so | head -n 1)" .cache/xla/jax_plugins/xla_cuda_plugin.so
fi
