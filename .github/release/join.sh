#!/usr/bin/env bash
# Joins the architectures of each image under IMAGE:TAG and prints `digests=IMAGE=sha256:... ...`, a line for GITHUB_OUTPUT.
set -euo pipefail
digests=()
for image in $SERVICES $NEURON; do
  name=ghcr.io/${GITHUB_REPOSITORY,,}/$image:$GITHUB_REF_NAME
  parts=("$name-amd64")
  [[ " $SERVICES " != *" $image "* ]] || parts+=("$name-arm64")
  docker buildx imagetools create --tag "$name" "${parts[@]}" >&2
  digests+=("$image=$(docker buildx imagetools inspect "$name" --format '{{json .Manifest}}' | jq -er .digest)")
done
echo "digests=${digests[*]}"
