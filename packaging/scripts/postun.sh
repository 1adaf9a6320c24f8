#!/bin/sh
# rpm %postun: after an upgrade a running service is started again. An erasure leaves configuration and state: rpm knows no purge.
set -e

if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || true
  if [ "$1" != 0 ]; then
    systemctl try-restart llamaxr.service || true
  fi
fi
if [ "$1" = 0 ]; then
  echo 'llamaxr: /etc/llamaxr, /var/lib/llamaxr (images, reports and records of patients) and /var/lib/llamaxr-backup (backups of them) stay; they are yours to remove, before the user llamaxr.'
fi
