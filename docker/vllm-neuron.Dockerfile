# vLLM for Trainium with the expander's launcher beside it: docker build -f docker/vllm-neuron.Dockerfile -t warmstart/vllm-neuron .
# Adds files only. `python3 -m expander.runtimes` needs the standard library and nothing else; it checks the compiled artefact before
# vLLM starts. The tag of BASE decides the hardware (AWS deep-learning-containers README):
#   0.13.0-neuronx-py312-sdk2.28.0-ubuntu24.04        trn1, inf2, trn2   profile trn1-sdk2.28
#   0.16.0-neuronx-py312-sdk2.31.1-ubuntu24.04        trn1, inf2, trn2   profile trn1-sdk2.31
#   0.24.0.1.1.0-neuronx-py313-sdk2.32.0-ubuntu24.04  trn2, trn3         profile trn2
# A release pins BASE by digest (tag@sha256:...).
ARG BASE=public.ecr.aws/neuron/pytorch-inference-vllm-neuronx:0.13.0-neuronx-py312-sdk2.28.0-ubuntu24.04
FROM ${BASE}
ARG BASE
ARG VERSION=dev
ARG REVISION=unknown
COPY services/expander/expander/__init__.py /opt/warmstart/expander/
COPY services/expander/expander/runtimes /opt/warmstart/expander/runtimes
COPY LICENSE NOTICE /usr/share/licenses/warmstart/
ENV PYTHONPATH=/opt/warmstart${PYTHONPATH:+:${PYTHONPATH}}
# Fails the build where this Python can not run the launcher.
RUN python3 -B -m expander.runtimes --help >/dev/null
LABEL org.opencontainers.image.title="warmstart-vllm-neuron" \
      org.opencontainers.image.description="vLLM on AWS Neuron, started only with the compiled artefact that its flags ask for" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
ENTRYPOINT ["python3", "-m", "expander.runtimes"]
