# Two commands for a fresh machine with Python 3.11 or newer, pip and make:
#   make demo   sets everything up, finds the golden layers of the bundled model, edits a fact there
#   make test   sets everything up and passes the tests
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test check bench tables comparison editors facts clean

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

facts: $(STAMP)
	$(BIN)/python tools/bundled_facts/build.py
	$(BIN)/golden-layers facts --known-by bundled

# torch is named first so that pip takes the version of constraints.txt before anything else asks
# for the newest one, whose default build brings gigabytes of GPU libraries.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, found $$($(PYTHON) --version); try make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "setting up $(VENV) with the versions of constraints.txt, once: a minute or more, mostly torch"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
