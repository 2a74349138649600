# Two commands for a fresh machine with Python 3.11 or newer, pip and make:
#   make demo   sets everything up, finds the golden layers of the bundled model, edits a fact there
#   make test   sets everything up and passes the tests
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test check bench tables comparison editors study facts lock audit clean

demo: $(STAMP)
	$(BIN)/golden-layers find
	$(BIN)/golden-layers edit --ranking golden-layers-out --subject "Eiffel Tower" \
	  --prompt "The Eiffel Tower stands in the city of" --new Rome \
	  --rephrase "The Eiffel Tower is a landmark in the city of" \
	  --rephrase "Visitors who want to see the Eiffel Tower travel to"

# two processes of one thread each: tiny models gain nothing from a second thread. The bundled model
# is fetched first, so that only one of them does.
test: $(STAMP) check
	$(BIN)/python -c "from goldenlayers.models.bundled import ensure_bundled; ensure_bundled(print)"
	GL_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

# what a change must satisfy beside the tests
check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tools/bundled_facts/build.py --check

# long-running: the figures that the documents quote
bench: $(STAMP)
	$(BIN)/python -m bench.lga
	$(BIN)/python -m bench.edit
	$(BIN)/python -m bench.batch
	$(BIN)/python -m bench.brute_force
	$(BIN)/python -m bench.cma
	$(BIN)/python -m bench.cluster

# very long: what docs/editing.md shows
tables: $(STAMP)
	$(BIN)/golden-layers evaluate --limit 60 --layers auto,0,9,14,20,26 \
	  --fluency-facts 20 --out out/layers
	$(BIN)/golden-layers evaluate --split all --limit 100 --layers auto --sequential \
	  --editor r-rome,rome --out out/sequence
	$(BIN)/golden-layers evaluate --split all --limit 100 --layers auto --sequential \
	  --editor r-rome,rome --templates published --covariance model --out out/sequence-published

# very long: what docs/choosing.md shows; started again it goes on where it was stopped
comparison: $(STAMP)
	$(BIN)/golden-layers compare --proxy 12 --repeats 5 --resume --out out/comparison \
	  --methods lga,verified,brute-force,cma,attribution-patching,gradient-norm,middle,random,fixed:5

# very long: the editors by layer choice, what docs/editing.md shows; goes on where it was stopped
editors: $(STAMP)
	$(BIN)/python tools/editors/run.py --out out/editors

# very long: docs/larger-study, where ../shared/data has the data sets; goes on where it was stopped
study: $(STAMP)
	$(BIN)/golden-layers study examples/larger-study.yaml --out out/larger-study
	$(BIN)/golden-layers report out/larger-study --format md --no-texts --out docs/larger-study \
	  --where "data set=all" --where "data set=bundled" --where prediction=LGA \
	  --where facts=8 --where "tokens of a prompt=20"
	rm docs/larger-study/figures/*.svg

facts: $(STAMP)
	$(BIN)/python tools/bundled_facts/build.py
	$(BIN)/golden-layers facts --known-by bundled

# Everything that is installed has a hash in locks/, torch's build without GPU libraries first: where
# pip does not find that (PyPI does not have it), PyPI's own with its GPU libraries, gigabytes of them.
# Nothing asks for anything that is not listed (--no-deps), nothing is fetched to build the three
# packages that are published as source alone, nor this one (--no-build-isolation), and `pip check`
# says whether it is all there. LOCKED=no takes the versions of constraints.txt without hashes: for
# another Python or another machine, whose builds of a package may not be among those listed.
LOCKED ?= yes
PIP    := $(BIN)/python -m pip
HASHED := $(PIP) install --quiet --require-hashes --no-deps --no-build-isolation
LOCKS  := locks/packages.lock locks/torch.lock locks/torch-cpu.lock

$(STAMP): pyproject.toml constraints.txt $(LOCKS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, found $$($(PYTHON) --version); try make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "setting up $(VENV), once: about three minutes, each package checked by its hash"
	$(PYTHON) -m venv $(VENV)
ifeq ($(LOCKED),yes)
	$(HASHED) --requirement locks/torch-cpu.lock || \
	  { echo "no such build here: the one of PyPI, with its GPU libraries"; $(HASHED) --requirement locks/torch.lock; }
	$(HASHED) --requirement locks/packages.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
else
	$(PIP) install --quiet --constraint constraints.txt torch
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
endif
	$(PIP) check
	touch $(STAMP)

# after a change of pyproject.toml or constraints.txt: the hashes of what the index lists
lock:
	$(PYTHON) tools/locks/make.py

# known vulnerabilities of what locks/ lists; says so where the service cannot be reached
audit:
	$(PYTHON) tools/locks/audit.py

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
