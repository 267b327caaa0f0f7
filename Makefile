# Everything that this repository does, by name. `make` alone lists it.

GOLANGCI_LINT_VERSION := v2.15.0
GOLANGCI_LINT         := $(shell go env GOPATH)/bin/golangci-lint

# How long each fuzz target runs.
FUZZTIME ?= 10s
# How many trials the long targets run.
TRIALS ?= 200
# How long chaos lasts.
CHAOS ?= 10m
# How many turns the benchmarks that report ratios take.
TURNS ?= 20

# Modules of their own, for what users of the libraries should not depend on.
NESTED := integration/compare balancer/eventhubs/example/processor integration/servers/etcd35 integration/servers/etcd36

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

# Members' processes are held to limits of time, so nothing else runs beside them. Most tests wait most of the time, and
# so more of a package's run at once than there are processors.
.PHONY: test
test: ## Run all tests under the race detector
	go test -race -timeout 20m -parallel 4 $$(go list ./... | grep -v /integration$$)
	go test -race -timeout 20m -parallel 4 ./integration
	cd integration/compare && go test ./...

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

.PHONY: fuzz
fuzz: ## Fuzz the keys and values, each target for FUZZTIME (10s)
	@set -e; for target in $$(go test -list '^Fuzz' ./etcdstore | grep '^Fuzz'); do \
		echo "$$target"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./etcdstore; \
	done

.PHONY: bench
bench: ## Measure the store beside plain etcd, TURNS (20) turns each, then everything else, then the plan beside Kafka's
	go test -run '^$$' -bench '^Benchmark(Claims|Checkpoints)' -benchtime $(TURNS)x -timeout 60m ./etcdstore
	go test -run '^$$' -bench . -skip '^Benchmark(Claims|Checkpoints)' -benchmem -timeout 60m ./...
	cd integration/compare && go test -run '^$$' -bench . -timeout 60m ./...

.PHONY: lease-trials
lease-trials: ## Race terms against etcd's expiry over a failing network, TRIALS (200) times
	TENURE_LEASE_TRIALS=$(TRIALS) go test -v -count 1 -timeout 4h -run 'TestDone|Paused' ./lease

.PHONY: late-copies
late-copies: ## Let late copies of claims and checkpoints arrive, TRIALS (200) of each
	TENURE_LATE_COPIES=$(TRIALS) go test -v -count 1 -timeout 4h -run '^TestLate' ./etcdstore

.PHONY: chaos
chaos: ## Let members and etcd fail at random for CHAOS (10m), and check all that they did
	TENURE_CHAOS=$(CHAOS) go test -v -count 1 -timeout 4h -run '^TestWhateverHappens$$' ./integration

.PHONY: ci
ci: ## Do what continuous integration does
	.ci/run
