# `make` lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Arguments for the command behind a target: make test ARGS="-p hitstream-domain"
ARGS ?=

# The run that compares the decoder with what Spark made of the same values.
GOLDEN := cargo run -q --example golden -p hitstream-domain

.PHONY: help services services-stop services-status demo build test golden bench bench-spark bench-domain lint doc deny monitoring deployment containers ci clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

services: ## start a real Kafka and PostgreSQL; then: . ./.services.env
	@scripts/services.sh start

services-stop: ## stop them and remove their data
	@scripts/services.sh stop

services-status: ## say whether they answer
	@scripts/services.sh status

demo: ## the whole pipeline, embedded, to look at; ends at Ctrl-C: make demo ARGS="--duration 30s"
	@scripts/setup.sh rust compiler make pkg-config perl openssl postgresql
	@built=$$(scripts/built.sh); exec "$$built/hitstream" demo $(ARGS)

build: ## build everything, optimised
	cargo build --release --workspace $(ARGS)

test: ## install what is missing, start services, run every test, sum up (ARGS go to cargo test)
	@scripts/test.sh $(if $(ARGS),$(ARGS),--workspace)

golden: ## compare the decoder with Spark, value by value
	$(GOLDEN) $(ARGS)

bench: ## measure it end to end beside bare Kafka and PostgreSQL: make bench ARGS="--quick --json"
	@scripts/bench.sh $(ARGS)

bench-spark: ## measure it beside the Spark job, and compare the rows: make bench-spark ARGS="--quick --json"
	@scripts/bench-spark.sh $(ARGS)

bench-domain: ## measure the domain's hot path on one core
	cargo bench -p hitstream-domain $(ARGS)

lint: ## check formatting and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@scripts/check-domain-pure.sh

doc: ## build the documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

deny: ## check bans, licences and sources of all dependencies
	@scripts/deny.sh

monitoring: ## check alerts and their tests, dashboards, metrics' names, runbook; and that these checks find faults
	@scripts/monitoring.sh check
	@scripts/monitoring.sh selftest

deployment: ## check the compose file, its variables, Dockerfiles; and that these checks find faults
	@scripts/deployment.sh check
	@scripts/deployment.sh selftest

containers: ## build the image, bring the compose file up and try it, with a Docker daemon of its own (as root, long)
	@tests/containers.sh $(ARGS)

ci: ## everything that CI checks
	@.ci/run

clean: services-stop ## stop the services, remove what was built
	cargo clean
