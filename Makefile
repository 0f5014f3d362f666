# make demo: the five-minute tour · make test: every test · both install what they miss
.PHONY: demo test test-rust test-real test-browser fuzz lint bench help

help:
	@echo "make demo          the five-minute tour at http://localhost:8080/ (PORT=… for another port)"
	@echo "make test          every test: Rust, certified provider, browser, nginx and other proxies"
	@echo "make test-rust     unit and integration tests only"
	@echo "make test-real     against the certified OpenID provider, nginx, Caddy, Traefik, Envoy; the files of deploy/"
	@echo "make test-browser  the demo's tour in headless Chromium"
	@echo "make fuzz          other random inputs than make test draws, ten minutes a target (FUZZ_SECONDS=… for longer)"
	@echo "make lint          formatting and lints"
	@echo "make bench         side by side with bare Pingora and nginx"

PORT ?= 8080
# Seconds for each target that is fed random input.
test-rust test-real: export FUZZ_SECONDS ?= 60
fuzz: export FUZZ_SECONDS ?= 600

demo:
	@tests/setup.sh build
	cargo run --quiet -- demo --port $(PORT)

test: test-rust test-real test-browser

# The binary that the integration tests run is built with their features: one build serves all suites.
BINARY = cargo test --locked --no-run --test it

test-rust:
	@tests/setup.sh build
	cargo test --locked

REAL = differential.test.mjs provider.test.mjs nginx.test.mjs http2.test.mjs auth.test.mjs assertion.test.mjs deploy.test.mjs

test-real:
	@tests/setup.sh build node nginx caddy proxies python
	$(BINARY)
	cd tests/real && node --test --test-concurrency=1 $(REAL)

test-browser:
	@tests/setup.sh build node chromium
	$(BINARY)
	cd tests/real && node --test --test-concurrency=1 browser.test.mjs

fuzz: export FUZZ_SEED ?= $(shell date +%s)
fuzz:
	@tests/setup.sh build node nginx python
	cargo test --locked --lib any_
	$(BINARY)
	cd tests/real && node --test differential.test.mjs

lint:
	@tests/setup.sh build
	cargo fmt --check
	cargo clippy --locked --all-targets --features bench -- -D warnings

bench:
	@tests/setup.sh build nginx wrk
	benches/side-by-side.sh
