#!/bin/sh
# rpm %preun: the last version stops the service, and drains, before its program goes.
set -e

if [ "$1" = 0 ] && [ -d /run/systemd/system ]; then
  systemctl --no-reload disable --now llamaxr-backup.timer llamaxr.service >/dev/null || true
fi
