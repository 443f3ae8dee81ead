# `make test` is the whole check. It needs git, make, a C compiler and a stable Rust toolchain with clippy and rustfmt; the rest it
# installs from Debian's archive, PyPI and npm, and says what.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
export PATH := $(PATH):/usr/sbin:/sbin

# What the tests run beside ourselves, as command:package. libFuzzer is C++.
TOOLS := c++:g++ curl:curl dig:bind9-dnsutils fish:fish git:git git-lfs:git-lfs ip:iproute2 javac:default-jdk-headless jgit:jgit-cli nc:netcat-openbsd nft:nftables nghttpx:nghttp2-proxy nginx:nginx-light npm:npm openssl:openssl \
	pg_ctlcluster:postgresql pip3:python3-pip redis-cli:redis-tools redis-server:redis-server ssh:openssh-client tinyproxy:tinyproxy-bin wget:wget

# The clients of `make matrix` besides, as far as Debian has them.
CLIENTS := apt-ftparchive:apt-utils bundle:bundler certutil:libnss3-tools chromium:chromium composer:composer docker-registry:docker-registry gh:gh go:golang-go mvn:maven php:php-cli skopeo:skopeo \
	sshd:openssh-server

# Where their libraries of other languages are, which tests/components names. Whoever fetches them trusts what the system trusts.
COMPONENTS := target/components
ROOTS := $(wildcard /etc/ssl/certs/ca-certificates.crt)
ifneq ($(ROOTS),)
export PIP_CERT ?= $(ROOTS)
export NODE_EXTRA_CA_CERTS ?= $(ROOTS)
endif

.PHONY: help fmt lint test long online matrix deploy bench fuzz doc deny setup tools clients

help:
	@echo 'make test     the whole check: setup, lint, tests, three seconds of each fuzz target'
	echo 'make fmt      formats the code'
	echo 'make lint     format and clippy, warnings are errors'
	echo 'make long     tests that take minutes, such as bodies of 5 GiB and pushes of 2 GB, in a release build'
	echo 'make online   tests that need the internet'
	echo 'make deploy   what deploy/ ships, by the schemas and linters of what it is for'
	echo 'make bench    what a decision costs'
	echo 'make fuzz     two minutes of each fuzz target'
	echo 'make doc      the documentation of the code, private items included'
	echo 'make deny     licences, sources, bans and duplicates, by cargo-deny'
	echo 'make setup    what the tests need beside Rust: Debian packages, and libraries from PyPI and npm'

fmt:
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml

lint:
	cargo fmt --all -- --check
	cargo fmt --manifest-path fuzz/Cargo.toml -- --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --target-dir target --manifest-path fuzz/Cargo.toml --all-targets -- -D warnings

# Tests wait for other programs much of their time: one more runs at once than there are cores.
test: setup lint
	RUST_TEST_THREADS=$$(($$(nproc) + 1)) cargo test --locked
	fuzz/run 3 -seed=1

long: setup
	cargo test --locked --release --test proxy -- --ignored --nocapture
	cargo test --locked --release --test git -- --ignored --nocapture memory:: apps::
	cargo test --locked --release --lib narrowing:: -- --ignored --nocapture

online:
	cargo test --locked --test online

deploy: TOOLS += systemd-analyze:systemd
deploy: setup $(COMPONENTS)/deploy/.complete
	cargo test --locked --test deploy -- --include-ignored
matrix: setup clients $(COMPONENTS)/matrix-python/.complete $(COMPONENTS)/matrix-node/.complete
	cargo test --locked --test matrix -- --include-ignored --skip the_page_is_written
	cargo test --locked --test matrix -- --ignored --exact the_page_is_written
	cargo test --locked --test git -- --ignored dependencies::

bench:
	cargo bench --locked --bench '*'

fuzz:
	fuzz/run 120

doc:
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items

deny:
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny --locked check bans licenses sources

setup: $(COMPONENTS)/python/.complete $(COMPONENTS)/node/.complete $(COMPONENTS)/openapi/.complete

$(COMPONENTS)/python/.complete: tests/components/requirements.txt
$(COMPONENTS)/deploy/.complete: tests/components/deploy.txt
$(COMPONENTS)/matrix-python/.complete: tests/components/matrix/requirements.txt
$(addprefix $(COMPONENTS)/,python/.complete deploy/.complete matrix-python/.complete): | tools
	@rm -rf $(@D) && mkdir -p $(@D)
	python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target $(@D) --requirement $<
	touch $@

$(COMPONENTS)/node/.complete: tests/components/package.json
$(COMPONENTS)/matrix-node/.complete: tests/components/matrix/package.json
$(addprefix $(COMPONENTS)/,node/.complete matrix-node/.complete): | tools
	@rm -rf $(@D) && mkdir -p $(@D)
	cp $< $(@D)
	(cd $(@D) && npm install --no-package-lock --no-audit --no-fund --no-progress --loglevel error)
	touch $@

# GitHub's descriptions of its API as they are, without the copies in which every reference is written out.
$(COMPONENTS)/openapi/.complete: tests/components/openapi.txt | tools
	@rm -rf $(@D) && mkdir -p $(@D)
	npm pack --silent --pack-destination $(@D) "$$(cat $<)" >/dev/null
	tar -xzf $(@D)/*.tgz -C $(@D) --strip-components 1 --exclude '*.deref.json'
	rm $(@D)/*.tgz
	touch $@

tools: WANTED = $(TOOLS)
clients: WANTED = $(CLIENTS)
tools clients:
	@missing=()
	for tool in $(WANTED); do command -v "$${tool%%:*}" >/dev/null || missing+=("$${tool#*:}"); done
	if (( $${#missing[@]} == 0 )); then exit 0; fi
	if ! command -v apt-get >/dev/null; then
		echo "the tests need these Debian packages, or what they are called here: $${missing[*]}" >&2
		exit 1
	fi
	echo "installing from Debian's archive, since the tests need them: $${missing[*]}"
	sudo=()
	if (( EUID != 0 )); then sudo=(sudo); fi
	"$${sudo[@]}" apt-get update --quiet
	"$${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends "$${missing[@]}"
