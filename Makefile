# Sigap: `make` alone lists what there is to do. Everything lands in .venv/, build/ and var/ of this checkout;
# only Mosquitto, for the tests Chromium (and python3-venv, where Debian lacks it), are installed on the system.

BIN := .venv/bin
RUN_DIR ?= var/run
RUN_ARGS ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=
WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help setup run once sim firmware test soak bench lint format lock generate map lora picture clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready ## make .venv and install Mosquitto where it is missing (the others do it by themselves)

.venv/.ready: requirements.lock pyproject.toml .ci/setup.sh
	@bash .ci/setup.sh

run: .venv/.ready ## start everything on this machine and press buttons: broker, gateway, police, two virtual buttons
	@$(BIN)/sigap run --dir $(RUN_DIR) $(RUN_ARGS)

once: .venv/.ready ## one press walked all the way through, and its timeline
	@$(BIN)/sigap run --once

.venv/.browser: .venv/.ready
	@bash .ci/setup.sh browser

test: .venv/.ready .venv/.browser ## every test, in parallel (PYTEST_ARGS="-k name" for some)
	@$(BIN)/python -m pytest -q -m alone $(PYTEST_ARGS) || [ $$? = 5 ]
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not alone" $(PYTEST_ARGS)

soak: .venv/.ready ## minutes of drawn faults, a hundred boards, stories, killed parts, crowds; 20 minutes at most
	@SIGAP_SOAK_S=$${SIGAP_SOAK_S:-240} timeout 1200 $(BIN)/python -m pytest -q -s tests/soak

bench: .venv/.ready ## press to receipt at 10 to 10,000 alarms/s, beside others; writes docs/performance.md (eight minutes)
	@bash sigap/bench/node_red/install.sh build/bench/node-red
	@$(BIN)/sigap bench --docs docs $(BENCH_ARGS)
	@$(BIN)/sigap bench --webhook --docs docs

sim: .venv/.ready ## open the panel: virtual buttons in the browser
	@$(BIN)/sigap sim --dir $(RUN_DIR) --open

firmware: .venv/.ready ## build/firmware: .mpy files with a manifest, the same bytes each time; size and RAM
	@$(BIN)/python -m sigap.firmware

lint: .venv/.ready ## ruff, pyright, import rules, generated files, lock
	@bash .ci/lint.sh

format: .venv/.ready ## let ruff rewrite the layout of the code
	@$(BIN)/ruff check --fix --quiet . && $(BIN)/ruff format .

lock: .venv/.ready ## choose the newest versions again and write requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --group dev --universal --generate-hashes --python-version 3.11 \
	  --no-annotate --upgrade --custom-compile-command "make lock" --quiet -o requirements.lock

generate: .venv/.ready ## write again the files that are made from others
	@$(BIN)/python -m hardware.generate && $(BIN)/python tests/contract/make_vectors.py
	@$(BIN)/python -m sigap.firmware.names && $(BIN)/python -m sigap.firmware.schema
	@$(BIN)/python -m sigap.settings_page && $(BIN)/python -m sigap.backends_page && $(BIN)/python -m sigap.api_descriptions

map: .venv/.ready ## fetch Leaflet and open map data again, for the desk's map
	@$(BIN)/python -m gateway.desk.make_map

lora: .venv/.ready ## what LoRa can carry, by the model; writes docs/lora.md (some minutes)
	@$(BIN)/sigap lora chain --docs docs && $(BIN)/sigap lora grid --docs docs

picture: .venv/.ready .venv/.browser ## make the pictures of the docs anew: one press drawn, the desk in a browser
	@$(BIN)/python docs/make_picture.py
	@$(BIN)/python docs/make_screens.py

clean: ## remove .venv, build and var
	rm -rf .venv build var
