# lossrt: export, prove and build the training losses of a tracker.
PYTHON ?= python3
RECIPE ?= mot17
RECIPES ?= $(RECIPE)
# Recipes at a time: exporting keeps one core busy, and up to 2 GiB.
JOBS ?= 2
PRECISION ?= fp32
TARGET ?= ort
OUT ?= build/$(RECIPE)
ANNOTATIONS ?=
VENV := .venv
LOSSRT := $(VENV)/bin/lossrt
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# onnxruntime and onnxruntime-gpu hold the same files: one of them only.
ORT := $(if $(shell command -v nvidia-smi 2>/dev/null),gpu,device)

.DEFAULT_GOAL := help
.PHONY: help export build validate bench report demo test test-browser test-device prove prove-family prove-steps soak cost gpu-check check clean constraints

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "%-14s %s\n", $$1, $$2 }'

export: $(VENV)/installed ## export, build, validate and report: RECIPES (names or all), PRECISION, TARGET, ANNOTATIONS, OUT
ifneq ($(RECIPES),$(RECIPE))
	$(if $(filter all,$(RECIPES)),$(LOSSRT) recipes names,printf '%s\n' $(RECIPES)) | \
		xargs -P $(JOBS) -I{} $(MAKE) --no-print-directory export RECIPE={} RECIPES={}
else
	$(LOSSRT) export $(RECIPE) --precision $(PRECISION) --target $(TARGET) $(if $(ANNOTATIONS),--annotations $(ANNOTATIONS)) --out $(OUT)
	$(LOSSRT) build $(OUT)
	$(LOSSRT) validate $(OUT)
	$(LOSSRT) report $(OUT)
endif

build: $(VENV)/installed ## compile the engines of the bundle at OUT
	$(LOSSRT) build $(OUT)

validate: $(VENV)/installed ## prove the bundle at OUT
	$(LOSSRT) validate $(OUT)

bench: $(VENV)/installed ## time the bundle at OUT beside PyTorch and upstream's formulation
	$(LOSSRT) bench $(OUT)

report: $(VENV)/installed ## write the reports of the bundle at OUT again
	$(LOSSRT) report $(OUT)

demo: $(VENV)/installed ## tune a network's heads on another scene by the exported step, beside PyTorch: build/demo; ANNOTATIONS adds real frames
	$(VENV)/bin/python -m examples.finetune_demo $(if $(ANNOTATIONS),--annotations $(ANNOTATIONS))

test: $(VENV)/installed-dev ## run the tests
	$(VENV)/bin/python -m pytest -n 2 -m "not browser"

test-browser: $(VENV)/installed-browser ## look at the HTML report in chromium; the system has to have it and chromedriver
	LOSSRT_REQUIRE_BROWSER=1 $(VENV)/bin/python -m pytest tests/browser

test-device: $(VENV)/installed-dev ## try the device half from its wheel, without PyTorch, on Python 3.10, 3.12 and this one (DEVICE_PYTHONS) (4 minutes)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m tests.device_side

prove: $(VENV)/installed-dev ## hold the validator to its word: mutants caught, faults located, nothing correct failed (5 minutes)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m tests.prove

prove-family: $(VENV)/installed-dev ## hold every recipe's whole loss to 2e-6 of the oracle over 20 seeds, its gradients to 1e-6
	$(VENV)/bin/python -m tests.prove.family
	$(VENV)/bin/python -m tests.prove.gradients

prove-steps: $(VENV)/installed-dev ## hold every training step to PyTorch's own error at full size, and to its memory (10 minutes)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m tests.prove.head_step

soak: $(VENV)/installed-dev ## hold LossSession and evaluate to their word: overhead, 100,000 calls, 2,000 frames killed and resumed (4 minutes)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m tests.prove.overhead
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m tests.prove.soak
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m tests.prove.stream

cost: $(VENV)/installed-dev ## compile the total of every recipe and compare its cost with the committed one; WRITE=1 writes it anew
	$(VENV)/bin/python -m tests.device.cost_baseline $(if $(WRITE),--write)

gpu-check: $(VENV)/installed-dev ## everything that needs a GPU: ONNX Runtime on CUDA, TensorRT or RTX, parity and latency
	$(VENV)/bin/python -m pytest -m gpu -rs -p no:xdist

check: $(VENV)/installed-dev ## formatter, linter, types and import contracts
	$(VENV)/bin/ruff format --check && $(VENV)/bin/ruff check && $(VENV)/bin/mypy && $(VENV)/bin/lint-imports

clean: ## remove what the targets made
	rm -rf build dist $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis *.egg-info

constraints: ## pin every dependency anew, for all Pythons at once (needs uv)
	(echo "# Every dependency of every extra, for Python 3.10 to 3.13. Made with: make constraints"; \
	for extras in "--extra device --extra rtx --extra export --extra metrics --extra report --extra dev --extra browser" "--extra gpu"; do \
		uv pip compile --quiet --universal --python-version 3.10 --no-header --no-annotate $$extras pyproject.toml; \
	done | LC_ALL=C sort -u) > constraints.txt.new
	mv constraints.txt.new constraints.txt

$(VENV)/installed: pyproject.toml constraints.txt
	@echo "installing into $(VENV); this takes a minute or two"
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[export,$(ORT),rtx,report]'
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) --editable '.[export,$(ORT),rtx,report,metrics,dev]'
	touch $@

$(VENV)/installed-browser: $(VENV)/installed-dev
	$(PIP) --editable '.[export,$(ORT),rtx,report,metrics,dev,browser]'
	touch $@
