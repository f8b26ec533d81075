PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
CONSTRAINTS ?= constraints.txt

.PHONY: demo test test-minimum setup clean weights image-weights site gallery

DEVICE ?= cpu
STUDENTS = $(filter-out hardnet hardnet.first superpoint%,$(basename $(notdir $(wildcard weights/recipes/*.toml))))

# The main job on photographs that come with scikit-image; everything it makes lies in out/demo.
demo: setup
	$(BIN)/descompress demo out/demo --force

test: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/pytest -q -rs

# The tests with the lowest versions in pyproject.toml, which warn of what is newer than they are.
test-minimum:
	$(MAKE) setup VENV=.venv-minimum CONSTRAINTS=constraints-minimum.txt
	.venv-minimum/bin/pytest -q -rs -W default --jaxtyping-packages=

# All small networks anew, into out/: make weights PHOTOGRAPHS=folder PHOTOTOUR=folder DEVICE=cuda
weights: setup
	test -e out/pack/pack.json || $(BIN)/descompress pack out/pack --batches 1600 \
		--photographs $(PHOTOGRAPHS) --phototour $(PHOTOTOUR)
	for name in $(STUDENTS); do test -e out/$$name.safetensors || (cd out && $(abspath $(BIN))/descompress \
		`grep -q '^\[prune\]' ../weights/recipes/$$name.toml && echo prune || \
			{ grep -q '^teacher' ../weights/recipes/$$name.toml && echo distill || echo train; }` \
		../weights/recipes/$$name.toml $$name.safetensors --pack pack --device $(DEVICE)) \
		|| exit 1; done

# SuperPoint and what is distilled from it, stage after stage: make image-weights PHOTOGRAPHS=folder
IMAGE_STAGES = superpoint.shapes superpoint.points superpoint.first superpoint \
	superpoint.tiny.shapes superpoint.tiny.points superpoint.tiny.first superpoint.tiny.second superpoint.tiny.third \
	superpoint.tiny.fourth superpoint.tiny \
	superpoint.cdp5.first superpoint.cdp5.zoomed superpoint.cdp5.third superpoint.cdp5.fourth superpoint.cdp5

image-weights: setup
	mkdir -p out
	for name in $(IMAGE_STAGES); do test -e out/$$name.safetensors || (cd out && $(abspath $(BIN))/descompress \
		`grep -q '^teacher' ../weights/recipes/$$name.toml && echo distill || echo train` \
		../weights/recipes/$$name.toml $$name.safetensors --device $(DEVICE) \
		`grep -q '^teacher = "superpoint"' ../weights/recipes/$$name.toml && echo --teacher superpoint.safetensors` --images \
		`case $$name in *shapes) echo shapes;; *) echo $(abspath $(PHOTOGRAPHS));; esac` && \
		case $$name in *.first) $(abspath $(BIN))/descompress convert $$name.safetensors \
			$${name%first}folded.safetensors --fold --force;; esac) || exit 1; done

# The documentation as pages, in out/site; all it needs lies there.
site: $(VENV)/site-installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The pictures of docs/gallery.md anew.
gallery: setup
	$(BIN)/python docs/gallery.py out/gallery

setup: $(VENV)/installed

$(VENV)/installed: pyproject.toml setup.py $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[dev]'
	touch $@

$(VENV)/site-installed: pyproject.toml constraints.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) .venv-minimum out
