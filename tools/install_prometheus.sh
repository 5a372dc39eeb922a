#!/usr/bin/env bash
# Unpacks Debian's Prometheus and Alertmanager, with promtool and amtool, into a folder of the checkout,
# for the tests that run them. Nothing is installed on the machine and no service starts. Where apt-get
# is missing those tests skip.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=.venv/prometheus
programs=(prometheus promtool prometheus-alertmanager amtool)

present() { PATH="$PWD/usr/bin:$PATH" command -v "${programs[@]}" | wc -l | grep -qx ${#programs[@]}; }

if present; then
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
if present; then
  exit 0
fi
download() { apt-get download -qq -o APT::Sandbox::User=root prometheus prometheus-alertmanager; }
# A machine that never asked has no package list; fetching one needs root and a mirror.
if ! download 2>/dev/null && ! { apt-get update -qq && download; } 2>/dev/null; then
  echo "install_prometheus: apt-get cannot fetch it; the tests that run Prometheus will be skipped" >&2
  exit 0
fi
for package in *.deb; do
  dpkg -x "$package" .
  rm "$package"
done
# Debian's Alertmanager reads its templates from one fixed place. Where it is not installed it is to
# look in its working directory: a name as long as the one that it replaces.
fixed=/usr/share/prometheus/alertmanager
here=$(printf './%.0s' {1..17})
[ ${#here} -eq ${#fixed} ]
LC_ALL=C sed -i "s#$fixed#$here#g" usr/bin/prometheus-alertmanager
