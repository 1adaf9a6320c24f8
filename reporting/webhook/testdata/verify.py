"""Checks a signed event with the reference library: SECRET, then id, timestamp and signature, the body on standard input."""
import sys

from standardwebhooks import Webhook

Webhook(sys.argv[1]).verify(sys.stdin.read(), {"webhook-id": sys.argv[2], "webhook-timestamp": sys.argv[3], "webhook-signature": sys.argv[4]})
