#!/usr/bin/env bash
# Installs the reference programs that tests use as oracles: DCMTK, dicom3tools, Orthanc, OpenJPEG, OpenJPH, promtool, rsyslog, man, lintian and a browser by apt, the
# Python ones into .cache/venv, the checker of accessibility into .cache/node. Does nothing for what is already there.
set -euo pipefail
cd "$(dirname "$0")/../.."

axe=axe-core@4.14.1
missing=()
[ -f ".cache/node/$axe/axe.min.js" ] || command -v npm >/dev/null || missing+=(npm)
command -v storescp >/dev/null || missing+=(dcmtk)
command -v dciodvfy >/dev/null || missing+=(dicom3tools)
command -v Orthanc >/dev/null || [ -x /usr/sbin/Orthanc ] || missing+=(orthanc)
[ -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so ] || missing+=(orthanc-dicomweb)
command -v opj_compress >/dev/null || missing+=(libopenjp2-tools)
command -v ojph_compress >/dev/null || missing+=(openjph-tools)
[ -e /usr/share/wordnet/data.noun ] || missing+=(wordnet-base)
command -v promtool >/dev/null || missing+=(prometheus)
command -v rsyslogd >/dev/null || [ -x /usr/sbin/rsyslogd ] || missing+=(rsyslog)
[ -e /usr/lib/*/rsyslog/lmnsd_ossl.so ] || missing+=(rsyslog-openssl)
command -v systemd-analyze >/dev/null || missing+=(systemd)
command -v man >/dev/null || missing+=(man-db)
command -v lintian >/dev/null || missing+=(lintian)
command -v chromium >/dev/null || missing+=(chromium fonts-inter)
if [ ${#missing[@]} -gt 0 ]; then
  as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  echo "installing ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

requirements=packaging/setup/requirements.txt
stamp=.cache/venv/requirements.txt
if ! cmp -s "$requirements" "$stamp"; then
  echo "installing Python oracles into .cache/venv"
  python3 -m venv .cache/venv
  .cache/venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$requirements"
  cp "$requirements" "$stamp"
fi

if [ ! -f ".cache/node/$axe/axe.min.js" ]; then
  echo "installing $axe into .cache/node"
  mkdir -p .cache/node
  (cd .cache/node && rm -rf package && tar -xzf "$(npm pack --silent "$axe")" && rm -f axe-core-*.tgz && mv package "$axe")
fi
