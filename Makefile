# Everything that this repository does, by name. `make` alone lists it.

GOLANGCI_LINT_VERSION := v2.15.0
GOLANGCI_LINT         := $(shell go env GOPATH)/bin/golangci-lint

# How long each fuzz target runs.
FUZZTIME ?= 10s
# How many trials the long targets run.
TRIALS ?= 200
# How long chaos and the simulation last.
DURATION ?= 10m
# How long a simulation may look for one defect.
BUDGET ?= 60s

# Modules of their own, for what users of the libraries should not depend on.
NESTED := integration/compare balancer/eventhubs/example/processor integration/servers/etcd35 integration/servers/etcd36 \
	integration/deploy

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the command as bin/tenure
	go build -o bin/tenure ./cmd/tenure

.PHONY: build-others
build-others: ## Compile for the other systems: all of it for macOS, the libraries for Windows
	GOOS=darwin go build ./...
	GOOS=windows go build ./lease ./etcdstore/... ./balancer/...

.PHONY: demo
demo: ## Share partitions on an etcd of its own while processes join, leave, die and wake (40 s)
	go run ./cmd/tenure demo

# The simulation runs on one processor, and as much of it as there is time for: the race detector has its code elsewhere.
# Members' processes are held to limits of time, so nothing else runs beside them. Most tests wait most of the time, and
# so more of a package's run at once than there are processors.
.PHONY: test
test: ## Run all tests under the race detector
	go test -race -timeout 20m -parallel 4 $$(go list ./... | grep -v '/integration\(/simulation\|/blobs\)\?$$')
	go test -timeout 20m ./integration/simulation
	go test -race -timeout 20m -parallel 4 ./integration
	go test -race -timeout 20m ./integration/blobs
	cd integration/compare && go test ./...
	cd integration/deploy && go test ./...

.PHONY: lint
lint: tools ## Check the format, vet, and run golangci-lint
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
		if [ -n "$$unformatted" ]; then echo "gofmt is needed on:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	@set -e; for module in $(NESTED); do echo "go vet in $$module"; (cd $$module && go vet ./...); done
	$(GOLANGCI_LINT) run ./...

.PHONY: fmt
fmt: tools ## Format the code
	$(GOLANGCI_LINT) fmt ./...

.PHONY: tools
tools: ## Install the pinned golangci-lint unless it is there
	@$(GOLANGCI_LINT) version 2>/dev/null | grep -qF ' $(GOLANGCI_LINT_VERSION:v%=%) ' || \
		go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)

# A package's targets, each for FUZZTIME.
FUZZED := ./etcdstore ./cmd/tenure/internal/supervise ./cmd/tenure/internal/transfer

.PHONY: fuzz
fuzz: ## Fuzz all that is parsed: keys, etags, values, control records, what workers write, files of checkpoints; each for FUZZTIME (10s)
	@set -e; for package in $(FUZZED); do for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
		echo "$$target"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$package; \
	done; done

.PHONY: bench
bench: ## Measure everything beside what others use for the same, and write docs/benchmarks.md (13 min, and nothing else running)
	cd integration/compare && TENURE_BENCH=full TENURE_BENCH_OUT=$(CURDIR)/docs \
		go test -v -count 1 -timeout 2h -run '^TestBenchmarks$$' .

.PHONY: bench-quick
bench-quick: ## The same in few and short turns, printed, and written to bin/bench (2 min)
	cd integration/compare && TENURE_BENCH=quick TENURE_BENCH_OUT=$(CURDIR)/bin/bench \
		go test -v -count 1 -timeout 1h -run '^TestBenchmarks$$' .

.PHONY: bench-parts
bench-parts: ## Run the benchmarks of single parts
	go test -run '^$$' -bench . -benchmem -timeout 60m ./...

.PHONY: lease-trials
lease-trials: ## Race terms against etcd's expiry over a failing network, TRIALS (200) times
	TENURE_LEASE_TRIALS=$(TRIALS) go test -v -count 1 -timeout 4h -run 'TestDone|Paused' ./lease

.PHONY: woken-leaders
woken-leaders: ## Let paused leaders of etcd go on, TRIALS (200) times, and count the leases that they end too early
	TENURE_WOKEN_LEADERS=$(TRIALS) go test -v -count 1 -timeout 4h -run '^TestWokenLeaders$$' ./integration

.PHONY: late-copies
late-copies: ## Let late copies of claims and checkpoints arrive, TRIALS (200) of each
	TENURE_LATE_COPIES=$(TRIALS) go test -v -count 1 -timeout 4h -run '^TestLate' ./etcdstore

# What a run of make chaos did and what came of it is told in a file here, with the logs of all processes if it failed.
REPORTS ?= $(CURDIR)/bin/reports

.PHONY: chaos
chaos: ## Let everything fail at random, for DURATION (10m), by SEED if one is given, and check all that was done
	@mkdir -p $(REPORTS)
	TENURE_CHAOS=$(DURATION) TENURE_CHAOS_SEED=$(SEED) TENURE_CHAOS_REPORTS=$(REPORTS) \
		go test -v -count 1 -timeout 12h -run '^TestWhateverHappens$$' ./integration

.PHONY: simulate
simulate: SHELL = bash
simulate: .SHELLFLAGS = -o pipefail -c
simulate: ## Run simulated groups for DURATION (10m), or the one with SEED
	TENURE_SIMULATE=$(DURATION) TENURE_SIMULATE_SEED=$(SEED) \
		go test -count 1 -timeout 12h -v -run '^TestSimulatedGroups$$' ./integration/simulation | grep -v '^ *\(---\|===\) '

.PHONY: defects
defects: ## Put each of the seeded defects into the code and see that it is found (6 min)
	TENURE_DEFECTS=$(BUDGET) go test -v -count 1 -timeout 2h -parallel 2 ./integration/defects

.PHONY: ci
ci: ## Do what continuous integration does
	.ci/run
