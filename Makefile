# The two that matter: `make demo` shows the product at work, `make test` checks it. Both set up what they need.
# GOEXPERIMENT=simd turns on GoMLX's vector kernels; without it everything gives the same answers, slower.
export GOEXPERIMENT := simd
export GOMLX_NO_AUTO_INSTALL := 1
# The Go that go.mod names, which has fixes that a server needs; where it cannot be had, the one that is here.
export GOTOOLCHAIN := $(shell GOTOOLCHAIN=auto go version >/dev/null 2>&1 && echo auto || echo local)

GO := go
TEST_TIMEOUT := 30m
FUZZ_MINUTES := 10

# Architectures of `make packages`.
ARCH := amd64,arm64

.PHONY: build demo packages packages-test test test-setup lint vuln race bench bench-peers bench-training bench-send gpu-check torture soak fuzz oracles starter experiment screenshots clean

build:
	@$(GO) build -trimpath -o bin/llamaxr ./daemon/llamaxr

# A phantom study with two findings and a normal one through the running daemon; the result is out/demo/index.html.
demo:
	@packaging/setup/xla-plugin.sh
	@echo "building bin/llamaxr"
	@$(MAKE) --no-print-directory build
	@bin/llamaxr demo --out out/demo

# deb, rpm, tarball and SBOM of each architecture, an OCI image layout and SHA256SUMS in out/packages. VERSION and MAINTAINER may be set.
packages:
	@$(GO) run ./packaging/packages -out out/packages -arch $(ARCH)

# The long forms: everything made twice, and the deb installed, used, upgraded, removed and purged in a Debian with systemd of its own (about five
# minutes, as root).
packages-test: test-setup
	@packaging/setup/packages.sh
	LLAMAXR_LONG=1 $(GO) test -count=1 -timeout 60m -v ./packaging/...

test-setup:
	@packaging/setup/xla-plugin.sh
	@packaging/setup/peers.sh
	@packaging/setup/smollm2.sh

# Two packages at a time on purpose: the tests start real peers and share the machine's cores. The last lines build what has no C and no AVX, and for macOS.
test: test-setup lint
	$(GO) test -p 2 -timeout $(TEST_TIMEOUT) ./...
	CGO_ENABLED=0 GOARCH=arm64 $(GO) build -o /dev/null ./daemon/llamaxr
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 $(GO) build -o /dev/null ./daemon/llamaxr

lint:
	@test -z "$$($(GO) tool gofumpt -l .)" || { $(GO) tool gofumpt -d .; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	packaging/lint/gosec.sh
	packaging/lint/vuln.sh

# Published vulnerabilities by the newest database, those of Go's own library too: before a release.
vuln:
	packaging/lint/vuln.sh newest

# The race detector over all tests, and in the program that the end-to-end tests start. Tests that bound times are skipped and say so; memory is not
# bounded, and what one goroutine computes alone is shorter. checkptr, which -race brings along, is off for GoMLX: its kernels reckon
# addresses as integers.
race: test-setup
	CGO_ENABLED=1 GOFLAGS="$$($(GO) env GOFLAGS) -gcflags=github.com/gomlx/...=-d=checkptr=0" $(GO) test -race -p 2 -timeout 3h ./...

# Figures for docs/BENCHMARKS.md: receive throughput beside storescp, scoring, drafting, image complete to SR delivered.
bench: build
	@packaging/setup/xla-plugin.sh
	@packaging/setup/peers.sh
	@$(GO) run ./daemon/bench -out docs/BENCHMARKS.md

# Drafting beside llama.cpp, scoring beside ONNX Runtime and OpenVINO, receiving beside storescp, Orthanc and pynetdicom, for docs/BENCHMARKS.md (half an hour).
bench-peers: build
	@packaging/setup/peers.sh
	@packaging/setup/xla-plugin.sh
	@packaging/setup/smollm2.sh
	@packaging/setup/bench.sh
	@$(GO) run ./daemon/bench -peers -out docs/BENCHMARKS.md
	@$(MAKE) --no-print-directory bench-training

# Training beside PEFT on torch, for docs/BENCHMARKS.md (two minutes, torch and kin once).
bench-training:
	@oracles/setup.sh
	@packaging/setup/xla-plugin.sh
	@packaging/setup/smollm2.sh
	@$(GO) run ./daemon/bench -training -out docs/BENCHMARKS.md

# The sender alone, to sinks on loopback, for docs/BENCHMARKS.md (about a minute).
bench-send:
	@packaging/setup/peers.sh
	@$(GO) run ./daemon/bench -send -out docs/BENCHMARKS.md

# XLA on a GPU held to the CPU, with the table for docs/BENCHMARKS.md. On a machine without one it says so and fails.
gpu-check:
	@packaging/setup/xla-cuda.sh
	@packaging/setup/smollm2.sh
	@LD_LIBRARY_PATH="$$(find $(CURDIR)/.cache/cuda/nvidia -type d -name lib | paste -sd:):$$LD_LIBRARY_PATH" $(GO) run ./daemon/bench -gpu -out docs/BENCHMARKS.md

# The long forms: a real language model's text on all prompts and reports; kill -9 at 200 random moments under load and at 1,000 with a hostile destination, a million mutated associations (at the server and at the appliance), 1,000 phantoms with lying headers, grounding on 300.
torture: test-setup
	LLAMAXR_TORTURE=1 LLAMAXR_LONG=1 $(GO) test -p 1 -timeout 5h -run 'Kill|Mutated|Grounding|Pairing|Phantoms|Fault|PowerCut|LargeSite|Perplexity|SmolLM2|Int16KeepsTheText' -v ./daemon/... ./dicomnet/... ./ingest/... ./finetune/... ./inference/llama

# 2,000 studies of twenty modalities through kills, restarts, a new certificate, a reload, a backup and a restore (12 minutes on 2 cores of its own, 45 GB of disk).
soak: test-setup
	LLAMAXR_TORTURE=1 $(GO) test -count=1 -timeout 8h -run 'TestSoak$$' -v ./daemon/e2e

# Each fuzz target for ten minutes of processor time, stopped and gone on with at will; docs/fuzzing.tsv has what each got.
fuzz:
	@packaging/fuzz.sh $(FUZZ_MINUTES)

# Golden files of the heavy reference programs, made again and compared.
oracles:
	@oracles/run.sh

# Trains the starter models again from their seed (about an hour on 2 cores) into inference/models/starter.
starter:
	@packaging/setup/xla-plugin.sh
	$(GO) run ./finetune/starter/trainer -model all

# The recipes of docs/EXPERIMENTS.md, each trained and measured (hours on 2 cores; stopped, it goes on where it was). The short form is in
# `make test`; EXPERIMENT="-steps 60 -test-studies 30" is one between.
experiment:
	@packaging/setup/xla-plugin.sh
	@packaging/setup/smollm2.sh
	$(GO) run ./finetune/experiment/experiment $(EXPERIMENT)

# Pictures of the reading room for README.
screenshots: test-setup
	LLAMAXR_SCREENSHOTS=$(CURDIR)/docs $(GO) test -count=1 -run Screenshots ./daemon/e2e

clean:
	rm -rf bin out
