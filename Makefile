# `make help` lists the targets. Requires only Python 3.11 or newer and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Experiments of the demo, from conf/experiment; all are evaluated on the frames that FlowRNN can restore.
DEMO := srn_toy svrnn_toy flow_toy
RUNS := runs/demo
# Data, runs and device of the study, see study/README.md.
DATA ?= data/study
STUDY ?= $(HOME)/deblurzoo-study
DEVICE ?= cpu

.DEFAULT_GOAL := help
.PHONY: help install demo pictures learnability study longer weights study-check gpu test test-all lint format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/installed ## create .venv with the pinned dependencies

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "deblurzoo needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

data/toy: | $(VENV)/installed
	$(BIN)/deblurzoo data toy --out $@

demo: $(VENV)/installed data/toy ## train, evaluate and compare small networks on toy data (minutes)
	@for experiment in $(DEMO); do \
	  echo "training and evaluating $$experiment ($(RUNS)/$$experiment)" && \
	  $(BIN)/deblurzoo train experiment=$$experiment paths.runs=$(RUNS) trainer=cpu resume=auto && \
	  $(BIN)/deblurzoo evaluate checkpoint=$(RUNS)/$$experiment data=toy data.common_frames=2 trainer=cpu || exit 1; \
	done
	@echo
	@$(BIN)/deblurzoo compare $(addprefix $(RUNS)/,$(DEMO)) --html $(RUNS)/comparison.html
	@echo "blurry | restored | sharp pictures: $(RUNS)/*/evaluate/*/side_by_side"
	@echo "train again: rm -r $(RUNS); other options: $(BIN)/deblurzoo train experiment=svrnn_toy name=mine model.net.width=0.25"
	@echo "real data:  $(BIN)/deblurzoo train experiment=srn_gopro data.root=GOPRO_Large"

pictures: demo ## draw the README's pictures from the demo's results (requires Chromium)
	PYTHONPATH=study $(BIN)/python docs/pictures/make.py

learnability: ## train small networks in several regimes of blur, see study/README.md (hours)
study: ## train all networks, ablations and controls, see study/README.md (hours)
longer: ## train them with four times as many samples, see study/README.md (hours)
weights: ## train the networks that are part of deblurzoo, see study/README.md (hours)
learnability study longer weights: $(VENV)/installed
	$(BIN)/python study/study.py $@ --data $(DATA) --runs $(STUDY) --device $(DEVICE)

study-check: $(VENV)/installed ## measure the networks that are part of deblurzoo again, and compare (minutes)
	$(BIN)/python study/study.py check --data $(DATA) --runs $(STUDY) --device $(DEVICE)

gpu: $(VENV)/installed ## check and measure everything on a GPU (9 minutes); without a GPU, at toy size
	$(BIN)/python benchmarks/gpu.py

test: $(VENV)/installed ## run the tests, except those marked `processes`
	$(BIN)/python -m pytest -n auto -m "not processes"

test-all: $(VENV)/installed ## run all tests, including kills, DDP, Slurm, Chromium, the wheel and the documented commands
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/installed ## run ruff, mypy and import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed ## fix style and format with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove .venv, toy data and demo runs
	rm -rf $(VENV) data/toy $(RUNS)
