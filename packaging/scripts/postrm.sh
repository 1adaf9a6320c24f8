#!/bin/sh
# deb: purge takes the configuration that `llamaxr setup` wrote. It leaves patients' images and reports, and the user that owns them: whether they
# may be destroyed is the hospital's decision, and a package manager's question is not the place for it.
set -e

if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  systemctl --system daemon-reload >/dev/null || true
fi

if [ "$1" = purge ]; then
  if command -v deb-systemd-helper >/dev/null 2>&1; then
    deb-systemd-helper purge llamaxr-backup.timer llamaxr.service >/dev/null || true
    deb-systemd-helper unmask llamaxr.service >/dev/null || true
  fi
  rm -f /etc/llamaxr/llamaxr.yaml
  if [ -d /etc/llamaxr ] && ! rmdir /etc/llamaxr 2>/dev/null; then
    echo 'llamaxr: /etc/llamaxr holds files of your own (keys, certificates, tokens); they stay.' >&2
  fi
  stays=
  if [ -d /var/lib/llamaxr ] && ! rmdir /var/lib/llamaxr 2>/dev/null; then
    echo 'llamaxr: /var/lib/llamaxr holds images, reports and records of patients; it stays, readable by the user llamaxr and root only.' >&2
    stays=' /var/lib/llamaxr'
  fi
  if [ -d /var/lib/llamaxr-backup ] && ! rmdir /var/lib/llamaxr-backup 2>/dev/null; then
    echo 'llamaxr: /var/lib/llamaxr-backup holds backups, with all that they were made of; it stays too.' >&2
    stays="$stays /var/lib/llamaxr-backup"
  fi
  if [ -n "$stays" ]; then
    # The user last: whoever gets its number next owns what it left.
    echo "llamaxr: when your retention rules allow it, \"rm -r$stays && userdel llamaxr\" destroys it; think of backups elsewhere too." >&2
  fi
fi
