#!/usr/bin/env bash
# Builds and pushes images of one architecture as IMAGE:TAG-ARCH, with an SBOM and SLSA provenance in the image index.
# Usage: build.sh amd64|arm64 IMAGE... ; an image that has no Dockerfile of its own is a service.
set -euo pipefail
cd "$(dirname "$0")/../.."
. .github/release/variants.sh
arch=$1
shift
docker buildx create --use --driver docker-container >/dev/null # the default driver can not attach attestations
for image in "$@"; do
  if [[ -f docker/$image.Dockerfile ]]; then
    file=(--file "docker/$image.Dockerfile")
  else
    file=(--file docker/service.Dockerfile --build-arg "SERVICE=$image")
  fi
  found=$(variants "$image")
  while read -r suffix base; do
    on=()
    [[ $base = - ]] || on=(--build-arg "BASE=$base")
    docker buildx build "${file[@]}" "${on[@]}" --platform "linux/$arch" --pull --push \
      --build-arg "VERSION=${GITHUB_REF_NAME#v}" --build-arg "REVISION=$GITHUB_SHA" \
      --attest type=sbom --attest type=provenance,mode=max \
      --tag "ghcr.io/${GITHUB_REPOSITORY,,}/$image:$GITHUB_REF_NAME${suffix%-}-$arch" . </dev/null
  done <<<"$found"
done
