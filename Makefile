# Two commands matter: `make demo` and `make test`. Each installs what it needs, and says so.

SEEDS ?= 50
RUNS ?= 5
COUNT ?= 100

.PHONY: help demo test check test-engines campaign failpoints campaign-operate campaign-combined bench-replicate bench-copy bench-groups fuzz setup setup-test

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

demo: setup ## Two sites on this machine: failover, rejoin, switchback, rescue; builds first
	cargo build --profile demo --locked -p sterna -p sterna-demo
	./target/demo/sterna-demo

test: setup-test ## Every test, against real servers
	scripts/test

check: ## Formatting, lints, licences, documentation, generated files
	scripts/check

test-engines: setup ## The server-facing tests on every engine and on mixed pairs
	scripts/test-engines

campaign: setup ## Random workload and random faults: make campaign SEEDS=50
	STERNA_CAMPAIGN_SEEDS=$(SEEDS) cargo test --release --locked -p sterna --test campaign -- --nocapture

failpoints: setup ## The gateway killed in every step of every operation
	STERNA_FAILPOINTS=all cargo test --locked -p sterna --test failpoints -- --nocapture

bench-replicate: setup ## Side by side with plain REPLICAOF: make bench-replicate RUNS=5
	cargo build --release --locked --quiet -p sterna -p sterna-bench
	./target/release/sterna-bench replicate --runs $(RUNS)

campaign-operate: setup ## Failovers, switchovers and split brains, measured; makes docs/faults.md: make campaign-operate RUNS=50
	cargo build --release --locked --quiet -p sterna -p sterna-bench
	mkdir -p target/operate && rm -f target/operate/results.json
	./target/release/sterna-bench operate all --runs $(RUNS) --evidence target/operate \
		--results target/operate/results.json; status=$$?; \
	./target/release/sterna-bench operate table target/operate/results.json --output docs/faults.md; exit $$status

campaign-combined: SEEDS = 20
campaign-combined: setup ## Pairs of situations, and a fault that comes into them: make campaign-combined SEEDS=200
	cargo build --release --locked --quiet -p sterna -p sterna-bench
	./target/release/sterna-bench operate combined --seeds $(SEEDS) --evidence target/combined

bench-copy: setup ## A full copy under load, beside plain REPLICAOF: make bench-copy RUNS=3
	cargo build --release --locked --quiet -p sterna -p sterna-bench
	./target/release/sterna-bench operate copy --runs $(RUNS)

bench-groups: setup ## Many groups behind one gateway, and a region lost at once: make bench-groups COUNT=200
	cargo build --release --locked --quiet -p sterna -p sterna-bench
	./target/release/sterna-bench operate many --groups $(COUNT)

fuzz: ## Every parser for a minute each (needs a nightly toolchain and cargo-fuzz)
	scripts/fuzz

setup:
	@scripts/setup

setup-test:
	@scripts/setup test
