# One image per service: docker build -f docker/service.Dockerfile --build-arg SERVICE=gateway -t warmstart/gateway .
# BASE needs Python 3.11 or newer; BUILD_BASE the same Python and its venv module. Both may be the same image.
# docker/base.sh makes them where no image registry is reachable.
ARG BASE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
ARG BUILD_BASE=${BASE}
ARG SERVICE

# -- build: a venv without pip, from the lock and from our own wheels ------------------------------------------------------------
FROM ${BUILD_BASE} AS build
ARG SERVICE
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_CERT=/etc/ssl/certs/ca-certificates.crt SOURCE_DATE_EPOCH=315532800
WORKDIR /build
RUN python3 -m venv tools && python3 -m venv --without-pip /opt/warmstart
COPY requirements/images.txt requirements/
RUN tools/bin/pip install --no-deps --require-hashes --only-binary :all: -r requirements/images.txt
COPY requirements/${SERVICE}.txt requirements/alone.txt requirements/milvus.txt requirements/
RUN tools/bin/pip --python /opt/warmstart install --no-compile --no-deps --require-hashes --only-binary :all: -r requirements/${SERVICE}.txt \
    && if [ "${SERVICE}" = encoder ]; then \
         tools/bin/pip --python /opt/warmstart install --no-compile --no-deps --require-hashes --only-binary :all: -r requirements/alone.txt; fi \
    && if [ "${SERVICE}" = retriever ]; then \
         tools/bin/pip --python /opt/warmstart install --no-compile --no-deps --require-hashes --only-binary :all: -r requirements/milvus.txt; fi
COPY services services
COPY pipelines pipelines
RUN case ${SERVICE} in pipelines) own=pipelines ;; *) own=services/${SERVICE} ;; esac \
    && tools/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels ./services/shared ./$own \
    && tools/bin/pip --python /opt/warmstart install --no-compile --no-deps --no-index wheels/*.whl
COPY docker/strip.sh docker/
RUN docker/strip.sh /opt/warmstart \
    && mkdir -p sbom \
    && tools/bin/cyclonedx-py environment --output-reproducible --of JSON -o sbom/${SERVICE}.cdx.json /opt/warmstart/bin/python

# -- runtime: what every service has ----------------------------------------------------------------------------------------------
FROM ${BASE} AS runtime
# A base that brings pip loses it here; nothing is installed at run time.
RUN rm -rf /usr/local/bin/pip* /usr/local/bin/wheel /usr/local/lib/python3*/ensurepip /usr/local/lib/python3*/site-packages/* \
    && mkdir -p /state /artefacts && chown 10001:10001 /state /artefacts
# The services schedule their own threads; more of BLAS and OpenMP would fight over the cores.
ENV PATH=/opt/warmstart/bin:${PATH} PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
STOPSIGNAL SIGTERM
WORKDIR /

FROM runtime AS gateway
ENV GATEWAY_HOST=0.0.0.0 GATEWAY_STATE_DIR=/state
EXPOSE 8000
ENTRYPOINT ["python", "-m", "gateway"]

FROM runtime AS encoder
# ONNX Runtime 1.29 and later report their use to its maker unless this is set (microsoft/onnxruntime pull request 27379).
ENV ENCODER_HOST=0.0.0.0 ENCODER_STATE_DIR=/state ORT_DISABLE_TELEMETRY=1
EXPOSE 8001
ENTRYPOINT ["python", "-m", "encoder"]

FROM runtime AS expander
ENV EXPANDER_HOST=0.0.0.0 EXPANDER_STATE_DIR=/state EXPANDER_TOPICS_PATH=/artefacts/topics.json
EXPOSE 8002
ENTRYPOINT ["python", "-m", "expander"]

FROM runtime AS retriever
ENV RETRIEVER_HOST=0.0.0.0 RETRIEVER_STATE_DIR=/state
EXPOSE 8003
ENTRYPOINT ["python", "-m", "retriever"]

FROM runtime AS pipelines
ENTRYPOINT ["python", "-m", "pipelines"]

FROM ${SERVICE}
ARG BASE
ARG SERVICE
ARG VERSION=dev
ARG REVISION=unknown
COPY --from=build /build/sbom /usr/share/sbom
COPY LICENSE NOTICE /usr/share/licenses/warmstart/
COPY --from=build /opt/warmstart /opt/warmstart
LABEL org.opencontainers.image.title="warmstart-${SERVICE}" \
      org.opencontainers.image.description="The ${SERVICE} of Warmstart, cold-start recommendations" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
VOLUME /state
USER 10001:10001
