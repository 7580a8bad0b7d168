# Needs Go, gcc, git and make. "make" alone lists the targets.

GOFLAGS_RELEASE = -trimpath -ldflags "-s -w"
FUZZTIME ?= 10s
SOAK ?= 10m
TESTFLAGS ?=
BENCHFLAGS ?=

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
	HANSE_LAB=1 go test -race -timeout 10m -run '^TestNamespaces' $(TESTFLAGS) ./test/...

.PHONY: soak
soak: ## Break things at random for SOAK (10m), and check that nothing is lost (root, Linux)
	HANSE_SOAK=$(SOAK) go test -timeout 24h -v -run '^TestSoak' $(TESTFLAGS) ./test/...

.PHONY: bench
bench: ## Measure speed and memory, beside what the disk can do
	go run ./test/bench $(BENCHFLAGS)

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
