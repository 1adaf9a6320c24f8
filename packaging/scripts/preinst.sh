#!/bin/sh
# deb: postinst hears the old version after a removal as well as in an upgrade; only here are the two told apart (Debian policy 6.5).
set -e

if [ "$1" = install ] && [ -d /run/systemd/system ]; then
  : >/run/llamaxr.install
fi
