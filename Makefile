PYTHON ?= python3
BIN := .venv/bin

.PHONY: app setup test clean

app: setup
	$(BIN)/python app.py

setup: .venv/ready

.venv/ready: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -r requirements.txt
	touch $@

.venv/ready-test: .venv/ready requirements-train.txt requirements-test.txt requirements-export.txt
	$(BIN)/pip install -r requirements-train.txt -r requirements-test.txt
	touch $@

test: .venv/ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

clean:
	rm -rf .venv
