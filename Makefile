PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
CONSTRAINTS ?= constraints.txt

.PHONY: demo test test-minimum setup clean weights image-weights site gallery

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
# SuperPoint and what is distilled from it: make image-weights PHOTOGRAPHS=folder
# A stage waits for what its recipe starts from. Stopped at any moment, the same command goes on.
OUT ?= out
DEVICE ?= cpu
DESCOMPRESS = $(abspath $(BIN))/descompress
RECIPES = weights/recipes
IMAGE_NETS = $(basename $(notdir $(wildcard $(RECIPES)/superpoint*.toml)))
PATCH_NETS = $(filter-out hardnet hardnet.first $(IMAGE_NETS),$(basename $(notdir $(wildcard $(RECIPES)/*.toml))))

weights: $(PATCH_NETS:%=$(OUT)/%.safetensors)

image-weights: $(IMAGE_NETS:%=$(OUT)/%.safetensors)

# Of the recipe $(1): what it says of $(2); how it is trained; on which pack, or what images; what has to be there.
said = $(shell sed -nE 's/^$(2) = "?([^"]*)"?$$/\1/p' $(RECIPES)/$(1).toml)
verb = $(if $(shell grep '^\[prune\]' $(RECIPES)/$(1).toml),prune,$(if $(call said,$(1),teacher),distill,train))
shares = $(addprefix tours,$(call said,$(1),tour_share)) $(addprefix jitter,$(call said,$(1),least_jitter))
pack_of = $(subst $() ,-,$(strip pack $(call shares,$(1))))
images = $(if $(filter %shapes,$(1)),shapes,$(abspath $(PHOTOGRAPHS)))
taught = $(patsubst superpoint,superpoint.safetensors,$(filter superpoint%,$(call said,$(1),teacher)))
needed = $(addprefix $(OUT)/,$(filter %.safetensors,$(call said,$(1),start)) $(call taught,$(1)) \
	$(if $(filter $(IMAGE_NETS),$(1)),,$(call pack_of,$(1))/pack.json))

.PRECIOUS: $(OUT)/%.safetensors $(OUT)/%.folded.safetensors $(OUT)/%/pack.json
.SECONDEXPANSION:
$(OUT)/%.safetensors: | setup $(RECIPES)/%.toml $$(call needed,$$*)
	mkdir -p $(OUT)
	cd $(OUT) && $(DESCOMPRESS) $(call verb,$*) $(abspath $(RECIPES)/$*.toml) $*.safetensors --device $(DEVICE) \
		$(addprefix --teacher ,$(call taught,$*)) \
		$(if $(filter $(IMAGE_NETS),$*),--images $(call images,$*),--pack $(call pack_of,$*))

$(OUT)/%.folded.safetensors: | $(OUT)/%.first.safetensors
	$(DESCOMPRESS) convert $(OUT)/$*.first.safetensors $@ --fold

# Those of last stages, such as pack-tours0.2-jitter0.5, hold other pairs than the first.
pack_options = $(if $(1),--seed 1) $(patsubst tours%,--tour-share %,$(patsubst jitter%,--least-jitter %,$(1)))
$(OUT)/%/pack.json: | setup
	$(DESCOMPRESS) pack $(OUT)/$* --batches 1600 $(call pack_options,$(filter tours% jitter%,$(subst -, ,$*))) \
		--photographs $(PHOTOGRAPHS) $(addprefix --phototour ,$(PHOTOTOUR))

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
