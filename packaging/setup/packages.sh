#!/usr/bin/env bash
# What `make packages-test` needs beside the reference programs: rpm, skopeo and qemu's user mode, and a small Debian with systemd and DCMTK in
# .cache/debian.tar, in which a package is installed.
set -euo pipefail
cd "$(dirname "$0")/../.."

missing=()
command -v rpm >/dev/null || missing+=(rpm)
command -v skopeo >/dev/null || missing+=(skopeo)
command -v qemu-aarch64-static >/dev/null || missing+=(qemu-user-static)
command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
command -v systemd-nspawn >/dev/null || missing+=(systemd-container)
[ ${#missing[@]} -eq 0 ] || packaging/setup/apt.sh "${missing[@]}"

if [ ! -f .cache/debian.tar ]; then
  echo "making a small Debian in .cache/debian.tar"
  mkdir -p .cache
  mmdebstrap --quiet --variant=apt --include=systemd,systemd-sysv,dcmtk bookworm .cache/debian.part.tar
  mv .cache/debian.part.tar .cache/debian.tar
fi
