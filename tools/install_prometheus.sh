#!/usr/bin/env bash
# Unpacks Debian's prometheus and promtool into a folder of the checkout, for the tests that run them.
# Nothing is installed on the machine and no service starts. Where apt-get is missing those tests skip.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=.venv/prometheus

if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "install_prometheus: no apt-get here; the tests that run Prometheus will be skipped" >&2
  exit 0
fi

mkdir -p $folder
cd $folder
exec 9>.lock
flock 9 # several test workers may ask at once
[ ! -e .complete ] || exit 0
download() { apt-get download -qq -o APT::Sandbox::User=root prometheus; }
# A machine that never asked has no package list; fetching one needs root and a mirror.
if ! download 2>/dev/null && ! { apt-get update -qq && download; } 2>/dev/null; then
  echo "install_prometheus: apt-get cannot fetch it; the tests that run Prometheus will be skipped" >&2
  exit 0
fi
dpkg -x prometheus_*.deb .
rm prometheus_*.deb
touch .complete
