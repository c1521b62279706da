# Everything runs in a virtual environment of its own, made on first use.
# Needed beforehand: make and Python 3.10 to 3.13 with venv (Debian and Ubuntu: apt install make python3-venv).
#
#   make demo PYTHON=python3.12                  another interpreter
#   make demo TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
#                                                the small CPU build where pip would fetch the CUDA one
#   make demo REFERENCE=me.jpg DRIVING=me.mp4     your own portrait and driving video
#   make test ARGS="tests/weights -k strict"     some tests only

PYTHON ?= python3
TORCH  ?= torch==2.13.0
ARGS   ?=
JOBS   ?= 2
REFERENCE ?= model_core/assets/demo_portrait.png
DRIVING   ?= model_core/assets/demo_driving.mp4

RUN   := .venv/bin/python
READY := .venv/.ready
PIP   := $(RUN) -m pip --disable-pip-version-check install

.DEFAULT_GOAL := help
.PHONY: help demo test lint screenshots bench clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1	\2/p' Makefile

demo: $(READY) ## animate a portrait with a driving video: output/demo.mp4, and all models side by side
	@mkdir -p output
	$(RUN) -m model_core animate --model driven-avatars --reference "$(REFERENCE)" --driving "$(DRIVING)" \
		--output output/demo.mp4 --sheet output/demo.png
	$(RUN) -m model_core compare --reference "$(REFERENCE)" --driving "$(DRIVING)" \
		--frames 16 --size 384 --output output/demo_models.mp4 --sheet output/demo_models.png

# One thread in each of JOBS workers: tiny tensors gain nothing from more, and two cores stay busy. A file stays with
# one worker; all that needs a real ComfyUI (found as tests/live/comfyui_server.py says) shares one server.
test: $(READY) ## run the whole test suite
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

lint: $(READY) ## check style, imports, formatting and types
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy model_core

screenshots: $(READY) ## run the workflows in a real ComfyUI and browser: docs/workflow_*.jpg, thumbnails
	$(RUN) tests/live/screenshots.py $(ARGS)

bench: $(READY) ## run the timed comparisons of benchmarks/
	$(RUN) -m benchmarks $(ARGS)

clean: ## remove the environment, the caches and the demo's output
	rm -rf .venv output .pytest_cache .ruff_cache .mypy_cache .hypothesis

$(READY): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "Python 3.10 to 3.13 is needed and $(PYTHON) is not: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -x .venv/bin/pip || $(PYTHON) -m venv .venv || \
		{ rm -rf .venv; echo "No virtual environment could be made. Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PIP) $(TORCH)
	$(PIP) -r requirements-dev.txt
	$(RUN) install.py
	@touch $(READY)
