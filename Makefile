# `make` says what there is.
CARGO ?= cargo
# Tests wait more than they work: more of them at once than there are processors.
TEST_THREADS ?= 4
# The steps of `make test` are in an order (tools first), under `make -j` too.
.NOTPARALLEL:
.PHONY: help demo transcript test test-static test-containers build install deb dist check-packages image bench bench-fleet compare lint \
	scripts deny sbom soak fuzz hostile tools clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: ## See what vaultexec does, on a real Vault and a real database of its own (half a minute after the build)
	@bash scripts/demo.sh

transcript: ## Show in README.md what the demo does now
	@log=$$(mktemp) && bash scripts/demo.sh >"$$log" && bash scripts/transcript.sh "$$log"; code=$$?; rm -f "$$log"; exit $$code

test: tools lint scripts ## Everything that must pass: fetches what it needs, then lints, scripts and all tests
	RUST_TEST_THREADS=$(TEST_THREADS) $(CARGO) test --locked

test-static: tools ## The release binary: two builds are the same bytes, it is packaged and installed, and all end-to-end tests again
	@bash scripts/check-build.sh
	@bash scripts/check-packages.sh
	VAULTEXEC_TEST_BINARY=$${CARGO_TARGET_DIR:-target}/dist/vaultexec RUST_TEST_THREADS=$(TEST_THREADS) $(CARGO) test --locked --test e2e

test-containers: ## The images, docker-compose.yml and vaultexec as an entry point, on a Docker engine; KEEP_IMAGES=1 keeps the images
	@python3 tests/containers

build: ## The release binary, static: target/dist/vaultexec
	@sh scripts/build.sh

install: ## What `make build` has made, its manual page and completions; DESTDIR=… PREFIX=/usr/local
	@sh scripts/install.sh

deb: build ## A Debian package of it: target/dist/vaultexec_…deb
	@sh scripts/deb.sh

dist: build ## What a release is made of, with the list of its crates and checksums: target/dist/release
	@sh scripts/dist.sh

check-packages: ## Install, the package and the binary in an empty root, tried out; needs `make build` before, and root
	@bash scripts/check-packages.sh

image: ## The image to copy from, `vaultexec`, labelled with the commit; RUST_IMAGE=… RUN_IMAGE=… name other base images
	docker build --tag $(or $(TAG),vaultexec) --build-arg "REVISION=$$(git rev-parse HEAD)" \
		$(if $(RUST_IMAGE),--build-arg "RUST_IMAGE=$(RUST_IMAGE)") $(if $(RUN_IMAGE),--build-arg "RUN_IMAGE=$(RUN_IMAGE)") . || \
		{ echo "make image: where a base image cannot be had, name others: make image RUST_IMAGE=… RUN_IMAGE=… (see the Dockerfile)" >&2; exit 1; }

bench: ## Measure time and memory against the same HTTP calls made bare
	@bash scripts/bench.sh

bench-fleet: ## Measure 1,000 wrapped commands at once, and what is left of them; RUNS=100 for fewer
	@bash scripts/bench-fleet.sh

compare: ## Measure vaultexec beside `bao agent` and a script around `bao`: time, memory, what is left, signals; RUNS=10
	@bash scripts/compare.sh

sbom: ## What the binary is made of, as CycloneDX JSON: target/dist/vaultexec_….cdx.json
	@bash scripts/sbom.sh

deny: ## cargo-deny: licences, sources, duplicates, known weaknesses; ADVISORIES=required where those must be looked up
	@bash scripts/deny.sh

lint: ## Format, clippy and docs, warnings are errors
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --locked --no-deps --document-private-items

scripts: ## Check the crates, docker-compose.yml, the Dockerfile, the set-up script and the demo, the last two on real servers
	@python3 scripts/check-crates.py
	@bash scripts/check-compose.sh
	$(CARGO) test --locked --no-run --test e2e
	@log=$$(mktemp); VAULTEXEC=$${CARGO_TARGET_DIR:-target}/debug/vaultexec bash scripts/demo.sh >"$$log" && \
		bash scripts/transcript.sh --check "$$log" || { cat "$$log"; rm -f "$$log"; exit 1; }; rm -f "$$log"
	@echo "ok: what the demo says is so"
	@python3 scripts/picture.py --check

tools: ## Find or fetch what tests and demo run: OpenBao, PostgreSQL, some small programs
	@bash scripts/tools.sh

soak: tools ## 2,000 random runs on real servers (some minutes); again with SOAK="--seed S", more of it with SOAK="--runs N"
	$(CARGO) test --locked --test soak -- $(SOAK)

fuzz: ## Mutated input for everything that parses, five minutes in all; FUZZ="--seconds N", --runs N, --seed S, --target NAME
	FUZZ="$(FUZZ)" $(CARGO) test --locked --profile fuzz --lib fuzz::engine::for_long -- --exact --ignored --nocapture

hostile: tools ## 2,000 runs on real servers whose answers are mutated (some minutes); HOSTILE="--seed S", "--runs N", "--only I"
	$(CARGO) test --locked --test hostile -- $(HOSTILE)

clean: ## Remove everything built or fetched (target/)
	$(CARGO) clean
