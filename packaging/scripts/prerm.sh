#!/bin/sh
# deb: the service stops, and drains, before its program goes. An upgrade lets it run until the new program is in place.
set -e

if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  deb-systemd-invoke stop llamaxr-backup.timer llamaxr.service
fi
