#!/usr/bin/env bash
# Joins the architectures of each image under IMAGE:TAG and prints `digests=IMAGE=sha256:... ...`, a line for GITHUB_OUTPUT.
set -euo pipefail
. "$(dirname "$0")/variants.sh"
digests=()
for image in $SERVICES $NEURON; do
  found=$(variants "$image")
  while read -r suffix _; do
    name=ghcr.io/${GITHUB_REPOSITORY,,}/$image:$GITHUB_REF_NAME${suffix%-}
    parts=("$name-amd64")
    [[ " $SERVICES " != *" $image "* ]] || parts+=("$name-arm64")
    docker buildx imagetools create --tag "$name" "${parts[@]}" >&2 </dev/null
    digests+=("$image=$(docker buildx imagetools inspect "$name" --format '{{json .Manifest}}' </dev/null | jq -er .digest)")
  done <<<"$found"
done
echo "digests=${digests[*]}"
