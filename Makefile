# Every target makes .venv and installs what it needs when that is missing.
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell command -v $(name) 2>/dev/null)))
BIN := .venv/bin
INSTALLED := .venv/.installed
SLIM := .venv-slim/.installed
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal
export TOKENIZERS_PARALLELISM := false
export HF_HUB_OFFLINE := 1
export NO_MKDOCS_2_WARNING := 1

.PHONY: help install demo test quick lint format docs bench slim clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(INSTALLED)  ## make .venv and install everything for development

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Fulcrum needs Python 3.11 or later; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv: about 2 GB with PyTorch, some minutes the first time"
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(INSTALLED)  ## run what there is on the lab: no key, no GPU, no download
	$(BIN)/fulcrum demo

test: $(INSTALLED)  ## the whole test suite
	$(PYTEST)

quick: $(INSTALLED)  ## the fast tests, without those that load a model
	$(PYTEST) -m 'not slow' --ignore tests/models --ignore tests/training

lint: $(INSTALLED)  ## ruff and pyright
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright

format: $(INSTALLED)  ## let ruff tidy up
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(INSTALLED)  ## build the documentation into site/, strictly
	$(BIN)/mkdocs build --strict --quiet

bench: $(INSTALLED)  ## time this machine, into benchmarks/results/; LITELLM=path/to/litellm joins the proxies
	for benchmark in start_up call_store generation_speed training_speed society_speed; do \
		OMP_NUM_THREADS=2 $(BIN)/python benchmarks/$$benchmark.py || exit 1; \
	done
	$(BIN)/python benchmarks/proxy.py $(if $(LITELLM),--litellm $(LITELLM))
	$(BIN)/python benchmarks/proxy_load.py

$(SLIM): pyproject.toml constraints.txt
	@test -x .venv-slim/bin/python || $(PYTHON) -m venv .venv-slim
	.venv-slim/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

slim: $(SLIM)  ## prove that the package without extras starts, and loads no heavy library
	.venv-slim/bin/python tests/slim_install.py

clean:  ## remove what the targets made
	rm -rf .venv .venv-slim site build dist
