# Sourced: `variants IMAGE` prints a line `SUFFIX BASE` for each tag that a release has of an image, `- -` where there is one, as it is.
# vLLM for Neuron has one tag for each runtime profile that the chart can name, on the base which that profile is known to work with.
variants() {
  if [[ $1 = vllm-neuron ]]; then
    jq -er '.profiles[].image | select(.run | contains("/vllm-neuron:")) | "\(.tag_suffix) \(.base_image)"' \
      "$(dirname "${BASH_SOURCE[0]}")/../../deploy/helm/warmstart/files/runtime-profiles.json"
  else
    echo "- -"
  fi
}
