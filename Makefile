# SPDX-License-Identifier: GPL-3.0-or-later
# Linux x86-64, Python 3.11 to 3.13 with venv, make: nothing else. Everything lands in .venv, node_modules, build.

PYTEST_ARGS ?=
LOCK_ARGS ?=
PY := .venv/bin/python

# The Node.js of .venv, so that no system node is needed or picked up.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Each test starts daemons: without bytecode every one of them compiles this checkout again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo demo-check test test-models test-ezkl test-ray soundness check sim sim-campaign gas mutants differential figures bench-proving
.PHONY: slither coverage halmos kill-every-step sim-swarm bench-flood
.PHONY: cluster cluster-check soak
.PHONY: fresh clean lock install-demo install-dev

# Many tests wait for blocks and processes: one worker more than there are cores.
TEST_WORKERS ?= $(shell echo $$(($$(nproc) + 1)))

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: install-demo ## a whole market on this machine: chain, provers, verifier, client, attacks
	@mkdir -p build
	$(PY) examples/demo.py

demo-check: install-demo ## assert what the last demo wrote to build/demo.json
	$(PY) examples/demo_check.py build/demo.json

test: install-dev ## all tests: Python and Solidity
	@mkdir -p build
	$(PY) -m pytest -n $(TEST_WORKERS) --dist loadgroup --junitxml=build/pytest.xml $(PYTEST_ARGS)
	$(PY) -m contracts.forge

test-models: install-dev ## train, compile, prove and verify on-chain every model of tests/models.toml (PyTorch; a few minutes once it is installed)
	@mkdir -p build
	$(PY) examples/models/run.py --json build/models.json

test-ezkl: install-dev ## one model through EZKL (into build/bench-ezkl), to a payment by the Escrow
	$(PY) -c "from benchmarks.proving.run import prepare; prepare([])"
	$(PY) -m pytest tests/proving/backends/test_ezkl.py tests/contracts/test_ezkl_adapter.py

test-ray: install-dev ## proofs on a Ray cluster of two nodes, one of which is killed; installed into build/ray
	@scripts/test_ray.sh

soundness: install-dev ## a long search for second witnesses and surviving compiler mutants
	SOUNDNESS_SCALE=20 $(PY) -m pytest -n 2 tests/proving/soundness

check: install-dev ## ruff and mypy --strict
	$(PY) -m ruff check .
	$(PY) -m mypy

sim: install-demo ## the market in a simulated, faulty world: 30 nodes, 500 jobs
	@.venv/bin/proofmesh sim run --nodes 30 --jobs 500 --seed 7 --json

sim-campaign: install-demo ## 120 simulated markets of fresh seeds and varied size; failing seeds say how to replay them
	@.venv/bin/proofmesh sim swarm --seeds 120

sim-swarm: install-demo ## search for an hour, or SWARM_ARGS; summary in build/swarm.json, failures in build/sim-failures
	@mkdir -p build
	@.venv/bin/proofmesh sim swarm $(or $(SWARM_ARGS),--minutes 60) --json > build/swarm.json

cluster: install-demo ## ten minutes of chaos: 8 provers, 3 verifiers, 4 clients, real processes; writes build/cluster.json
	@mkdir -p build
	@.venv/bin/proofmesh sim cluster --provers 8 --verifiers 3 --clients 4 --minutes 10 --chaos --report build/cluster.json

cluster-check: install-demo ## a minute of chaos in a small cluster; audits every wei
	@mkdir -p build
	@.venv/bin/proofmesh sim cluster --provers 2 --verifiers 1 --clients 1 --minutes 1 --chaos --report build/cluster-check.json

soak: install-demo ## an hour of a small cluster without faults; fails if memory, descriptors, tasks or disk grow
	@mkdir -p build
	@.venv/bin/proofmesh sim cluster --minutes 60 --pace 8 --folder build/soak --report build/soak.json

kill-every-step: install-dev ## kill each role after every journal record and effect of a job; writes build/kill-every-step.json (half an hour)
	KILL_EVERY_STEP=1 $(PY) -m pytest -s tests/e2e/test_kill_every_step.py

gas: install-dev ## gas of the contracts in the scenario of docs/gas.md; writes build/gas.json, checks the snapshot
	@mkdir -p build
	$(PY) benchmarks/gas.py --check

mutants: install-dev ## plant bugs in the contracts and their model; fails if one is not found (20 minutes); writes build/mutants.json
	$(PY) -m contracts.mutation

coverage: install-dev ## lines and branches of the contracts that the Solidity tests reach; writes build/coverage.json
	$(PY) -m contracts.coverage

halmos: install-dev ## prove arithmetic, slots and signatures of the contracts; halmos goes into build/halmos; writes build/halmos.json
	$(PY) -m contracts.halmos

slither: install-dev ## static analysis of the contracts, in build/slither; fails on a finding not explained
	$(PY) -m contracts.slither

differential: install-dev ## 200,000 random calls on contracts and model; writes build/differential.json (CALLS=, PROCESSES=)
	@mkdir -p build
	$(PY) tests/support/differential_campaign.py --calls $(or $(CALLS),200000) --processes $(or $(PROCESSES),2)

figures: install-dev ## measure what the docs quote; writes build/figures.json
	@mkdir -p build
	$(PY) benchmarks/figures.py

bench-proving: install-dev ## EZKL and proofmesh on the same models; an hour or more on a quiet machine
	@mkdir -p build
	$(PY) -m benchmarks.proving.run

bench-flood: install-demo ## a node's CPU, memory and honest traffic during a flood; writes build/flood.json
	@$(PY) -m benchmarks.flood --seconds 25 --attackers 3

fresh: ## clone HEAD to a temporary folder; empty HOME, no compiler; then demo, demo-check, test
	@scripts/fresh.sh

clean: ## remove .venv, node_modules, build and caches of this checkout
	rm -rf .venv node_modules build contracts/out contracts/cache
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

lock: install-dev ## resolve the lock files again (LOCK_ARGS=--upgrade takes new versions)
	@scripts/lock.sh $(LOCK_ARGS)

install-demo: ## install what demo and sim need (done by them, skipped when done)
	@scripts/install.sh demo

install-dev: ## install what test and check need (done by them, skipped when done)
	@scripts/install.sh dev
