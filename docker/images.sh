#!/usr/bin/env bash
# Builds the five service images as $PREFIX/<service>:$TAG. Knows nothing of what is inside them.
# BASE and BUILD_BASE name other base images; without them the pinned one is pulled, or made by docker/base.sh where no registry answers.
set -euo pipefail
cd "$(dirname "$0")/.."

PREFIX=${PREFIX:-warmstart}
TAG=${TAG:-dev}
SUITE=${SUITE:-bookworm}
SERVICES=${SERVICES:-gateway encoder expander retriever pipelines}

choose_base() {
  local pinned
  pinned=$(sed -n 's/^ARG BASE=//p' docker/service.Dockerfile)
  if docker image inspect "$pinned" >/dev/null 2>&1 || timeout 120 docker pull --quiet "$pinned" >/dev/null 2>&1; then
    BASE=$pinned
    return
  fi
  echo "No registry answers for $pinned; using base images made from Debian's packages."
  docker image inspect "warmstart/build-base:$SUITE" >/dev/null 2>&1 || SUITE=$SUITE PREFIX=warmstart docker/base.sh
  BASE=warmstart/base:$SUITE BUILD_BASE=warmstart/build-base:$SUITE
}

docker/engine.sh start
[ -n "${BASE:-}" ] || choose_base
for service in $SERVICES; do
  docker build --quiet -f docker/service.Dockerfile -t "$PREFIX/$service:$TAG" \
    --build-arg SERVICE="$service" --build-arg BASE="$BASE" --build-arg BUILD_BASE="${BUILD_BASE:-$BASE}" \
    --build-arg VERSION="$TAG" --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || echo unknown)" . >/dev/null
  echo "$PREFIX/$service:$TAG $(($(docker image inspect -f '{{.Size}}' "$PREFIX/$service:$TAG") / 1000000)) MB"
done
