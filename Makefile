# Needs Go, gcc, git and make. "make" alone lists the targets.

GOFLAGS_RELEASE = -trimpath -ldflags "-s -w"
FUZZTIME ?= 10s
TESTFLAGS ?=

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-10s %s\n", $$1, $$2 }'

.PHONY: build
build: ## Build bin/hanse, one static file
	CGO_ENABLED=0 go build $(GOFLAGS_RELEASE) -o bin/hanse ./cmd/hanse

.PHONY: demo
demo: build ## Run two datacenters on this machine until Ctrl-C
	@bin/hanse demo

.PHONY: test
test: ## Run all tests that an ordinary user can run
	go test -race -timeout 10m $(TESTFLAGS) ./...

.PHONY: test-lab
test-lab: ## Run the tests that cut and delay networks (root, Linux)
	HANSE_LAB=1 go test -race -timeout 10m $(TESTFLAGS) ./test/lab/...

.PHONY: soak
soak: ## Run the long tests: minutes of cuts, millions of keys
	HANSE_SOAK=1 go test -timeout 2h -v -run Soak $(TESTFLAGS) ./...

.PHONY: bench
bench: ## Measure speed and memory, beside what the disk can do
	go test -run '^$$' -bench . -benchmem -timeout 1h $(TESTFLAGS) ./...

.PHONY: lint
lint: ## Check formatting, vet, staticcheck and known vulnerabilities
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
		if [ -n "$$unformatted" ]; then echo "not formatted, run gofmt -w:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go tool staticcheck ./...
	bash .ci/vulnerabilities

.PHONY: fuzz
fuzz: ## Feed every decoder random bytes, FUZZTIME (10s) each
	bash .ci/fuzz $(FUZZTIME)
