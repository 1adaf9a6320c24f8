#!/bin/sh
# deb: the user and its folders, then the service. Debian policy 6.5, and deb-systemd-helper(1p) for what is enabled.
set -e

if [ "$1" = configure ]; then
  if command -v systemd-sysusers >/dev/null 2>&1; then
    systemd-sysusers llamaxr.conf
  elif ! getent passwd llamaxr >/dev/null; then
    useradd --system --user-group --home-dir /var/lib/llamaxr --no-create-home --shell /usr/sbin/nologin llamaxr
  fi
  # The configuration may name secrets: the service reads it, others do not. An administrator's dpkg-statoverride is kept.
  if ! dpkg-statoverride --list /etc/llamaxr >/dev/null 2>&1; then
    chown root:llamaxr /etc/llamaxr
    chmod 0750 /etc/llamaxr
  fi
  if [ ! -e /var/lib/llamaxr ]; then
    install -d -m 0700 -o llamaxr -g llamaxr /var/lib/llamaxr
  fi
fi

case "$1" in
configure | abort-upgrade | abort-deconfigure | abort-remove)
  if command -v deb-systemd-helper >/dev/null 2>&1; then
    deb-systemd-helper unmask llamaxr.service >/dev/null || true
    # The administrator enables the timer; what that made is known to the purge by this.
    deb-systemd-helper update-state llamaxr-backup.timer >/dev/null || true
    if deb-systemd-helper --quiet was-enabled llamaxr.service; then
      deb-systemd-helper enable llamaxr.service >/dev/null || true
    else
      deb-systemd-helper update-state llamaxr.service >/dev/null || true
    fi
  fi
  if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
    if [ -n "$2" ] && [ ! -e /run/llamaxr.install ]; then
      # What was stopped on purpose stays stopped.
      deb-systemd-invoke try-restart llamaxr.service || true
    elif [ -e /etc/llamaxr/llamaxr.yaml ]; then
      deb-systemd-invoke start llamaxr.service || true
      if systemctl --quiet is-enabled llamaxr-backup.timer; then # the removal stopped it
        deb-systemd-invoke start llamaxr-backup.timer || true
      fi
    fi
    rm -f /run/llamaxr.install
  fi
  ;;
esac

if [ "$1" = configure ] && [ ! -e /etc/llamaxr/llamaxr.yaml ]; then
  echo 'llamaxr: nothing listens yet. "llamaxr setup" writes /etc/llamaxr/llamaxr.yaml, then "systemctl start llamaxr".'
fi
