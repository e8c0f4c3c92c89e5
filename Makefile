# The commands of README.md. `make help` says what there is; every target installs what it needs first (tests/deps.sh).

# Debian's cargo where the one in PATH is missing or too old; asked when a recipe runs, which is after deps.
CARGO ?= $(shell tests/deps.sh cargo)
# DEMO=once: the demo shows everything and ends by itself.
DEMO ?=
# Seconds a fuzz target gets.
FUZZ_SECONDS ?= 60

# How long the soak lasts.
SOAK_MINUTES ?= 60

# Which managers' tests: all, or a word of their names (prometheus, zabbix, icinga …).
MANAGER ?=

.PHONY: help demo test test-debian test-managers test-packages integrations bench chaos soak screens fuzz lint audit deps deb rpm tarball papers

help:
	@echo "make demo    private Postfix, snmpd and agent; mail of every fate; the tables; Ctrl-C ends it (DEMO=once: by itself)"
	@echo "make test    all tests, with real Postfix and snmpd on free loopback ports"
	@echo "make test-managers  the managers themselves against a rig: each alarm comes and goes (MANAGER=prometheus: that one; large packages)"
	@echo "make integrations   writes integrations/ again after a change of the MIB"
	@echo "make lint    format, clippy and documentation, warnings as errors"
	@echo "make test-debian    all tests on Debian 12 and 13, in trees of their own (an hour, 10 GB; needs debootstrap)"
	@echo "make test-packages  the packages' whole life under systemd, in trees of their own (needs debootstrap; after make deb rpm)"
	@echo "make audit   licences, sources and duplicates of all crates that are linked, from Cargo.lock"
	@echo "make soak    load for SOAK_MINUTES ($(SOAK_MINUTES)): exact counters, nothing grows"
	@echo "make bench   benchmarks"
	@echo "make chaos   the long tests: kill, stop and restart everything while asking"
	@echo "make screens the screens of docs/status.md, from real runs (target/screens); needs tmux"
	@echo "make deb     Debian package, for Debian 11 and newer, Ubuntu 20.04 and newer (target/packages)"
	@echo "make rpm     RPM package, for RHEL 7 and newer, Fedora, SUSE"
	@echo "make tarball static binary, for everything else"
	@echo "make papers  man pages and completions"
	@echo "make fuzz    every fuzz target for FUZZ_SECONDS ($(FUZZ_SECONDS)) seconds; needs a nightly toolchain and cargo-fuzz"

deps:
	@tests/deps.sh

# The dev profile: built from scratch it is ready in half the time of release, and quick enough to watch.
# The binary first: cargo builds it for tests by itself, for examples it does not. Both and the run find CARGO_TARGET_DIR.
demo: deps
	$(CARGO) build --bin postfix-agentx --example demo
	DEMO=$(DEMO) $(CARGO) run --quiet --example demo

# Not --all-targets: that would run the benchmarks too. One part that fails does not keep the others from being run.
test: deps
	$(CARGO) test --no-fail-fast

test-debian:
	tests/debian.sh

test-packages:
	packaging/test.sh

# The managers are Debian's packages; nothing of them is started but by the tests, on loopback.
test-managers: deps
	@tests/deps.sh managers $(MANAGER)
	$(CARGO) test --test integration managers::$(MANAGER) -- --ignored --test-threads=1 --nocapture

integrations:
	python3 -B integrations/generate/generate.py

bench: deps
	$(CARGO) bench

# Ignored by `make test` because they take minutes.
chaos: deps
	$(CARGO) test --no-fail-fast --tests -- --ignored --skip managers:: --skip status::screens --skip soak:: --test-threads=1

screens: deps
	$(CARGO) test --test integration status::screens -- --ignored --nocapture

soak: deps
	SOAK_MINUTES=$(SOAK_MINUTES) $(CARGO) test --test integration soak:: -- --ignored --nocapture

fuzz:
	@set -e; for target in $$(cd fuzz && cargo +nightly fuzz list); do \
		(cd fuzz && cargo +nightly fuzz run $$target -- -timeout=10 -max_total_time=$(FUZZ_SECONDS)); \
	done

lint:
	@tests/deps.sh lint
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --document-private-items

audit: deps
	python3 -B packaging/dependencies.py check

# Release builds; the tools they need are fetched into target/tools.
deb: deps
	packaging/build.sh deb

rpm: deps
	packaging/build.sh rpm

tarball: deps
	packaging/build.sh tarball

# What stands in man/ and completions/, from src/cli.rs, src/config.rs and the shipped configuration; a test compares.
papers: deps
	$(CARGO) run --quiet --bin postfix-agentx -- papers .
