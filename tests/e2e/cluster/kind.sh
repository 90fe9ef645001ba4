#!/usr/bin/env bash
# Creates a kind cluster, loads the images, runs the cluster tests with the arguments given, and removes the cluster, whatever happened.
# IMAGE_PREFIX and IMAGE_TAG say which images; after a failure the nodes' logs are in build/kind. METRICS_SERVER may name a manifest
# (file or URL) of metrics-server, which the test of autoscaling needs; without it that test is skipped.
set -euo pipefail
cd "$(dirname "$0")/../../.."

registry=${IMAGE_PREFIX:-warmstart}
tag=${IMAGE_TAG:?say which images: IMAGE_TAG=... (make kind-test does)}
python=${PYTHON:-.venv/bin/python}
cluster=warmstart-$$
logs=build/kind

fail() {
  echo "kind-test: $*" >&2
  exit 1
}

for tool in docker kind kubectl; do
  command -v "$tool" >/dev/null || fail "$tool is not installed; a cluster needs docker, kind (v0.24 or newer) and kubectl on PATH"
done
docker info >/dev/null 2>&1 || fail "docker does not answer; start its engine, or let this user use it"
images=()
for service in gateway encoder expander retriever pipelines; do
  image=$registry/$service:$tag
  docker image inspect "$image" >/dev/null 2>&1 || fail "there is no image $image; run this first: make images"
  images+=("$image")
done

work=$(mktemp -d)
export KUBECONFIG=$work/kubeconfig
finish() {
  status=$?
  trap - EXIT
  if ((status)); then
    rm -rf "$logs"
    kind export logs "$logs" --name "$cluster" || true
    echo "kind-test: failed; the logs of the nodes are in $logs" >&2
  fi
  kind delete cluster --name "$cluster" || true
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

kind create cluster --name "$cluster" --config tests/e2e/cluster/kind.yaml --wait 180s
# An archive of one platform: `kind load docker-image` asks for all platforms of an image and fails where only one is there.
docker save --output "$work/images.tar" "${images[@]}"
kind load image-archive "$work/images.tar" --name "$cluster"
if [[ -n ${METRICS_SERVER:-} ]]; then
  kubectl apply --filename "$METRICS_SERVER"
  # The kubelets of kind have certificates that nobody signed.
  kubectl --namespace kube-system patch deployment metrics-server --type json \
    --patch '[{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "--kubelet-insecure-tls"}]'
  kubectl --namespace kube-system rollout status deployment metrics-server --timeout 180s
fi
"$python" -m pytest tests/e2e/cluster --kubeconfig "$KUBECONFIG" --image-prefix "$registry" --image-tag "$tag" "$@"
