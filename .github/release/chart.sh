#!/usr/bin/env bash
# Packages the chart with the digests of its images, pushes it, and signs it by digest. Usage: chart.sh IMAGE=sha256:... ...
set -euo pipefail
cd "$(dirname "$0")/../.."
registry=ghcr.io/${GITHUB_REPOSITORY,,}
version=${GITHUB_REF_NAME#v}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r deploy/helm/warmstart "$work/warmstart"
python3 .github/release/pin_digests.py "$work/warmstart/values.yaml" "$registry" "$@"
helm package "$work/warmstart" --version "$version" --app-version "$GITHUB_REF_NAME" --destination "$work"
helm push "$work/warmstart-$version.tgz" "oci://$registry/charts" 2>&1 | tee "$work/pushed"
digest=$(grep -oE 'sha256:[0-9a-f]{64}' "$work/pushed" | head -n 1)
cosign sign --yes "$registry/charts/warmstart@$digest"
