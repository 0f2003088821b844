# What can be done here. `make help` lists it; CI calls nothing else.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
export CARGO_TARGET_DIR ?= target
# An error tells what was tried and why it failed; forty lines of addresses behind it bury that.
export RUST_LIB_BACKTRACE ?= 0
BIN := $(CARGO_TARGET_DIR)/release
# What is shipped and measured: slower to build, faster to run.
DIST := $(CARGO_TARGET_DIR)/dist
# One profile and one set of features for everything, so that each crate is compiled once.
PROFILE := --release --workspace --locked
# Seconds for each fuzz target, and for the soak.
FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 600
SOAK_MQTT_S ?= 3600
KILLS ?= 300
KILLS_DEFERRED ?= 200
KILLS_RESULTS ?= 50
# Size of the bundle of `make bench-pull`, MiB.
PULL_MIB ?= 1024

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: need
need: ## Install what building and running needs (Debian packages), where it is missing
	@packaging/dev/need.sh

.PHONY: fetch
fetch: need ## Fetch ONNX Runtime, OpenVINO and the models, pinned and checked
	@python3 onnx-models/fetch.py .fetch

.PHONY: peers
peers: fetch ## Install the real servers that the system tests talk to: MLServer, KServe, llama.cpp's (600 MB, once)
	@python3 tests/peers/setup.py .fetch

.PHONY: clients
clients: build fetch ## Run every example of docs/mqtt as it stands: mosquitto, paho, Node-RED, Structured Text (150 MB, once)
	@python3 tests/clients/setup.py .fetch
	@EDGE_BIN_DIR='$(BIN)' python3 tests/clients/run.py .fetch/clients

.PHONY: manual
manual: build fetch ## Run every example of the manual pages as it stands: busctl, gdbus, Python, mosquitto, edgectl
	@EDGE_BIN_DIR='$(BIN)' python3 tests/manual/run.py

.PHONY: screenshot
screenshot: build fetch ## Take the picture of docs/mqtt/node-red.md again; needs chromium
	@python3 tests/clients/setup.py .fetch --screenshot
	@EDGE_BIN_DIR='$(BIN)' tests/clients/screenshot.sh

.PHONY: build
build: need ## Build everything
	$(CARGO) build $(PROFILE)

# The same bytes wherever the tree and cargo's own files lie: paths are in messages of faults.
REMAPPED := --remap-path-prefix=$(CURDIR)=/usr/src/edged --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/usr/src/cargo
.PHONY: dist
dist: need ## Build what is installed and measured, optimised across crates (takes some minutes more)
	RUSTFLAGS='$(RUSTFLAGS) $(REMAPPED)' $(CARGO) build --profile dist --workspace --locked --bin edged
	RUSTFLAGS='$(RUSTFLAGS) $(REMAPPED)' $(CARGO) build --profile dist-ctl --workspace --locked --bin edgectl
	@cp -p '$(CARGO_TARGET_DIR)/dist-ctl/edgectl' '$(DIST)/edgectl'

.PHONY: deb
deb: fetch ## Debian packages for ARCH (amd64 or arm64; this machine's unless said), into target/deb
	@packaging/dev/deb.sh '$(ARCH)'

.PHONY: sign
sign: build ## Sign the manifests of the models that are packaged, with the secret key KEY (edgectl models keygen)
	@EDGE_BIN_DIR='$(BIN)' packaging/dev/sign.sh '$(KEY)'

.PHONY: lint-deb
lint-deb: ## What Debian's lintian says of the packages in target/deb: an error or a warning ends it
	@if command -v lintian >/dev/null; then \
	  lintian --fail-on error,warning --tag-display-limit 0 $(if $(filter 0,$(shell id -u)),--allow-root) '$(CARGO_TARGET_DIR)'/deb/*.deb && \
	  echo "lint-deb: nothing to say of the packages in $(CARGO_TARGET_DIR)/deb"; \
	else echo "lint-deb: SKIPPED: no lintian here (Debian package lintian)"; fi

.PHONY: install
install: ## Put what `make dist` built where it belongs, below DESTDIR (as root, or for a package)
	@EDGE_BIN_DIR='$(DIST)' packaging/dev/install.sh '$(DESTDIR)'

.PHONY: demo
demo: build fetch ## Start a stack of its own, infer over D-Bus and MQTT, check every answer, stop it
	@EDGE_BIN_DIR='$(BIN)' packaging/dev/demo.sh

.PHONY: demo-sites
demo-sites: build fetch ## Where requests go: one stream with the box idle, hot, cut off and over budget, checked
	@EDGE_BIN_DIR='$(BIN)' '$(BIN)/edge-demo-sites'

.PHONY: demo-explain
demo-explain: build fetch ## What `edgectl route explain` says of five typical requests, on a box with a sibling, a plant and a cloud
	@EDGE_BIN_DIR='$(BIN)' '$(BIN)/edge-demo-sites' --explain

.PHONY: up
up: build fetch ## Leave a stack running; its settings are in .run/env
	@EDGE_BIN_DIR='$(BIN)' '$(BIN)/edge-stack' up .run

.PHONY: down
down: ## Stop what `make up` started
	@if [ -x '$(BIN)/edge-stack' ]; then '$(BIN)/edge-stack' down .run; \
	elif [ -e .run/stack.json ]; then \
	  echo "make down: a stack was started here (.run/stack.json), and $(BIN)/edge-stack is not there to stop it: make build" >&2; \
	  exit 1; fi

.PHONY: test
test: build fetch peers ## Everything that must hold, system tests included
	$(CARGO) test $(PROFILE) --no-fail-fast
	@$(MAKE) --no-print-directory clients manual e2e
	@python3 -m unittest discover --quiet -s packaging/dev/bills -t packaging/dev
	@python3 -m unittest discover --quiet -s packaging/dev/manual -t packaging/dev
	@python3 -m unittest discover --quiet -s onnx-models

.PHONY: arch
arch: ## The direction of dependencies between crates
	$(CARGO) test $(PROFILE) --test arch

.PHONY: bench
bench: build dist fetch ## The promised numbers beside the measured ones
	@built() { $(CARGO) build $(PROFILE) --bench "$$1" --message-format=json | \
		sed -n 's/.*"executable":"\([^"]*\/'"$$1"'-[^"]*\)".*/\1/p'; }; \
	EDGE_DECIDE_BENCH="$$(built decide)" EDGE_RECIPES_BENCH="$$(built recipes)" EDGE_BIN_DIR='$(BIN)' EDGED='$(DIST)/edged' '$(BIN)/edge-bench'

.PHONY: bench-pull
bench-pull: build dist fetch ## Memory and traffic of pulling a bundle of PULL_MIB over a link that is cut
	@EDGE_BIN_DIR='$(BIN)' EDGED='$(DIST)/edged' '$(BIN)/edge-bench' pull '$(PULL_MIB)'

.PHONY: bench-heat
bench-heat: build ## The governor against simulated plants: the table, and the picture in docs/heat.md
	@'$(BIN)/edge-bench' heat

.PHONY: bench-sites
bench-sites: build ## Real arrivals at boxes that may send calls to the cloud: the table, and the picture in docs/sites.svg
	@'$(BIN)/edge-bench' sites

.PHONY: bench-spill
bench-spill: build dist fetch ## What it costs the daemon to send a request on to another site
	@EDGE_BIN_DIR='$(BIN)' EDGED='$(DIST)/edged' '$(BIN)/edge-bench' spill

.PHONY: bench-mqtt
bench-mqtt: build dist fetch peers ## What is promised of MQTT: pictures, cameras, a hand-written worker, the outbox, a dead link
	@python3 tests/clients/setup.py .fetch
	@EDGE_BIN_DIR='$(BIN)' EDGED='$(DIST)/edged' '$(BIN)/edge-bench' mqtt

.PHONY: bench-quality
bench-quality: build ## What a learnt score keeps local: the table, and the picture in docs/quality.md
	@'$(BIN)/edge-bench' quality

.PHONY: soak
soak: build fetch ## Mixed good and bad load for SOAK_SECONDS, while host, daemon and broker die in turn
	@EDGE_BIN_DIR='$(BIN)' '$(BIN)/edge-soak' '$(SOAK_SECONDS)'

.PHONY: soak-mqtt
soak-mqtt: build fetch ## Bindings for SOAK_MQTT_S seconds while daemon, broker and link fail: none lost, none out of order
	@EDGE_BIN_DIR='$(BIN)' '$(BIN)/edge-soak' mqtt '$(SOAK_MQTT_S)' '$(CARGO_TARGET_DIR)/soak-mqtt.txt'

.PHONY: kills
kills: build fetch ## The daemon dies KILLS times at random moments of installing, pulling, activating and removing versions
	@EDGE_BIN_DIR='$(BIN)' '$(BIN)/edge-kills' '$(KILLS)'

.PHONY: kills-results
kills-results: build fetch ## The daemon and the broker die KILLS_RESULTS times each at random moments while frames come and results go
	@EDGE_BIN_DIR='$(BIN)' '$(BIN)/edge-kills' results '$(KILLS_RESULTS)'

.PHONY: kills-deferred
kills-deferred: build fetch ## The daemon dies KILLS_DEFERRED times at random moments while requests wait on its disk
	@EDGE_BIN_DIR='$(BIN)' '$(BIN)/edge-kills' deferred '$(KILLS_DEFERRED)'

.PHONY: e2e
e2e: build fetch ## The packages on a booted systemd, in a container: install, boot, faults, upgrade, purge (as root; else SKIPPED)
	@EDGE_BIN_DIR='$(BIN)' tests/booted/run.sh $(CASES)

.PHONY: emulated
emulated: ## The packages of `make deb ARCH=arm64` under emulation: four bundles, all golden answers (as root; else SKIPPED)
	@tests/emulated/run.sh

.PHONY: gpu-test
gpu-test: build fetch ## What needs an NVIDIA graphics processor; says SKIPPED where there is none
	@CARGO='$(CARGO)' packaging/dev/gpu-test.sh

.PHONY: fuzz
fuzz: need ## Each fuzz target for FUZZ_SECONDS; what is found stays in tests/fuzz/artifacts
	@packaging/dev/fuzz.sh '$(FUZZ_SECONDS)'

.PHONY: fmt
fmt: ## Format the code
	$(CARGO) fmt --all

.PHONY: fmt-check
fmt-check: ## Is it formatted?
	$(CARGO) fmt --all --check

.PHONY: lint
lint: ## Clippy on everything, tests and benches included; a warning is an error
	$(CARGO) clippy $(PROFILE) --all-targets -- -D warnings

.PHONY: deny
deny: ## Licences, sources and withdrawn versions of dependencies; known faults where RustSec's database can be reached
	@packaging/dev/deny.sh

.PHONY: bills
bills: need fetch ## Bills of materials (CycloneDX) and third-party notices of each package, held against the schema
	@CARGO='$(CARGO)' packaging/dev/bills.sh '$(CARGO_TARGET_DIR)/bills' .fetch

.PHONY: gen
gen: build ## Write man pages, completions and the key reference
	@packaging/dev/gen.sh

.PHONY: gen-check
gen-check: build ## Are the generated files what the code says?
	@packaging/dev/gen.sh --check
