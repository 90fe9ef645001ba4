# The encoder on the AWS Neuron container: docker build -f docker/encoder-neuron.Dockerfile -t warmstart/encoder-neuron .
# It compiles models (python3 -m encoder compile) and serves what was compiled (ENCODER_BACKEND=neuron) with the container's own torch,
# torch_neuronx and compiler; transformers, which compiling needs, is ours. It has not run on Neuron hardware, nor on that container.
ARG BASE=public.ecr.aws/neuron/pytorch-inference-neuronx:2.9.0-neuronx-py312-sdk2.31.1-ubuntu24.04
ARG BUILD_BASE=${BASE}

FROM ${BUILD_BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_CERT=/etc/ssl/certs/ca-certificates.crt SOURCE_DATE_EPOCH=315532800
WORKDIR /build
RUN python3 -m venv tools
COPY requirements/images.txt requirements/encoder.txt requirements/alone.txt requirements/torch.txt requirements/
RUN tools/bin/pip install --no-deps --require-hashes --only-binary :all: -r requirements/images.txt
# A folder of its own on PYTHONPATH, not a venv: the container's packages stay importable wherever its Python keeps them.
# torch.txt has transformers and what it needs, without torch; what two files name is taken once.
RUN cat requirements/encoder.txt requirements/alone.txt requirements/torch.txt | awk '/^[^ #]/ {new = !seen[$1]++} new' >locked.txt \
    && tools/bin/pip install --no-compile --target /opt/warmstart --no-deps --require-hashes --only-binary :all: -r locked.txt
COPY services services
RUN tools/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels ./services/shared ./services/encoder \
    && tools/bin/pip install --no-compile --target /opt/warmstart --no-deps --no-index wheels/*.whl \
    && mkdir -p sbom \
    && tools/bin/cyclonedx-py requirements --output-reproducible --of JSON -o sbom/encoder.cdx.json locked.txt

FROM ${BASE}
ARG BASE
ARG VERSION=dev
ARG REVISION=unknown
USER root
RUN mkdir -p /state && chown 10001:10001 /state
COPY --from=build /build/sbom /usr/share/sbom
COPY --from=build /opt/warmstart /opt/warmstart
COPY LICENSE NOTICE /usr/share/licenses/warmstart/
ENV PYTHONPATH=/opt/warmstart${PYTHONPATH:+:${PYTHONPATH}} PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1 \
    ORT_DISABLE_TELEMETRY=1 ENCODER_HOST=0.0.0.0 ENCODER_STATE_DIR=/state
RUN python3 -c "import encoder.backends.onnx, encoder.backends.neuron, encoder.compiling, transformers"
LABEL org.opencontainers.image.title="warmstart-encoder-neuron" \
      org.opencontainers.image.description="The encoder of Warmstart on the AWS Neuron container" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
EXPOSE 8001
STOPSIGNAL SIGTERM
VOLUME /state
USER 10001:10001
ENTRYPOINT ["python3", "-m", "encoder"]
