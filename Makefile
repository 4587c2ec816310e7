# Every module of the repository, once. `./...` does not descend into other modules, so that all targets are made of this.
MODULES := . bench cmd/reprise e2e store/dynamostore store/memcachedstore store/redisstore store/zstdstore

PACKAGES      := $(patsubst ././%,./%,$(MODULES:%=./%/...))
GOLANGCI_LINT := bin/golangci-lint
FUZZTIME      ?= 60s
SOAKTIME      ?= 30m

# In CI a server that is missing is a failure; on a developer's machine the tests that need it are skipped.
ifeq ($(CI),true)
export REPRISE_TEST_SERVERS := required
endif

.DEFAULT_GOAL := help

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: check
check: ## everything that CI runs
	./.ci/run

.PHONY: build
build: ## compile every module
	go build $(PACKAGES)

.PHONY: vet
vet: ## go vet in every module
	go vet $(PACKAGES)

# Packages of e2e run one by one: the processes of e2e/history take all the time that processors have, and clients of e2e wait
# for answers.
.PHONY: test
test: ## install missing servers, then run all tests with the race detector
	./scripts/test-servers.sh
	go test -race -shuffle=on -count=1 $(filter-out ./e2e/...,$(PACKAGES))
	go test -race -shuffle=on -count=1 -p=1 ./e2e/...

.PHONY: soak
soak: ## long runs: faults and fleets of e2e in full, then histories of a million operations, at most SOAKTIME (30m) a store
	./scripts/test-servers.sh
	go test -race -count=3 -timeout=30m -v -run TestFaults ./e2e -full
	go test -count=1 -timeout=30m -v -run TestFleet ./e2e -full
	go test -count=1 -timeout 0 -v ./e2e/history -soak=$(SOAKTIME)

.PHONY: soak-proxy
soak-proxy: ## ten minutes of reprise proxy before an origin that restarts, resets and dawdles; SOAKTIME=1h for longer
	go test -count=1 -timeout 0 -v -run '^TestSoak$$' ./cmd/reprise/internal/proxy -soak=$(if $(filter file,$(origin SOAKTIME)),10m,$(SOAKTIME))

.PHONY: conformance
conformance: ## run the public HTTP cache test suite against reprise proxy and write docs/conformance.md; SUITE=dir is a checkout of it
	SUITE=$(SUITE) ./scripts/conformance.sh

.PHONY: lint
lint: $(GOLANGCI_LINT) ## golangci-lint in every module
	$(GOLANGCI_LINT) run --allow-parallel-runners $(PACKAGES)

# The version is pinned, with its checksums, by tools/go.mod. A cold build takes about three minutes of two cores.
$(GOLANGCI_LINT): tools/go.mod tools/go.sum
	cd tools && GOWORK=off go build -o ../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (60s)
	FUZZTIME=$(FUZZTIME) ./scripts/fuzz.sh $(PACKAGES)

# The three write a page each into docs. ROUNDS=3 is faster and says less.
.PHONY: bench
bench: ## measure beside the peers on this machine and write docs/benchmarks.md; ONLY=hits,waits prints these sections
	go run ./bench -out docs $(if $(ROUNDS),-rounds $(ROUNDS)) $(if $(ONLY),-only $(ONLY))

.PHONY: bench-http
bench-http: ## the same with real servers, nginx, Varnish and Python's frameworks: docs/benchmarks-http.md; installs them
	./scripts/bench-http.sh
	go run ./bench -page http -out docs $(if $(ROUNDS),-rounds $(ROUNDS))

.PHONY: bench-stores
bench-stores: ## stores in Redis, Memcached and DynamoDB beside raw clients: docs/benchmarks-stores.md; installs them
	./scripts/test-servers.sh
	go run ./bench -page stores -out docs $(if $(ROUNDS),-rounds $(ROUNDS))

.PHONY: bench-compare
bench-compare: ## benchstat of the root's benchmarks against the last tag or main, or BASE=commit
	./bench/compare.sh

.PHONY: cover
cover: ## test coverage, per function in coverage.txt, in total on the terminal
	go test -covermode=atomic -coverprofile=coverage.out $(PACKAGES)
	go tool cover -func=coverage.out >coverage.txt
	@tail -n 1 coverage.txt

.PHONY: oldest
oldest: ## compile the root module as its users on the oldest Go do
	./scripts/oldest.sh

.PHONY: deps
deps: ## the root package links no test code
	./scripts/deps.sh

.PHONY: tidy
tidy: ## go mod tidy in every module
	@for m in $(MODULES) tools; do echo "tidy $$m"; (cd $$m && GOWORK=off go mod tidy) || exit; done

.PHONY: tidy-check
tidy-check: ## every go.mod and go.sum is complete without the workspace
	@for m in $(MODULES) tools; do (cd $$m && GOWORK=off go mod tidy -diff) || { echo "$$m: run make tidy" >&2; exit 1; }; done
