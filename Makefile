# Everything runs inside .venv; only Python 3.11+ and make have to be there.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
SHIPPED := ddoq ddoq_client jobs api worker cli migrations
SOURCES := $(SHIPPED) tests benchmarks
READY := $(VENV)/.ready

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(READY) ## make .venv and install the pinned dependencies

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name it: make PYTHON=python3.12")'
	@echo "installing into $(VENV): some minutes, without a word, when nothing is there yet"
	test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

.PHONY: demo
demo: $(READY) ## distil real digits through the whole service on this machine
	$(RUN)/python -m cli.demo

.PHONY: up
up: $(READY) ## run the service on this machine until Ctrl-C
	$(RUN)/ddoq up

.PHONY: test
test: $(READY) ## run the tests
	# Two at a time with a core each: threads of their own would wait for one another.
	OMP_NUM_THREADS=1 $(RUN)/pytest -n 2

.PHONY: test-image
test-image: $(READY) ## run the build steps of the Dockerfile without an engine, and a job on what they make; minutes
	OMP_NUM_THREADS=1 $(RUN)/pytest -m image tests/image

.PHONY: test-page
test-page: $(READY) ## drive the web page with Chromium, which Debian's package installs where root asks
	command -v chromium > /dev/null || { test "$$(id -u)" = 0 && command -v apt-get > /dev/null \
		&& apt-get update && apt-get install --yes --no-install-recommends chromium; } \
		|| { echo "install Chromium first: apt-get install chromium" >&2; exit 1; }
	OMP_NUM_THREADS=1 $(RUN)/pytest -m page tests/page

.PHONY: chaos
chaos: $(READY) ## break a service of four workers for MINUTES (30) and account for each of JOBS (300)
	OMP_NUM_THREADS=1 $(RUN)/python -m tests.kill.chaos --minutes $(or $(MINUTES),30) --jobs $(or $(JOBS),300) $(OPTIONS)

.PHONY: check
check: $(READY) ## check format, lint, types, import contracts, and for known weaknesses
	$(RUN)/ruff format --check $(SOURCES)
	$(RUN)/ruff check $(SOURCES)
	$(RUN)/mypy
	$(RUN)/lint-imports
	$(RUN)/bandit --quiet --recursive $(SHIPPED) --configfile pyproject.toml
	$(RUN)/python .ci/audit.py

.PHONY: audit
audit: $(READY) ## ask for known advisories against the pinned packages; fails where none can be asked
	$(RUN)/python .ci/audit.py --required

.PHONY: fuzz
fuzz: $(READY) ## send the API what its description allows and forbids, EXAMPLES (200) an operation, SECONDS (1800) at most
	FUZZ_EXAMPLES=$(or $(EXAMPLES),200) FUZZ_SECONDS=$(or $(SECONDS),1800) FUZZ_SEED=$(or $(SEED),1) \
		$(RUN)/pytest tests/integration/test_fuzzing.py

.PHONY: openapi
openapi: $(READY) ## write the description of the API into docs/openapi.json
	$(RUN)/python -m tests.openapi_snapshot

.PHONY: docs-reference
docs-reference: $(READY) ## write the reference of the command line into docs/cli.md
	$(RUN)/python -m tests.cli_reference

.PHONY: openapi-release
openapi-release: $(READY) ## promise the API as it is: what later changes must not break
	$(RUN)/python -m tests.openapi_snapshot --release

.PHONY: bench-quantizer
bench-quantizer: $(READY) ## compare the quantizer with faiss, scikit-learn and D4M's pass
	$(RUN)/python benchmarks/quantizer.py --best --plot docs/images/quantizer.svg $(if $(DATA),--data $(DATA))

.PHONY: bench-claims
bench-claims: $(READY) ## measure how many workers one database serves; OPTIONS="--workers 200 --seconds 60"
	$(RUN)/python benchmarks/claims.py $(OPTIONS)

.PHONY: bench-api
bench-api: $(READY) ## compare the API with bare endpoints of one statement; OPTIONS="--jobs 1000 --rounds 1"
	$(RUN)/python -m benchmarks.api $(OPTIONS)

.PHONY: bench-page
bench-page: $(READY) ## measure the page of a job of 1,000 classes; OPTIONS="--classes 100 --images 50"
	$(RUN)/python -m benchmarks.page $(OPTIONS)

.PHONY: bench-fan-out
bench-fan-out: $(READY) ## compare two workers with one at the encode stage
	$(RUN)/python benchmarks/fan_out.py $(OPTIONS)

.PHONY: scoreboard
scoreboard: $(READY) ## measure DDOQ and its rivals on DATA (folder) into WORK; OPTIONS=--quick for the short form
	$(RUN)/python benchmarks/scoreboard.py --data $(or $(DATA),../shared/data) --work $(or $(WORK),.scoreboard) $(OPTIONS)

.PHONY: format
format: $(READY) ## format the code
	$(RUN)/ruff format $(SOURCES)
	$(RUN)/ruff check --fix $(SOURCES)

.PHONY: lock
lock: $(READY) ## write the installed versions into constraints.txt
	# A local version such as 2.13.0+cpu is how one machine built it; the pin is for all.
	$(RUN)/python -m pip freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//' > $(VENV)/constraints.txt
	mv $(VENV)/constraints.txt constraints.txt

.PHONY: clean
clean: ## remove .venv, the demo and all caches
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
