# `make test` installs what the tests need and runs them all; `make check` holds the rules; `make bench` measures.

CARGO ?= cargo
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: run test check bench fuzz tools advisories

run:
	$(CARGO) run --release

test: tools
	$(CARGO) nextest run

# Formatting, lints, documentation, licences and sources; then advisories, as far as their database can be reached.
check: tools
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --document-private-items
	$(CARGO) deny check --hide-inclusion-graph licenses bans sources
	@./ci/advisories

bench:
	$(CARGO) bench --bench flows

# Damages the files below SEEDS for MINUTES; what crashes or hangs a reader is kept in target/fuzz.
SEEDS ?= tests/fixtures
MINUTES ?= 5

fuzz:
	$(CARGO) build --release --bins --example fuzz_extract
	target/release/examples/fuzz_extract $(SEEDS) $(MINUTES) target/fuzz

tools:
	@./ci/tools
