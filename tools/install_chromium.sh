#!/usr/bin/env bash
# Unpacks Debian's headless Chromium, with the libraries that it needs and this machine lacks, into a
# folder of the checkout, for the tests that look at the web page. Nothing is installed on the machine.
# Where apt-get is missing those tests skip.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=.venv/chromium

if ! command -v apt-get >/dev/null; then
  echo "install_chromium: no apt-get here; the tests that run Chromium will be skipped" >&2
  exit 0
fi

mkdir -p $folder/archives/partial
cd $folder
exec 9>.lock
flock 9 # several test workers may ask at once
[ ! -e .complete ] || exit 0
# All of Chromium's own by name: what the machine has already is fetched only if it is named.
download() {
  apt-get install -qq -y --download-only --no-install-recommends --reinstall \
    -o APT::Sandbox::User=root -o Debug::NoLocking=1 -o Dir::Cache::archives="$PWD/archives" \
    chromium-headless-shell chromium-common fonts-dejavu-core >/dev/null
}
# A machine that never asked has no package list; fetching one needs root and a mirror.
if ! download 2>/dev/null && ! { apt-get update -qq && download; } 2>/dev/null; then
  echo "install_chromium: apt-get cannot fetch it; the tests that run Chromium will be skipped" >&2
  exit 0
fi
for package in archives/*.deb; do
  dpkg -x "$package" .
done
rm -r archives
cat > chromium <<'SCRIPT'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
lib="$here/usr/lib/$(uname -m)-linux-gnu"
export LD_LIBRARY_PATH="$lib:$lib/pulseaudio"
exec "$here/usr/lib/chromium/chromium-headless-shell" "$@"
SCRIPT
chmod +x chromium
touch .complete
