# Everything a developer needs. `make help` lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash

export CGO_ENABLED ?= 0
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X main.version=$(VERSION)
BIN     := bin/serin
TOOL    := $(GO) tool -modfile=tools/go.mod
# The packages with tests that need a Kubernetes control plane; those of
# test/machine are named by themselves, as the rest there needs none.
PLANE_FILES = $(shell grep -rl --include='*_test.go' '^//go:build plane' internal test | grep -Ev '^test/(machine|cluster)/')
PLANE_PKGS  = $(sort $(patsubst %/,./%,$(dir $(PLANE_FILES))))
# Those of them that are no adapters.
OTHER_PKGS  = ./test/install ./test/plane ./test/backtest
# Their tests that need one; make test runs the others.
PLANE_TESTS = $(shell grep -hoE '^func Test[A-Z]\w*' $(PLANE_FILES) | cut -c6- | grep -vx TestMain | paste -sd'|')
# The checked packages; benchmarks and tests included.
PKGS    := ./...

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

.PHONY: build
build: ## one static binary in bin/
	$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/serin

.PHONY: demo
demo: build ## builds and shows a good release promoted and two bad ones rolled back
	$(BIN) demo

.PHONY: test
test: build ## every test, with the fault simulator over 10,000 seeds
	$(GO) test -timeout 25m $(PKGS)

.PHONY: plane
plane: ## builds the programs of the test plane (a Kubernetes control plane) once, into the user's cache
	$(GO) run ./test/plane/build/make

.PHONY: cluster
cluster: build plane ## leaves a Kubernetes control plane up with the demo shop in it, until Ctrl-C
	@mkdir -p bin && $(GO) build -o bin/plane ./test/plane/cluster
	@bin/plane $(BIN)

# Tests that end the controller or the API server, or have a controller of their
# own, so that no other may run beside them on the same control plane.
FAULTS := Killed|TakesOver|IsAway|Uninstalled|WatchIsSlow|AlwaysHeld
# Those of them whose controller reaches the API server on a way of the test's own.
# They have a control plane to themselves, as they take about as long as the rest.
LIVES := AtEveryEffect|WatchIsSlow|AlwaysHeld
# Not from the cache of results: what is tried is a program that they do not hash,
# built once for all of them. make check vets the tests.
CLUSTER_TEST = $(GO) test -tags plane -count=1 -p 1 -vet=off -timeout 30m
cluster-%: export SERIN_TEST_PROGRAM_DIR = $(CURDIR)/$(dir $(BIN))

# Two of the parts are under way at the same time. In this order they are all at
# their end at about the same time, and one that is hard work is mostly beside one
# that waits.
PARTS := cluster-releases cluster-faults cluster-lives cluster-adapters cluster-install cluster-others
.PHONY: test-cluster
test-cluster: build plane ## the tests that need a Kubernetes control plane, on two at the same time
	$(MAKE) --no-print-directory --output-sync=target --jobs=2 $(PARTS)
	cd test/chart && $(GO) test ./... # a module of its own, with Helm's engine

.PHONY: $(PARTS)
cluster-releases: build
	$(CLUSTER_TEST) -skip '$(FAULTS)' ./test/cluster
cluster-faults: build
	$(CLUSTER_TEST) -run '$(FAULTS)' -skip '$(LIVES)' ./test/cluster
cluster-lives: build
	$(CLUSTER_TEST) -run '$(LIVES)' ./test/cluster
cluster-adapters: build
	@echo "$(CLUSTER_TEST), the tests that need a control plane, of" $(filter-out $(OTHER_PKGS),$(PLANE_PKGS))
	@$(CLUSTER_TEST) -run '^($(PLANE_TESTS))$$' $(filter-out $(OTHER_PKGS),$(PLANE_PKGS))
cluster-install: build
	$(CLUSTER_TEST) ./test/install
cluster-others: build
	$(CLUSTER_TEST) ./test/plane
	@$(CLUSTER_TEST) -run '^($(PLANE_TESTS))$$' ./test/backtest
	$(CLUSTER_TEST) -run TestARunIsJudgedByPrometheus ./test/machine -machine.serin=$(CURDIR)/$(BIN)

.PHONY: race
race: ## the concurrent packages under the race detector (needs gcc)
	CGO_ENABLED=1 $(GO) test -race -short -timeout 20m $(addprefix ./internal/,runner server proxy/... traffic/... metrics/... workload/... gate/... notify/... store/... archive/... cli/...)

.PHONY: soak
soak: ## the fault simulator over SEEDS=1000000 seeds, from FIRST=1 on
	$(GO) test -timeout 12h ./test/faults -run TestFaults -v -faults.seeds=$(or $(SEEDS),1000000) -faults.first=$(or $(FIRST),1)

.PHONY: check
check: ## formatting, vet, linters, generated files up to date
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "not formatted, run gofmt -w:"; echo "$$out"; exit 1; fi
	$(GO) vet -tags plane $(PKGS) # the tag only adds files
	$(TOOL) golangci-lint run --timeout 10m --build-tags plane $(PKGS)
	$(GO) mod tidy -diff
	cd test/chart && $(GO) mod tidy -diff # follows the main module's versions
	$(MAKE) verify-generated

.PHONY: vuln
vuln: ## known vulnerabilities in what is used (asks the Go vulnerability database)
	$(TOOL) govulncheck $(PKGS)

.PHONY: generate
generate: ## regenerates what is generated
	$(GO) generate ./api/... ./internal/... ./test/...
	$(GO) generate ./deploy/... # from what was generated above

.PHONY: verify-generated
verify-generated: generate
	@if [ -n "$$(git status --porcelain --untracked-files=no -- '*.json' docs api internal/kube/crds deploy)" ]; then git --no-pager diff --stat -- '*.json' docs api internal/kube/crds deploy; echo "generated files were out of date; commit them"; exit 1; fi

.PHONY: bench
bench: build ## the proxy beside HAProxy, nginx and Caddy; what a look and a megabyte of logs cost; memory and start of the program
	$(GO) run ./test/bench/proxy
	$(GO) test -run '^$$' -bench . -benchmem ./internal/analysis ./internal/engine ./internal/proxy ./internal/exceptions
	$(GO) run ./test/bench/program

.PHONY: bench-cluster
bench-cluster: plane ## memory, requests and ticks of the controller, and how quickly many bad releases get back
	$(GO) run -tags plane ./test/bench/cluster

.PHONY: bench-release
bench-release: plane ## seconds and failed requests of bad releases, and false rollbacks of healthy ones, on a full plane
	$(GO) run -tags plane ./test/bench/release

.PHONY: bench-judge
bench-judge: ## false rollbacks and time to rollback over the scenarios of docs/judging.md
	$(GO) run ./test/bench/judge

.PHONY: bench-judge-short
bench-judge-short: ## the same with few runs: a look, not a proof
	$(GO) run ./test/bench/judge -short

.PHONY: clean
clean: ## removes what was built
	rm -rf bin
