#!/usr/bin/env bash
# Logs docker, and so cosign and helm, in to the registry of this repository. Takes the token from TOKEN.
set -euo pipefail
docker login ghcr.io --username "$GITHUB_ACTOR" --password-stdin <<<"$TOKEN"
