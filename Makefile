# `make run` and `make test` are all a newcomer needs; each makes the environment it runs in.
# STUDY=config/studies/NAME.yaml CORES=n DATA_ROOT=folder   another study (run)
# TASK=name,name SEEDS=0,1                                  of a study, these alone (run, paper)
# TORCH_INDEX=url WHEELS=folder PYTHON=python3              how the environment is made

SHELL := /bin/bash
PYTHON ?= python3
STUDY ?= config/config.yaml
CORES ?= all
export TORCH_INDEX WHEELS

VENV_PYTHON := $(CURDIR)/.venv/bin/python
# one thread per process: parties share the cores, and a sum's order must not depend on a machine
QUIET := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
SOURCES := coordinator sites containers workflow tests

.PHONY: run paper forecast download env test test-system docs-test containers test-containers runtimes rehearsal lint bench \
	bench-peers bench-study bench-data floors exactness simulation chaos references audit network figures fuzz flood soak \
	big hijacking chaos-many clean-state

run: env
	@PYTHON=$(VENV_PYTHON) STUDY='$(STUDY)' CORES='$(CORES)' DATA_ROOT='$(DATA_ROOT)' TASK='$(TASK)' SEEDS='$(SEEDS)' \
		workflow/run.sh

# a paper's experiments, from the records to its tables: a day; TASK=heart takes under an hour
paper: STUDY = config/studies/paper.yaml
paper: run

# what a study would run, and the CPU hours that takes by what such runs took: starts nothing
forecast: env
	@PYTHON=$(VENV_PYTHON) STUDY='$(STUDY)' DATA_ROOT='$(DATA_ROOT)' TASK='$(TASK)' SEEDS='$(SEEDS)' \
		workflow/run.sh forecast

# the openly licensed records that studies name, each file held against its hash; nothing else downloads any
download: env
	@$(VENV_PYTHON) -m snakemake -s workflow/download.smk --cores 2 --quiet rules \
		--config sets='$(SETS)' data_root='$(DATA_ROOT)'

env:
	@$(PYTHON) -I workflow/environment.py

test: env
	@$(QUIET) $(VENV_PYTHON) -m pytest tests --ignore=tests/system --ignore=tests/bench -n auto --dist loadfile

test-system: env
	@$(QUIET) $(VENV_PYTHON) -m pytest tests/system

# every command in the documentation, as its reader would type it: about ten minutes; PAGES=docs/hospital.md alone
docs-test: env
	@$(QUIET) $(VENV_PYTHON) -m tests.docs $(PAGES)

# each site's own layer, and the images below it that Apptainer and Docker run parties in; their base is made
# once for a requirements.txt
containers: env
	@$(VENV_PYTHON) -m containers layers $(wildcard config/sites/*.yaml)
	@$(VENV_PYTHON) -m containers build

# walls, images and whole studies in every runtime; SUTURE_REQUIRE says which must be there
test-containers: export SUTURE_REQUIRE ?= apptainer,bwrap,docker,images
test-containers: env
	@$(QUIET) $(VENV_PYTHON) -m pytest tests/containers/test_images.py tests/containers/test_walls.py \
		tests/system/test_walls.py tests/system/test_images.py

# one study in every runtime that works here and on a small Slurm: equal weights, wall times, start-up
runtimes: env
	@$(QUIET) $(VENV_PYTHON) -m tests.bench.runtimes --study '$(STUDY)' --cores '$(CORES)' --images

# a coordinator and four hospitals with addresses and disks of their own: two minutes
rehearsal: export SUTURE_REQUIRE ?= netns,rehearsal
rehearsal: env
	@$(QUIET) $(VENV_PYTHON) -m pytest -s tests/system/test_rehearsal.py

lint: env
	@$(VENV_PYTHON) -m ruff check $(SOURCES)
	@$(VENV_PYTHON) -m ruff format --check $(SOURCES)
	@$(VENV_PYTHON) -m snakefmt --check Snakefile workflow
	@$(VENV_PYTHON) workflow/lint.py
	@$(VENV_PYTHON) -m mypy
	@$(VENV_PYTHON) -m pytest -q tests/test_layers.py

bench: env
	@$(QUIET) $(VENV_PYTHON) -m tests.bench

# the same job, exchange and split step through NVIDIA FLARE and Flower, installed into ~/.cache: ten minutes
bench-peers: env
	@$(QUIET) $(VENV_PYTHON) -m tests.bench.peers $(PEERS)

# what the default study takes beyond its arithmetic, on two cores that are quiet: three minutes
bench-study: env
	@$(QUIET) $(VENV_PYTHON) -m tests.bench.default_study

# seconds and memory from raw files to prepared; needs the data (SUTURE_DATA_ROOT)
bench-data: env
	@$(VENV_PYTHON) -m tests.bench.preparation $(addprefix config/studies/,$(addsuffix .yaml,eicu physionet2012 ham10000))

# what the centralized arm must reach on real data: about an hour
floors: env
	@$(QUIET) $(VENV_PYTHON) -m tests.bench.floors

# the network on paper against runs over an emulated one, on a quiet machine: about three minutes
network: env
	@$(QUIET) $(VENV_PYTHON) -m tests.bench.network

# every figure as SVG and PDF and every table as LaTeX, drawn again from a study's tables; trains nothing
RESULTS ?= results/demo
figures: env
	@$(VENV_PYTHON) workflow/scripts/figures.py --results '$(RESULTS)' --out '$(RESULTS)/paper'
	@echo 'figures: $(RESULTS)/paper'

# how often verdicts and intervals are wrong where the truth is known: half a minute
simulation: env
	@$(QUIET) $(VENV_PYTHON) -m tests.simulation

# what equals what, to the bit or closely: every claim, with the largest difference found
exactness: env
	@$(QUIET) $(VENV_PYTHON) -m tests.bench.exactness

# runs broken at random, each from a plan that can be replayed (--only NUMBER), each party on a small disk of its
# own (bubblewrap): about half a minute a plan
PLANS ?= 200
SEED ?= 0
chaos: env
	@$(QUIET) $(VENV_PYTHON) -m tests.chaos.run --plans $(PLANS) --seed $(SEED)

# attacks held against what their sources report; needs the data (SUTURE_DATA_ROOT): 20 minutes
references: env
	@$(QUIET) $(VENV_PYTHON) -m tests.bench.references

# every attack with many steps on real records, at two cuts, undefended and defended; needs the data: hours;
# EFFORT=small takes few steps, AUDITS=heart one study alone
AUDITS ?= heart physionet2012 pneumonia
audit: env
	@for study in $(AUDITS); do \
		PYTHON=$(VENV_PYTHON) STUDY=config/studies/privacy_$$study.yaml CORES='$(CORES)' EFFORT='$(EFFORT)' \
			DATA_ROOT="$${DATA_ROOT:-$$SUTURE_DATA_ROOT}" workflow/run.sh || exit 1; \
	done

# what comes over the wire, mutated: a message or a ProtocolError, nothing else; ten million take about 20 minutes
INPUTS ?= 10000000
fuzz: env
	@$(QUIET) $(VENV_PYTHON) -m tests.fuzz --inputs $(INPUTS)

# tiny batches by the real programs for long, and each party's memory: a slope with its interval; hours for a million
STEPS ?= 1000000
soak: env
	@$(QUIET) $(VENV_PYTHON) -m tests.soak --steps $(STEPS)

# a model and a pass of activations that are big, and each party's memory beside its formula: minutes, 14 GB for 2 GiB
MEGABYTES ?= 2048
big: env
	@$(QUIET) $(VENV_PYTHON) -m tests.big --megabytes $(MEGABYTES)

# connections that say nothing, under a run; as many as the limit of open files allows
CONNECTIONS ?= 10000
flood: env
	@$(QUIET) $(VENV_PYTHON) -m tests.flood --connections $(CONNECTIONS)

# 100 hijacked and 100 honest runs on synthetic radiographs: how many are found in time, and wrongly
hijacking: env
	@$(QUIET) $(VENV_PYTHON) -m tests.bench.hijacking

# one run of 50 sites, a third of which are killed while it goes on and started again: some minutes, 10 GB
chaos-many: env
	@$(QUIET) $(VENV_PYTHON) -m tests.chaos.many --sites 50 --seed $(SEED)

# what running studies left: commits, ledgers and logs of the parties; results and prepared data stay
clean-state:
	rm -rf state
