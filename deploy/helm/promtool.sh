#!/bin/sh
# Puts promtool at build/promtool: the one on the PATH, else that of Debian's package `prometheus`, unpacked and not installed, so that no
# server is started. Needs apt's package lists (apt-get update), not root.
set -eu
cd "$(dirname "$0")/../.."
mkdir -p build
if [ -x build/promtool ]; then
  exit 0
fi
if command -v promtool >/dev/null; then
  ln -s "$(command -v promtool)" build/promtool
  exit 0
fi
unpacked=$(mktemp -d build/promtool.XXXXXX)
trap 'rm -rf "$unpacked"' EXIT
(cd "$unpacked" && apt-get -qq -o APT::Sandbox::User="$(id -un)" download prometheus && dpkg -x prometheus_*.deb .)
mv "$unpacked/usr/bin/promtool" build/promtool
