#!/bin/sh
# rpm %post: the user and its folders; the distribution's preset says whether the service is enabled.
set -e

if command -v systemd-sysusers >/dev/null 2>&1; then
  systemd-sysusers llamaxr.conf
elif ! getent passwd llamaxr >/dev/null; then
  useradd --system --user-group --home-dir /var/lib/llamaxr --no-create-home --shell /sbin/nologin llamaxr
fi
chown root:llamaxr /etc/llamaxr
if [ ! -e /var/lib/llamaxr ]; then
  install -d -m 0700 -o llamaxr -g llamaxr /var/lib/llamaxr
fi
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || true
  if [ "$1" = 1 ]; then
    systemctl preset llamaxr.service >/dev/null 2>&1 || true
  fi
fi
if [ ! -e /etc/llamaxr/llamaxr.yaml ]; then
  echo 'llamaxr: nothing listens yet. "llamaxr setup" writes /etc/llamaxr/llamaxr.yaml, then "systemctl enable --now llamaxr".'
fi
