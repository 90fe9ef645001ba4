#!/usr/bin/env bash
# Signs images by digest with the identity of this workflow (no key), and attests the SBOM that a service image carries.
# Usage: sign.sh IMAGE=sha256:... ...
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for pair in "$@"; do
  image=${pair%%=*}
  name=ghcr.io/${GITHUB_REPOSITORY,,}/$image@${pair#*=}
  cosign sign --yes --recursive "$name" # the index and each architecture: a mirror may keep one
  [[ " $SERVICES " == *" $image "* ]] || continue
  container=$(docker create --platform linux/amd64 "$name")
  docker cp "$container:/usr/share/sbom/$image.cdx.json" "$work/"
  docker rm "$container" >/dev/null
  cosign attest --yes --type cyclonedx --predicate "$work/$image.cdx.json" "$name"
done
