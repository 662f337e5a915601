# Targets for developers and CI; `make` lists them. Needs GNU make 4 and Python 3.11 or newer.
# All tools come from requirements.lock into .venv: pip installs uv, and uv the rest, with pip's settings.
$(if $(filter oneshell,$(.FEATURES)),,$(error needs GNU make 4; on a Mac: brew install make, then gmake))
.SHELLFLAGS := -euc
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# With it, each Python that the tests start compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
NODE := tests/devcontainer/node_modules

venv := .venv/bin/python
# Written last: an interrupted install leaves no marker.
installed := .venv/installed
cli := $(NODE)/installed

define need_python
@$(PYTHON) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo "make: $(PYTHON) must be Python 3.11 or newer with venv, and is: $$($(PYTHON) --version 2>&1 | tail -n 1)." \
		"Install it (Debian, Ubuntu: apt-get install python3-venv), or name another: make PYTHON=python3.12" >&2; \
	exit 1; }
endef

.PHONY: help
help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(installed)  ## generate a project, build its image and run its script
	@$(venv) -m tools.demo

.PHONY: test
test: lint $(installed) $(cli)  ## before a push: lint, then the tests (ARGS="-k name" for some)
ifdef ARGS
	$(venv) -m pytest -m 'not nightly' $(ARGS)
else
	$(call run_tests,not nightly)
endif

.PHONY: test-all
test-all: lint $(installed) $(cli)  ## lint, then all tests: nightly, and before a release (ARGS="-k name" for some)
ifdef ARGS
	$(venv) -m pytest $(ARGS)
else
	$(call run_tests,nightly or not nightly)
endif

# tests/generation writes 90,000 small files: in memory, where there is some, it takes a sixth less time.
memory := /dev/shm
has_memory = [ "$$(df --output=avail $(memory) 2>/dev/null | tail -n 1)" -gt 4000000 ] 2>/dev/null
# A run uses its folder for some minutes: one that is two hours old was left by a killed run.
remove_old_scratch = find $(memory) -maxdepth 1 -name 'capy-tests-??????' -user "$$(id -u)" -mmin +120 -exec rm -rf {} + 2>/dev/null || :

# Workers share the engine, which starts during tests/generation: three, since two leave a fifth of two cores idle.
# Tests marked `serial` run alone, at the end.
# An engine that was up before stays up.
define run_tests
	status=0; stop=''; scratch=''; export ENGINE_STAYS=yes; \
	$(remove_old_scratch); \
	if $(has_memory); then scratch=$$(mktemp -d $(memory)/capy-tests-XXXXXX); fi; \
	$(venv) -m engines.engine status >/dev/null 2>&1 || stop=yes; \
	{ $(venv) -m engines.engine up && $(venv) -m engines.engine prune; } >/dev/null & up=$$!; \
	trap 'if [ "$$up" ]; then kill $$up; wait $$up || :; fi; rm -rf $$scratch; [ -z "$$stop" ] || $(venv) -m engines.engine down >/dev/null' EXIT; \
	trap 'exit 130' INT TERM; \
	PYTEST_DEBUG_TEMPROOT=$$scratch $(venv) -m pytest tests/generation --numprocesses auto -m '$1' || status=1; \
	rm -rf $$scratch; \
	wait $$up || :; up=''; \
	$(venv) -m pytest tests/devcontainer tests/engine --numprocesses 3 --dist loadfile --no-loadscope-reorder \
		-m '($1) and not serial' || status=1; \
	$(venv) -m pytest tests/engine tests/devcontainer -m '($1) and serial' || status=1; \
	exit $$status
endef

# The template's Jinja files cannot be linted here; tests/generation lints generated projects.
.PHONY: lint
lint: $(installed)  ## check this repository's Python, shell and Markdown
	$(venv) -m ruff check
	$(venv) -m ruff format --check
	@echo shellcheck: every file with a shell shebang
	@$(shell_scripts) | tr '\n' '\0' | xargs -0 .venv/bin/shellcheck
	@echo 'markdown: style, then terms, links and prose'
	@.venv/bin/pymarkdown scan $(filter-out $(loose_pages),$(wildcard *.md docs/*.md engines/*.md))
	@.venv/bin/pymarkdown --disable-rules md013,md022,md040,md041 scan $(loose_pages)
	@$(venv) -m tools.prose

# Generated pages, and pages that are not wrapped at 120 columns yet.
loose_pages := docs/compatibility.md docs/gpu.md docs/hosts.md docs/packages.md benchmarks/README.md .github/PULL_REQUEST_TEMPLATE.md

shell_scripts := find . \( -name .git -o -name .venv -o -name node_modules -o -path ./demo -o -path ./.gpu-check -o -path '*/docker/entrypoint.sh' \) -prune -o -type f \
	-exec awk 'FNR == 1 && /^\#!.*[\/ ](ba|da)?sh( |$$)/ { print FILENAME } { nextfile }' {} +

.PHONY: pictures
pictures: $(installed)  ## record a run as the README's picture, docs/terminal.svg
	@$(venv) -m tools.pictures

.PHONY: bench
bench: $(installed) $(cli)  ## compare speed with the guide's way and the bare engine (ARGS="start" for some; ARGS=--help)
	@$(venv) -m benchmarks $(ARGS)

.PHONY: check-compatibility
check-compatibility: $(installed)  ## check the matrix against the package index (FULL=cu13-py312: install that line)
	@$(venv) -m compatibility.check $(if $(FULL),--full '$(FULL)')

.PHONY: gpu-check-pack
gpu-check-pack: $(installed)  ## make .gpu-check/, which gpu-check needs on the machine with a GPU (ARGS=--all: with PyTorch)
	@$(venv) -m tools.gpu_check.pack .gpu-check $(ARGS)

# The machine with the GPU may have no network, so this target makes no .venv.
.PHONY: gpu-check
gpu-check:  ## on a machine with an NVIDIA GPU: compare the doctor's report with the GPU (PYTHON=…)
	@[ -e .gpu-check ] || { echo 'make: .gpu-check is missing: run `make gpu-check-pack` on a machine with a package' \
		'index, then copy that folder here' >&2; exit 1; }
	@$(PYTHON) .gpu-check/gpu_check/check.py $(ARGS)

.PHONY: docs
docs: $(installed)  ## write docs/compatibility.md from compatibility/matrix.yaml
	@$(venv) -m compatibility.docs

.PHONY: packages
packages: $(installed)  ## write docs/packages.md: which packages work with each line (ARGS="NAME" for some)
	@$(venv) -m compatibility.packages $(ARGS)

.PHONY: engine
engine: $(installed)  ## find this machine's Docker Engine, or start a private one (Debian, as root)
	@$(venv) -m engines.engine up

.PHONY: engine-stop
engine-stop: $(installed)  ## stop the private Docker Engine
	@$(venv) -m engines.engine down

.PHONY: lock
lock:  ## pin today's versions of the tools in requirements.lock
	$(need_python)
	@echo 'lock: installing uv into a temporary folder, then resolving …'
	@scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	$(PYTHON) -m venv "$$scratch"; \
	"$$scratch/bin/python" -m pip install --quiet --disable-pip-version-check uv; \
	"$$scratch/bin/uv" pip compile pyproject.toml --group dev --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --upgrade --quiet --output-file requirements.lock
	@echo 'lock: wrote requirements.lock; the next target installs it'

# FORCE if the Python of the environment is gone, as after an upgrade of the system.
$(installed): requirements.lock $(if $(wildcard $(venv)),,FORCE)
	$(need_python)
	@echo 'Making .venv from requirements.lock (once; some seconds) …'
	@$(PYTHON) -m venv --clear .venv
	@$(venv) -m tools.install
	@touch $@

# Without npm, the dev container tests fail if CI is set, else they are skipped with a warning.
$(cli): tests/devcontainer/package-lock.json
	@if command -v npm >/dev/null; then \
		echo 'Installing @devcontainers/cli from package-lock.json …'; \
		npm ci --prefix tests/devcontainer --no-audit --no-fund --no-update-notifier --loglevel=error; \
		touch $@; \
	else \
		echo 'make: npm is missing, so @devcontainers/cli cannot be installed: install Node 20 or newer with npm' >&2; \
	fi

.PHONY: FORCE
FORCE:
