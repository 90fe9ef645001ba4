#!/usr/bin/env bash
# Makes the base images from Debian's own packages, for machines that reach no image registry. Needs root, debootstrap and an engine.
# Knows nothing of the services. Images: $PREFIX/base (python3), $PREFIX/build-base (and what makes a venv), $PREFIX/haproxy.
set -euo pipefail

SUITE=${SUITE:-bookworm}
PREFIX=${PREFIX:-warmstart}
EXTRA_CERTIFICATES=/usr/local/share/ca-certificates  # where Debian keeps those that an administrator added
SOURCES=/etc/apt/sources.list.d/debian.sources       # this machine's, for security updates

ROOT=$(mktemp -d)
trap 'rm -rf "$ROOT"' EXIT

inside() { DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$ROOT" "$@"; }
packages() { inside apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0 "$@"; }

make_root() {
  debootstrap --variant=minbase --include=python3,ca-certificates "$SUITE" "$ROOT" >"$ROOT.log" || { tail -n 20 "$ROOT.log" >&2; exit 1; }
  rm -f "$ROOT.log"
  printf 'path-exclude /usr/share/%s/*\n' doc man info locale lintian >"$ROOT/etc/dpkg/dpkg.cfg.d/slim"
  if [ -f "$SOURCES" ] && grep -q "$SUITE-security" "$SOURCES"; then
    rm -f "$ROOT/etc/apt/sources.list"
    cp "$SOURCES" "$ROOT/etc/apt/sources.list.d/debian.sources"
  fi
  packages update
  packages upgrade
}

add_certificates() {
  compgen -G "$EXTRA_CERTIFICATES/*.crt" >/dev/null || return 0
  cp "$EXTRA_CERTIFICATES"/*.crt "$ROOT$EXTRA_CERTIFICATES/"
  inside update-ca-certificates
}

import_as() { # NAME; the folder as one layer, less what only a package manager or a reader wants
  tar -C "$ROOT" --numeric-owner -c \
    --exclude='./var/cache/*' --exclude='./var/lib/apt/lists/*' --exclude='./var/log/*' --exclude='./tmp/*' --exclude='./dev/*' \
    --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/info/*' --exclude='./usr/share/locale/*' \
    --exclude='./usr/share/lintian/*' . |
    docker import --change 'ENV LANG=C.UTF-8' --change 'CMD ["/bin/sh"]' - "$PREFIX/$1:$SUITE" >/dev/null
  echo "made $PREFIX/$1:$SUITE"
}

make_root
import_as base
packages install haproxy
import_as haproxy
packages purge haproxy
packages install python3-venv
add_certificates
import_as build-base
